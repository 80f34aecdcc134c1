#include "cli/base64.h"

#include <cstdint>

namespace cresset::cli {

Result<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return fail(Code::kInvalid, "base64 needs a multiple of four characters");
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t at = 0; at < text.size(); at += 4) {
    uint32_t bits = 0;
    int padding = 0;
    for (size_t i = 0; i < 4; ++i) {
      const char c = text[at + i];
      const size_t value = kAlphabet.find(c);
      const bool may_pad = c == '=' && at + 4 == text.size() && i >= 2;
      if (value == std::string_view::npos && !may_pad) return fail(Code::kInvalid, "not base64");
      if (value != std::string_view::npos && padding > 0) return fail(Code::kInvalid, "not base64");
      padding += may_pad ? 1 : 0;
      bits = bits << 6 | static_cast<uint32_t>(may_pad ? 0 : value);
    }
    for (int i = 0; i < 3 - padding; ++i) out += static_cast<char>(bits >> (16 - 8 * i) & 0xFF);
  }
  return out;
}

}  // namespace cresset::cli
