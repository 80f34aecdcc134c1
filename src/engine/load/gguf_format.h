// What the two halves of the GGUF reader share: gguf_open.cc (unchecked bytes) and gguf.cc (checked values).
// Only load/ includes this.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "engine/load/gguf.h"

namespace cresset::engine {

static_assert(std::endian::native == std::endian::little, "numbers are read as they stand in the file");

// The least that one value of a type takes: all of a scalar, the length of a string, type and count of an
// array.
constexpr uint64_t value_bytes_min(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
    case GgufType::kString:
      return 8;
    case GgufType::kArray:
      return 12;
  }
  return 8;
}

// A number at any address.
template <class T>
T read_number(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A name from the file for an error line, in quotes: cut at 100 bytes, control characters and broken UTF-8
// made visible, so that a hostile name can neither fill a log nor drive a terminal.
std::string quoted(std::string_view name);

}  // namespace cresset::engine
