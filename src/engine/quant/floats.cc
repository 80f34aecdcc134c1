// F32, F16, BF16: plain numbers, and the conversions between the three.
#include <cstring>

#include <bit>

#include "engine/quant/families.h"

namespace cresset::engine {

// IEEE 754 binary16: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits.
float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 0x1F;
  const uint32_t fraction = half & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact in float
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(fraction) * 0x1p-24F));
  }
  if (exponent == 31) {  // infinity, or a NaN that keeps its payload and is made quiet, as F16C does
    return std::bit_cast<float>(sign | 0x7F80'0000 | fraction << 13 | (fraction != 0 ? 0x0040'0000u : 0u));
  }
  return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

namespace {

// value >> shift, rounded to the nearest, ties to even. 1 <= shift <= 31.
uint32_t shift_rounding(uint32_t value, uint32_t shift) {
  const uint32_t kept = value >> shift;
  const uint32_t rest = value & ((1u << shift) - 1);
  const uint32_t middle = 1u << (shift - 1);
  const bool up = rest > middle || (rest == middle && (kept & 1) != 0);
  return kept + (up ? 1 : 0);
}

}  // namespace

uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t exponent = bits >> 23 & 0xFF;
  const uint32_t fraction = bits & 0x7F'FFFF;
  uint32_t magnitude = 0;
  if (exponent == 255) {
    magnitude = fraction == 0 ? 0x7C00 : 0x7E00 | fraction >> 13;
  } else if (exponent >= 127 + 16) {  // 2^16 and more
    magnitude = 0x7C00;
  } else if (exponent >= 127 - 14) {  // a normal half; a carry out of the fraction is right, up to infinity
    magnitude = shift_rounding((exponent - (127 - 15)) << 23 | fraction, 13);
  } else if (exponent >=
             127 - 25) {  // a subnormal half, in steps of 2^-24; 2^-25 and more can round up to one step
    magnitude = shift_rounding(fraction | 0x80'0000, 13 + (127 - 14) - exponent);
  }
  return static_cast<uint16_t>(sign | magnitude);
}

// bfloat16 is the upper half of a float.
float bfloat_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}
uint16_t float_to_bfloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>((is_nan ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

void dequantise_f32(const std::byte* in, float* out, size_t blocks) {
  for (size_t i = 0; i < blocks; ++i) out[i] = std::bit_cast<float>(read_u32(in + 4 * i));
}

void dequantise_f16(const std::byte* in, float* out, size_t blocks) {
  for (size_t i = 0; i < blocks; ++i) out[i] = half_to_float(read_u16(in + 2 * i));
}

void dequantise_bf16(const std::byte* in, float* out, size_t blocks) {
  for (size_t i = 0; i < blocks; ++i) out[i] = bfloat_to_float(read_u16(in + 2 * i));
}

}  // namespace cresset::engine
