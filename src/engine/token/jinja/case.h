// Upper and lower case of Texts, code point by code point (Unicode's simple mappings).
#pragma once

#include "engine/token/jinja/value.h"

namespace cresset::engine::jinja {

enum class Case {
  kUpper,
  kLower,
  kTitle,       // str.title(): a capital after anything that is no letter
  kTitleWords,  // the title filter: a capital after white space and - ( { [ <
  kCapitalize,  // the first one alone
};
Value with_case(const Value& text, Case to, Heap& heap);

// Lower case of texts, other values as they are: how sort, unique and dictsort compare by default.
Value without_case(const Value& v, Heap& heap);

}  // namespace cresset::engine::jinja
