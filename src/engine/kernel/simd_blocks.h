// The packed formats' blocks in registers (part of kernels_simd.h).
#pragma once

#include "engine/kernel/simd_lanes.h"
#include "engine/quant/tables.h"

namespace cresset::engine {
namespace {

enum PackedFormat {  // as numbered in quant/format.h
  kQ4_0 = 3,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ2_K,
  kQ3_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4
};

constexpr bool has_minimum(PackedFormat f) {
  return f == kQ4_1 || f == kQ5_1 || f == kQ4_K || f == kQ5_K || f == kQ2_K;
}
// Columns 0 to 15 and 16 to 31 of a block have a scale (and a minimum) each.
constexpr bool has_halves(PackedFormat f) {
  return f == kQ6_K || f == kQ2_K || f == kQ3_K;
}
constexpr bool has_fifth(PackedFormat f) {
  return f == kQ5_0 || f == kQ5_1 || f == kQ5_K;
}
// The zero point as a shift: isum - (sum << shift).
constexpr int zero_shift(PackedFormat f) {
  return f == kQ3_K ? 2 : f == kQ4_0 ? 3 : f == kQ5_0 || f == kMXFP4 ? 4 : f == kQ6_K ? 5 : 7;
}
constexpr bool has_zero(PackedFormat f) {
  return !has_minimum(f);
}
// Its unsigned bytes need more than 7 bits.
constexpr bool is_wide(PackedFormat f) {
  return f == kQ8_0 || f == kIQ4_NL || f == kIQ4_XS;
}

// Steps of four columns whose products with activations, pairs of them added, stay below 2^15: the largest
// unsigned byte (of a wide one, the largest magnitude) times 127 times 2 for each.
constexpr int steps_in_16_bits(PackedFormat f) {
  return is_wide(f) ? 1 : f == kQ6_K ? 2 : has_fifth(f) || f == kMXFP4 ? 4 : 8;
}

// A table of values plus the zero point of its format, so that all are unsigned.
struct CodeTable {
  unsigned char of[16];
};
constexpr CodeTable code_table(PackedFormat f) {
  CodeTable out{};
  for (int i = 0; i < 16; ++i) {
    const int value = f == kMXFP4 ? kMxfp4Values[i] : kIq4Values[i];
    out.of[i] = static_cast<unsigned char>(value + (1 << zero_shift(f)));
  }
  return out;
}
template <PackedFormat kFormat>
inline constexpr CodeTable kCodeTable = code_table(kFormat);

// The weights of one block for the rows of one part, in registers.
struct BlockWeights {
  Int q[8];          // step s: columns 4s .. 4s+3 of each row, unsigned bytes
  Float scale[2];    // the second with has_halves only
  Float minimum[2];  // with has_minimum only; the second with has_halves only
};

// Where the quants of block b stand, after reading the scales of the rows of `part`.
template <PackedFormat kFormat>
inline __attribute__((always_inline)) const unsigned char* load_scales(const unsigned char* panel, size_t b,
                                                                       int part, BlockWeights& w) {
  const int lane = part * Unit::kFloats;
  const size_t j = b % 8;  // within a super-block
  if constexpr (kFormat == kQ4_K || kFormat == kQ5_K) {
    constexpr size_t kBlock = kFormat == kQ5_K ? 320 : 256;
    const unsigned char* super = panel + b / 8 * (320 + 8 * kBlock);
    w.scale[0] = Unit::mul(Unit::load_half(super + 2 * lane), Unit::load_u8(super + 64 + j * 16 + lane));
    w.minimum[0] = Unit::negate(
        Unit::mul(Unit::load_half(super + 32 + 2 * lane), Unit::load_u8(super + 192 + j * 16 + lane)));
    return super + 320 + j * kBlock;
  } else if constexpr (kFormat == kQ2_K) {
    const unsigned char* super = panel + b / 8 * 1344;
    const Float d = Unit::load_half(super + 2 * lane), dmin = Unit::load_half(super + 32 + 2 * lane);
    for (size_t h = 0; h < 2; ++h) {
      const unsigned char* packed = super + 64 + (2 * j + h) * 16 + lane;
      w.scale[h] = Unit::mul(d, Unit::load_low_u4(packed));
      w.minimum[h] = Unit::negate(Unit::mul(dmin, Unit::load_high_u4(packed)));
    }
    return super + 320 + j * 128;
  } else if constexpr (kFormat == kQ3_K || kFormat == kQ6_K) {
    constexpr size_t kBlock = kFormat == kQ3_K ? 192 : 384;
    const unsigned char* super = panel + b / 8 * (288 + 8 * kBlock);
    const Float d = Unit::load_half(super + 2 * lane);
    w.scale[0] = Unit::mul(d, Unit::load_i8(super + 32 + (2 * j) * 16 + lane));
    w.scale[1] = Unit::mul(d, Unit::load_i8(super + 32 + (2 * j + 1) * 16 + lane));
    return super + 288 + j * kBlock;
  } else if constexpr (kFormat == kIQ4_XS) {
    const unsigned char* super = panel + b / 8 * 2208;
    w.scale[0] = Unit::mul(Unit::load_half(super + 2 * lane), Unit::load_i8(super + 32 + j * 16 + lane));
    return super + 160 + j * 256;
  } else if constexpr (kFormat == kMXFP4) {
    const unsigned char* p = panel + b * 272;
    w.scale[0] = Unit::load_mxfp4_scale(p + lane);
    return p + 16;
  } else {
    constexpr size_t kBlock =
        kFormat == kQ8_0 ? 544 : 288 + (has_minimum(kFormat) ? 32 : 0) + (has_fifth(kFormat) ? 64 : 0);
    const unsigned char* p = panel + b * kBlock;
    w.scale[0] = Unit::load_half(p + 2 * lane);
    if constexpr (!has_minimum(kFormat)) return p + 32;
    w.minimum[0] = Unit::load_half(p + 32 + 2 * lane);
    return p + 64;
  }
}

template <PackedFormat kFormat>
inline __attribute__((always_inline)) void load_block(const unsigned char* panel, size_t b, int part,
                                                      BlockWeights& w) {
  constexpr int kBytes = Unit::kFloats * 4;  // of a register
  const unsigned char* p = load_scales<kFormat>(panel, b, part, w);
  if constexpr (kFormat == kQ8_0) {
    for (int s = 0; s < 8; ++s) w.q[s] = Unit::load_int(p + s * 64 + part * kBytes);
  } else if constexpr (kFormat == kQ2_K || kFormat == kQ3_K) {
    constexpr int kThird = kFormat == kQ3_K ? 64 : 0;
    for (int h = 0; h < 2; ++h) {
      const Int pairs = Unit::load_int(p + kThird + h * 64 + part * kBytes);
      w.q[4 * h] = Unit::template bit_pairs<0>(pairs);
      w.q[4 * h + 1] = Unit::template bit_pairs<2>(pairs);
      w.q[4 * h + 2] = Unit::template bit_pairs<4>(pairs);
      w.q[4 * h + 3] = Unit::template bit_pairs<6>(pairs);
    }
    if constexpr (kFormat == kQ3_K) {
      for (int s = 0; s < 8; ++s) w.q[s] = Unit::template add_bits<4>(w.q[s], p + s * 8, part);
    }
  } else {
    const unsigned char* fifth = p;
    if constexpr (has_fifth(kFormat)) p += 64;
    for (int j = 0; j < 4; ++j) {
      const Int bytes = Unit::load_int(p + j * 64 + part * kBytes);
      w.q[j] = Unit::low_nibbles(bytes);
      w.q[j + 4] = Unit::high_nibbles(bytes);
    }
    if constexpr (kFormat == kIQ4_NL || kFormat == kIQ4_XS || kFormat == kMXFP4) {
      for (int s = 0; s < 8; ++s) w.q[s] = Unit::look_up(kCodeTable<kFormat>.of, w.q[s]);
    }
    if constexpr (has_fifth(kFormat)) {
      for (int s = 0; s < 8; ++s) w.q[s] = Unit::template add_bits<16>(w.q[s], fifth + s * 8, part);
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
}

}  // namespace
}  // namespace cresset::engine
