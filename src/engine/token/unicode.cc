#include "engine/token/unicode.h"

#include <algorithm>
#include <span>

#include "base/text.h"

namespace cresset::engine {
namespace {

// PropList.txt, White_Space.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// The last range that begins at or before `c`, or nullptr.
template <class Range>
const Range* find_range(std::span<const Range> ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](char32_t value, const Range& r) { return value < r.first; });
  if (after == ranges.begin() || c > std::prev(after)->last) return nullptr;
  return &*std::prev(after);
}

char32_t map_case(std::span<const unicode_tables::CaseRange> ranges, char32_t c) {
  const auto* range = find_range(ranges, c);
  if (range == nullptr || (c - range->first) % range->step != 0) return c;
  return static_cast<char32_t>(static_cast<int32_t>(c) + range->delta);
}

}  // namespace

CharClass class_of(char32_t c) {
  if (c < 0x80) {
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return CharClass::kLetter;
    if (c >= '0' && c <= '9') return CharClass::kNumber;
    return is_space(c) ? CharClass::kSpace : CharClass::kOther;
  }
  if (is_space(c)) return CharClass::kSpace;
  const auto* range = find_range(std::span(unicode_tables::kClasses, unicode_tables::kClassCount), c);
  return range == nullptr ? CharClass::kOther : range->value;
}

char32_t to_upper(char32_t c) {
  return map_case(std::span(unicode_tables::kToUpper, unicode_tables::kToUpperCount), c);
}
char32_t to_lower(char32_t c) {
  return map_case(std::span(unicode_tables::kToLower, unicode_tables::kToLowerCount), c);
}

LooseCodePoint next_loose_code_point(std::string_view bytes) {
  constexpr LooseCodePoint kBroken{kReplacement, 1};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC0 || lead >= 0xF8) return kBroken;
  const uint32_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (bytes.size() < length) return kBroken;
  char32_t value = lead & (0x7Fu >> length);
  for (uint32_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return kBroken;
    value = value << 6 | (byte(i) & 0x3Fu);
  }
  if (value > 0x10FFFF) return kBroken;
  return {value, length};
}

}  // namespace cresset::engine
