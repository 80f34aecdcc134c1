#include "base/text.h"

namespace cresset {
namespace {

struct Lead {
  int length;  // bytes of the whole character, 0: not a lead byte
  unsigned char second_min, second_max;
};

// Table 3-7 of the Unicode Standard: well-formed UTF-8 byte sequences.
Lead lead_of(unsigned char b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};
  if (b < 0xF0) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b < 0xF4) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// How many bytes at the front are a correct prefix of one character; `lead` is that of bytes[0].
int good_prefix(std::string_view bytes, const Lead& lead) {
  int n = 1;
  while (n < lead.length && static_cast<size_t>(n) < bytes.size()) {
    const auto b = static_cast<unsigned char>(bytes[static_cast<size_t>(n)]);
    const bool good = n == 1 ? b >= lead.second_min && b <= lead.second_max : (b & 0xC0) == 0x80;
    if (!good) break;
    ++n;
  }
  return n;
}

}  // namespace

CodePoint next_code_point(std::string_view bytes) {
  const auto b0 = static_cast<unsigned char>(bytes[0]);
  const Lead lead = lead_of(b0);
  if (lead.length == 0 || good_prefix(bytes, lead) < lead.length) return {};
  if (lead.length == 1) return {b0, 1, true};
  char32_t value = b0 & (0x7F >> lead.length);
  for (int i = 1; i < lead.length; ++i)
    value = value << 6 | (static_cast<unsigned char>(bytes[static_cast<size_t>(i)]) & 0x3F);
  return {value, lead.length, true};
}

void append_utf8(std::string& out, char32_t value) {
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) value = kReplacement;
  if (value < 0x80) {
    out += static_cast<char>(value);
  } else if (value < 0x800) {
    out += static_cast<char>(0xC0 | value >> 6);
    out += static_cast<char>(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    out += static_cast<char>(0xE0 | value >> 12);
    out += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (value & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | value >> 18);
    out += static_cast<char>(0x80 | (value >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (value >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (value & 0x3F));
  }
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const CodePoint c = next_code_point(bytes);
    if (!c.valid) return false;
    bytes.remove_prefix(static_cast<size_t>(c.length));
  }
  return true;
}

std::string to_valid_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Lead lead = lead_of(static_cast<unsigned char>(bytes[0]));
    const int n = lead.length == 0 ? 1 : good_prefix(bytes, lead);
    if (lead.length != 0 && n == lead.length) {
      out.append(bytes.substr(0, static_cast<size_t>(n)));
    } else {
      append_utf8(out, kReplacement);
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return out;
}

size_t incomplete_tail(std::string_view bytes) {
  for (size_t n = 1; n <= 3 && n <= bytes.size(); ++n) {
    const std::string_view tail = bytes.substr(bytes.size() - n);
    const Lead lead = lead_of(static_cast<unsigned char>(tail[0]));
    if (lead.length == 1) return 0;
    if (lead.length > 1) {
      const bool open =
          static_cast<size_t>(lead.length) > n && static_cast<size_t>(good_prefix(tail, lead)) == n;
      return open ? n : 0;
    }
  }
  return 0;
}

}  // namespace cresset
