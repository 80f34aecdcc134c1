// What tokenizers and templates ask about a code point: letter, number, white space, case. Unicode 15.0, as
// llama.cpp b11434 has it. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cresset::engine {

enum class CharClass : uint8_t { kOther, kLetter, kNumber, kSpace };  // \p{L}, \p{N}, White_Space

CharClass class_of(char32_t c);

// Simple case mappings (one code point to one).
char32_t to_upper(char32_t c);
char32_t to_lower(char32_t c);

// One code point as llama.cpp reads it: only the shape of lead and continuation bytes counts, so overlong
// forms and surrogates pass. Where the shape is wrong: U+FFFD and one byte. (Above U+10FFFF llama.cpp gives
// up; here that too is U+FFFD and one byte.) `bytes` is not empty.
struct LooseCodePoint {
  char32_t value;
  uint32_t length;
};
LooseCodePoint next_loose_code_point(std::string_view bytes);

namespace unicode_tables {  // made by tools/unicode/make_tables.py
struct ClassRange {
  char32_t first, last;
  CharClass value;
};
struct CaseRange {
  char32_t first, last;
  uint32_t step;
  int32_t delta;
};
extern const ClassRange kClasses[];
extern const size_t kClassCount;
extern const CaseRange kToUpper[], kToLower[];
extern const size_t kToUpperCount, kToLowerCount;
}  // namespace unicode_tables

}  // namespace cresset::engine
