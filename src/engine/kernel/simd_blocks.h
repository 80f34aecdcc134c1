// The packed formats' blocks in registers (part of kernels_simd.h).
#pragma once

#include "engine/kernel/simd_lanes.h"

namespace cresset::engine {
namespace {

enum PackedFormat { kQ4_0 = 3, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ4_K, kQ5_K, kQ6_K };

constexpr bool has_minimum(PackedFormat f) {
  return f == kQ4_1 || f == kQ5_1 || f == kQ4_K || f == kQ5_K;
}
constexpr bool has_fifth(PackedFormat f) {
  return f == kQ5_0 || f == kQ5_1 || f == kQ5_K;
}
// The zero point as a shift: isum - (sum << shift).
constexpr int zero_shift(PackedFormat f) {
  return f == kQ4_0 ? 3 : f == kQ5_0 ? 4 : f == kQ6_K ? 5 : 7;
}
constexpr bool has_zero(PackedFormat f) {
  return !has_minimum(f);
}
// A scale for each half of a block.
constexpr bool has_halves(PackedFormat f) {
  return f == kQ6_K;
}
// Bytes above 7 bits.
constexpr bool is_wide(PackedFormat f) {
  return f == kQ8_0;
}

// The weights of one block for the rows of one part, in registers.
struct BlockWeights {
  Int q[8];        // step s: columns 4s .. 4s+3 of each row, unsigned bytes
  Float scale[2];  // the second for Q6_K only
  Float minimum;
};

template <PackedFormat kFormat>
inline __attribute__((always_inline)) void load_block(const unsigned char* panel, size_t b, int part,
                                                      BlockWeights& w) {
  constexpr int kBytes = Unit::kFloats * 4;  // of a register
  const unsigned char* p;
  if constexpr (kFormat == kQ4_K || kFormat == kQ5_K) {
    constexpr size_t kBlock = kFormat == kQ5_K ? 320 : 256;
    const unsigned char* super = panel + b / 8 * (320 + 8 * kBlock);
    const size_t j = b % 8;
    const int lane = part * Unit::kFloats;
    w.scale[0] = Unit::mul(Unit::load_half(super + 2 * lane), Unit::load_u8(super + 64 + j * 16 + lane));
    w.minimum = Unit::negate(
        Unit::mul(Unit::load_half(super + 32 + 2 * lane), Unit::load_u8(super + 192 + j * 16 + lane)));
    p = super + 320 + j * kBlock;
  } else if constexpr (kFormat == kQ6_K) {
    const unsigned char* super = panel + b / 8 * 3360;
    const size_t j = b % 8;
    const int lane = part * Unit::kFloats;
    const Float d = Unit::load_half(super + 2 * lane);
    w.scale[0] = Unit::mul(d, Unit::load_i8(super + 32 + (2 * j) * 16 + lane));
    w.scale[1] = Unit::mul(d, Unit::load_i8(super + 32 + (2 * j + 1) * 16 + lane));
    p = super + 288 + j * 384;
  } else {
    constexpr size_t kBlock =
        kFormat == kQ8_0 ? 544 : 288 + (has_minimum(kFormat) ? 32 : 0) + (has_fifth(kFormat) ? 64 : 0);
    p = panel + b * kBlock;
    const int lane = part * Unit::kFloats;
    w.scale[0] = Unit::load_half(p + 2 * lane);
    p += 32;
    if constexpr (has_minimum(kFormat)) {
      w.minimum = Unit::load_half(p + 2 * lane);
      p += 32;
    }
  }
  if constexpr (kFormat == kQ8_0) {
    for (int s = 0; s < 8; ++s) w.q[s] = Unit::load_int(p + s * 64 + part * kBytes);
    return;
  }
  const unsigned char* fifth = p;
  if constexpr (has_fifth(kFormat)) p += 64;
  for (int j = 0; j < 4; ++j) {
    const Int bytes = Unit::load_int(p + j * 64 + part * kBytes);
    w.q[j] = Unit::low_nibbles(bytes);
    w.q[j + 4] = Unit::high_nibbles(bytes);
  }
  if constexpr (has_fifth(kFormat)) {
    for (int s = 0; s < 8; ++s) w.q[s] = Unit::add_fifth_bits(w.q[s], fifth + s * 8, part);
  }
  if constexpr (kFormat == kQ6_K) {
    for (int h = 0; h < 2; ++h) {
      const Int pairs = Unit::load_int(p + 256 + h * 64 + part * kBytes);
      w.q[4 * h] = Unit::template add_pairs<0>(w.q[4 * h], pairs);
      w.q[4 * h + 1] = Unit::template add_pairs<2>(w.q[4 * h + 1], pairs);
      w.q[4 * h + 2] = Unit::template add_pairs<4>(w.q[4 * h + 2], pairs);
      w.q[4 * h + 3] = Unit::template add_pairs<6>(w.q[4 * h + 3], pairs);
    }
  }
}

}  // namespace
}  // namespace cresset::engine
