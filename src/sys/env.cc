#include "sys/env.h"

namespace cresset::sys {

uint64_t Env::random_u64() {
  uint64_t value = 0;
  fill_random(std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

std::string Env::random_hex(size_t bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::vector<std::byte> raw(bytes);
  fill_random(raw);
  std::string out;
  for (const std::byte b : raw) {
    out += kHex[std::to_integer<unsigned>(b) >> 4];
    out += kHex[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

Result<std::unique_ptr<FileLock>> Env::lock(const std::string& path, bool) {
  return fail(Code::kUnsupported, "no locks here", path);
}

}  // namespace cresset::sys
