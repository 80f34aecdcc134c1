// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: 32 values that share one scale (and, in the _1 formats, one minimum).
//
// Nibbles: byte j holds value j in its low and value j + 16 in its high four bits. The fifth bits of Q5 are
// one little-endian word: bit j belongs to value j.
#include "engine/quant/families.h"

namespace cresset::engine {
namespace {

constexpr size_t kItems = 32, kHalf = kItems / 2;

// The quantised value j of a block's nibbles, 0 to 15.
int nibble(const std::byte* nibbles, size_t j) {
  const uint32_t byte = byte_at(nibbles, j % kHalf);
  return static_cast<int>(j < kHalf ? byte & 0xF : byte >> 4);
}

// The same with the fifth bit, 0 to 31.
int five_bits(const std::byte* nibbles, uint32_t fifths, size_t j) {
  return nibble(nibbles, j) | static_cast<int>((fifths >> j & 1) << 4);
}

}  // namespace

// half d; 16 bytes of nibbles. x = d * (q - 8)
void dequantise_q4_0(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 18, out += kItems) {
    const float d = read_half(in);
    for (size_t j = 0; j < kItems; ++j) out[j] = d * static_cast<float>(nibble(in + 2, j) - 8);
  }
}

// half d, half m; 16 bytes of nibbles. x = d * q + m
void dequantise_q4_1(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 20, out += kItems) {
    const float d = read_half(in), m = read_half(in + 2);
    for (size_t j = 0; j < kItems; ++j) out[j] = d * static_cast<float>(nibble(in + 4, j)) + m;
  }
}

// half d; 4 bytes of fifth bits; 16 bytes of nibbles. x = d * (q - 16)
void dequantise_q5_0(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 22, out += kItems) {
    const float d = read_half(in);
    const uint32_t fifths = read_u32(in + 2);
    for (size_t j = 0; j < kItems; ++j) out[j] = d * static_cast<float>(five_bits(in + 6, fifths, j) - 16);
  }
}

// half d, half m; 4 bytes of fifth bits; 16 bytes of nibbles. x = d * q + m
void dequantise_q5_1(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 24, out += kItems) {
    const float d = read_half(in), m = read_half(in + 2);
    const uint32_t fifths = read_u32(in + 4);
    for (size_t j = 0; j < kItems; ++j) out[j] = d * static_cast<float>(five_bits(in + 8, fifths, j)) + m;
  }
}

// half d; 32 signed bytes. x = d * q
void dequantise_q8_0(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 34, out += kItems) {
    const float d = read_half(in);
    for (size_t j = 0; j < kItems; ++j) out[j] = d * static_cast<float>(read_i8(in + 2 + j));
  }
}

}  // namespace cresset::engine
