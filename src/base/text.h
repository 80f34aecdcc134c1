// UTF-8: validation, iteration, and a splitter that never emits half a character.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cresset {

constexpr char32_t kReplacement = 0xFFFD;

struct CodePoint {
  char32_t value = kReplacement;
  int length = 1;      // bytes consumed, 1 to 4
  bool valid = false;  // false: one byte of broken UTF-8, value is kReplacement
};

// The code point at the front of `bytes` (not empty). Refuses overlong forms, surrogates and > U+10FFFF.
CodePoint next_code_point(std::string_view bytes);

// Appends `value` as UTF-8.
void append_utf8(std::string& out, char32_t value);

bool is_utf8(std::string_view bytes);

// `bytes` with each broken byte sequence replaced by U+FFFD, as WHATWG's decoder does (maximal subparts).
std::string to_valid_utf8(std::string_view bytes);

// Number of bytes at the end of `bytes` that begin a character which is not complete yet (0 to 3).
size_t incomplete_tail(std::string_view bytes);

}  // namespace cresset
