// Values as text, as Python prints them: str(), repr() and json.dumps().
#pragma once

#include <optional>
#include <string>

#include "engine/token/jinja/value.h"

namespace cresset::engine::jinja {

// str(v): what {{ v }} shows. Text keeps its marks; of a container that holds anything foreign, all is
// foreign.
Value to_text(const Value& v, Heap& heap);

// json.dumps as transformers' tojson calls it: no HTML escapes, non-ASCII as it stands unless `is_ascii`.
struct JsonStyle {
  std::optional<std::string> indent;  // one level of it; empty: newlines only
  std::string item_separator = ", ", key_separator = ": ";
  bool is_ascii = false, sorts_keys = false;
};
Value to_json(const Value& v, const JsonStyle& style, Heap& heap);

std::string float_text(double d);  // repr(d)

}  // namespace cresset::engine::jinja
