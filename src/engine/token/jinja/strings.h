// Python's string operations on Texts, marks kept.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/token/jinja/value.h"

namespace cresset::engine::jinja {

// str.replace(); a negative count replaces all.
Value replace(const Value& text, const Text& from, const Text& to, int64_t count, Heap& heap);
// str.split() and rsplit(): without a separator at white space. A negative `count` splits everywhere.
Value split(const Value& text, const Text* separator, int64_t count, bool from_right, Heap& heap);
Value split_lines(const Value& text, Heap& heap);
Value join(const Text& separator, const std::vector<Value>& items, Heap& heap);
// The indent filter.
Value indent(const Value& text, const Text& width, bool first, bool blank, Heap& heap);

// time.strftime() in UTC with the C locale; codes that templates have no use for are refused.
Value format_time(std::string_view format, int64_t unix_time_s, Heap& heap);

}  // namespace cresset::engine::jinja
