// Matrix products of a panel (part of kernels_simd.h).
#pragma once

#include "engine/kernel/simd_blocks.h"

namespace cresset::engine {
namespace {

template <PackedFormat kFormat>
inline __attribute__((always_inline)) Float add_block(const BlockWeights& w, const ActivationBlock& x,
                                                      Float acc) {
  constexpr bool kWide = is_wide(kFormat);
  const Float x_scale = Unit::set(x.scale);
  if constexpr (has_halves(kFormat)) {
    for (int h = 0; h < 2; ++h) {
      Int dot = Unit::int_zero();
      for (int s = 0; s < 4; ++s) dot = Unit::template dot4<kWide>(dot, w.q[4 * h + s], x.q + 16 * h + 4 * s);
      if constexpr (has_zero(kFormat)) {
        dot = Unit::int_sub(dot, Unit::template shifted<zero_shift(kFormat)>(x.half_sums[h]));
      }
      acc = Unit::fma(Unit::to_float(dot), Unit::mul(w.scale[h], x_scale), acc);
    }
    if constexpr (has_minimum(kFormat)) {
      for (int h = 0; h < 2; ++h)
        acc = Unit::fma(w.minimum[h], Unit::set(x.scale * static_cast<float>(x.half_sums[h])), acc);
    }
    return acc;
  } else {
    Int even = Unit::int_zero(), odd = Unit::int_zero();  // two chains: the sums are exact in any order
    for (int s = 0; s < 8; s += 2) {
      even = Unit::template dot4<kWide>(even, w.q[s], x.q + 4 * s);
      odd = Unit::template dot4<kWide>(odd, w.q[s + 1], x.q + 4 * s + 4);
    }
    Int dot = Unit::int_add(even, odd);
    if constexpr (has_zero(kFormat)) {
      dot = Unit::int_sub(dot, Unit::template shifted<zero_shift(kFormat)>(x.half_sums[0] + x.half_sums[1]));
    }
    acc = Unit::fma(Unit::to_float(dot), Unit::mul(w.scale[0], x_scale), acc);
    if constexpr (has_minimum(kFormat)) acc = Unit::fma(w.minimum[0], Unit::set(x.scaled_sum), acc);
    return acc;
  }
}

inline void finish(const GemmArguments& a, size_t t, int part, Float acc) {
  float* y = a.y + t * a.y_stride + part * Unit::kFloats;
  Unit::store(y, a.accumulate ? Unit::add(Unit::load(y), acc) : acc);
}

template <PackedFormat kFormat>
void gemm_int8(const GemmArguments& a) {
  constexpr size_t kTile = 64;  // tokens: their accumulators stay in the first-level cache
  const size_t blocks = a.columns / 32;
  for (int part = 0; part < kParts; ++part) {
    if (a.tokens == 1) {
      Float acc = Unit::zero();
      for (size_t b = 0; b < blocks; ++b) {
        BlockWeights w;
        load_block<kFormat>(a.panel, b, part, w);
        acc = add_block<kFormat>(w, a.blocks[b * a.tokens_stride], acc);
      }
      finish(a, 0, part, acc);
      continue;
    }
    for (size_t t0 = 0; t0 < a.tokens; t0 += kTile) {
      const size_t count = a.tokens - t0 < kTile ? a.tokens - t0 : kTile;
      Float acc[kTile];
      for (size_t t = 0; t < count; ++t) acc[t] = Unit::zero();
      for (size_t b = 0; b < blocks; ++b) {
        BlockWeights w;
        load_block<kFormat>(a.panel, b, part, w);
        const ActivationBlock* x = a.blocks + b * a.tokens_stride + t0;
        for (size_t t = 0; t < count; ++t) acc[t] = add_block<kFormat>(w, x[t], acc[t]);
      }
      for (size_t t = 0; t < count; ++t) finish(a, t0 + t, part, acc[t]);
    }
  }
}

// ---- float products
enum FloatFormat { kF32 = 0, kF16, kBF16 };

template <FloatFormat kFormat>
inline Float load_weights(const unsigned char* panel, size_t c, int part) {
  const size_t lane = c * 16 + part * Unit::kFloats;
  if constexpr (kFormat == kF32) return Unit::load_unaligned(panel + lane * 4);
  if constexpr (kFormat == kF16) return Unit::load_half(panel + lane * 2);
  if constexpr (kFormat == kBF16) return Unit::load_bfloat(panel + lane * 2);
}

template <FloatFormat kFormat>
void gemm_float(const GemmArguments& a) {
  constexpr size_t kTile = 8;
  for (int part = 0; part < kParts; ++part) {
    size_t t0 = 0;
    for (; t0 + kTile <= a.tokens; t0 += kTile) {
      Float acc[kTile];
      for (size_t t = 0; t < kTile; ++t) acc[t] = Unit::zero();
      const float* x = a.floats + t0 * a.tokens_stride;
      for (size_t c = 0; c < a.columns; ++c) {
        const Float w = load_weights<kFormat>(a.panel, c, part);
        for (size_t t = 0; t < kTile; ++t)
          acc[t] = Unit::fma(w, Unit::set(x[t * a.tokens_stride + c]), acc[t]);
      }
      for (size_t t = 0; t < kTile; ++t) finish(a, t0 + t, part, acc[t]);
    }
    for (; t0 < a.tokens; ++t0) {
      Float acc = Unit::zero();
      const float* x = a.floats + t0 * a.tokens_stride;
      for (size_t c = 0; c < a.columns; ++c)
        acc = Unit::fma(load_weights<kFormat>(a.panel, c, part), Unit::set(x[c]), acc);
      finish(a, t0, part, acc);
    }
  }
}

}  // namespace
}  // namespace cresset::engine
