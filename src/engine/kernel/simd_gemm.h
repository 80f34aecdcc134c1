// Matrix products of panels (part of kernels_simd.h).
//
// Many tokens: a group of panels is expanded once to bytes with its scales as floats (it stays in the
// second-level cache), then tiles of tokens pass over it with all sums in registers. Few tokens: the packed
// blocks are expanded in registers as they are read, each weight once from memory. Both do the operations of
// kernels.h in the same order.
#pragma once

#include "engine/kernel/simd_blocks.h"

namespace cresset::engine {
namespace {

constexpr size_t kRegister = Unit::kFloats * 4;  // bytes
constexpr size_t kFewTokens = 24;                // up to here the packed form is read directly

// ---- one block times one token ----

template <PackedFormat kFormat>
inline __attribute__((always_inline)) Int zero_point(int32_t bias) {
  if constexpr (!has_zero(kFormat)) return Unit::int_zero();
  return Unit::template shifted_right<7 - zero_shift(kFormat)>(bias);
}

// What a minimum is multiplied by: the sum of the block's activations, or of its half h.
template <PackedFormat kFormat>
inline __attribute__((always_inline)) float scaled_sum(const ActivationBlock& x, int h) {
  if constexpr (!has_halves(kFormat)) return x.scaled_sum;
  const int32_t bias = h == 0 ? x.half_bias : x.bias - x.half_bias;
  return x.scale * static_cast<float>(bias / -128);
}

// ---- expanded panels ----

// A block: 8 registers of bytes, then the scales, then the minima.
template <PackedFormat kFormat>
constexpr size_t kExpandedBytes =
    (8 + (has_halves(kFormat) ? 2 : 1) * (has_minimum(kFormat) ? 2 : 1)) * kRegister;

template <PackedFormat kFormat>
inline void expand(const unsigned char* panel, size_t first, size_t end, int part, unsigned char* out) {
  for (size_t b = first; b < end; ++b, out += kExpandedBytes<kFormat>) {
    BlockWeights w;
    load_block<kFormat>(panel, b, part, w);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      Int q = w.q[s];
      if constexpr (Unit::kIsCentred && has_zero(kFormat))
        q = Unit::recentre(q, 128 - (1 << zero_shift(kFormat)));
      Unit::store_int(out + static_cast<size_t>(s) * kRegister, q);
    }
    auto* scales = reinterpret_cast<float*>(out + 8 * kRegister);
    Unit::store(scales, w.scale[0]);
    if constexpr (has_halves(kFormat)) Unit::store(scales + Unit::kFloats, w.scale[1]);
    if constexpr (has_minimum(kFormat)) {
      float* minima = scales + (has_halves(kFormat) ? 2 : 1) * Unit::kFloats;
      Unit::store(minima, w.minimum[0]);
      if constexpr (has_halves(kFormat)) Unit::store(minima + Unit::kFloats, w.minimum[1]);
    }
  }
}

// Blocks of a stretch: all of them, or those listed.
struct AllBlocks {
  size_t count;
  size_t operator[](size_t i) const { return i; }
};
struct SomeBlocks {
  size_t count = 0;
  uint8_t index[kGemmBlocks];
  size_t operator[](size_t i) const { return index[i]; }
};

// The blocks that any of `tokens` has something left over in.
inline void find_rest(const ActivationBlock* rest, size_t blocks, size_t tokens, SomeBlocks& out) {
  out.count = 0;
  for (size_t b = 0; b < blocks; ++b) {
    const ActivationBlock* x = rest + b * kTokenTile;
    bool is_any = false;
    for (size_t t = 0; t < tokens; ++t) is_any |= x[t].scale != 0;
    out.index[out.count] = static_cast<uint8_t>(b);
    out.count += is_any;
  }
}

// The sums of T tokens with one panel's part over some blocks, all in registers; they go on from `from`, if
// given.
template <PackedFormat kFormat, size_t T, class Blocks>
inline __attribute__((always_inline)) void multiply_tile(const unsigned char* panel,
                                                         const ActivationBlock* tokens, const Blocks& blocks,
                                                         const Float* from, Float* sums) {
  // Bytes above 7 bits: where the unit cannot add pairs of their products.
  constexpr bool kWide = Unit::kIsCentred || is_wide(kFormat);
  constexpr int kHalves = has_halves(kFormat) ? 2 : 1, kSteps = 8 / kHalves;
  Float acc[T];
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) acc[t] = from == nullptr ? Unit::zero() : from[t];
  for (size_t i = 0; i < blocks.count; ++i) {
    const unsigned char* const w = panel + blocks[i] * kExpandedBytes<kFormat>;
    const ActivationBlock* const x = tokens + blocks[i] * kTokenTile;
    const auto* scales = reinterpret_cast<const float*>(w + 8 * kRegister);
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) {
      Int dot[T];
#pragma GCC unroll 16
      for (size_t t = 0; t < T; ++t) {
        const int32_t bias = kHalves == 1 ? x[t].bias : h == 0 ? x[t].half_bias : x[t].bias - x[t].half_bias;
        if constexpr (Unit::kIsCentred && has_zero(kFormat)) {
          dot[t] = Unit::set_int(bias);
        } else {
          dot[t] = zero_point<kFormat>(bias);
        }
      }
#pragma GCC unroll 8
      for (int s = h * kSteps; s < (h + 1) * kSteps; ++s) {
        const Int q = Unit::load_int(w + static_cast<size_t>(s) * kRegister);
#pragma GCC unroll 16
        for (size_t t = 0; t < T; ++t) dot[t] = Unit::template dot4<kWide>(dot[t], q, x[t].q + 4 * s);
      }
      const Float scale = Unit::load(scales + static_cast<size_t>(h) * Unit::kFloats);
#pragma GCC unroll 16
      for (size_t t = 0; t < T; ++t) {
        acc[t] = Unit::fma(Unit::to_float(dot[t]), Unit::mul(scale, Unit::set(x[t].scale)), acc[t]);
      }
    }
    if constexpr (has_minimum(kFormat)) {
      const float* minima = scales + kHalves * Unit::kFloats;
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
        const Float minimum = Unit::load(minima + h * Unit::kFloats);
#pragma GCC unroll 16
        for (size_t t = 0; t < T; ++t)
          acc[t] = Unit::fma(minimum, Unit::set(scaled_sum<kFormat>(x[t], h)), acc[t]);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) sums[t] = acc[t];
}

// Tokens [0, count) of one storage tile.
template <PackedFormat kFormat, class Blocks>
inline void multiply_tokens(const unsigned char* w, const ActivationBlock* x, const Blocks& blocks,
                            size_t count, const Float* from, Float* sums) {
  const auto at = [from](size_t t) { return from == nullptr ? nullptr : from + t; };
  size_t t = 0;
  for (; t + Unit::kTokens <= count; t += Unit::kTokens)
    multiply_tile<kFormat, Unit::kTokens>(w, x + t, blocks, at(t), sums + t);
  if constexpr (Unit::kTokens > 4) {
    for (; t + 4 <= count; t += 4) multiply_tile<kFormat, 4>(w, x + t, blocks, at(t), sums + t);
  }
  for (; t + 2 <= count; t += 2) multiply_tile<kFormat, 2>(w, x + t, blocks, at(t), sums + t);
  if (t < count) multiply_tile<kFormat, 1>(w, x + t, blocks, at(t), sums + t);
}

inline void finish(float* y, bool accumulate, Float sum) {
  Unit::store(y, accumulate ? Unit::add(Unit::load(y), sum) : sum);
}

// Up to kGemmTokens tokens with up to kGemmPanels panels, one part of their rows.
template <PackedFormat kFormat>
void multiply_group(const GemmArguments& a, size_t panel0, size_t panels, size_t token0, size_t tokens,
                    int part) {
  const size_t blocks = a.columns / 32;
  unsigned char* expanded = a.scratch;
  // Sums between two stretches of columns: [panel][token], and the same for `rest`.
  auto* const sums = reinterpret_cast<Float*>(a.scratch + kGemmPanels * kGemmBlocks * 12 * 64);
  for (size_t b0 = 0; b0 < blocks; b0 += kGemmBlocks) {
    const size_t count = b0 + kGemmBlocks < blocks ? kGemmBlocks : blocks - b0;
    const bool is_first = b0 == 0, is_last = b0 + count == blocks;
    for (size_t p = 0; p < panels; ++p) {
      expand<kFormat>(a.panels + (panel0 + p) * a.panel_bytes, b0, b0 + count, part,
                      expanded + p * kGemmBlocks * kExpandedBytes<kFormat>);
    }
    for (size_t t0 = 0; t0 < tokens; t0 += kTokenTile) {
      const size_t width = t0 + kTokenTile < tokens ? kTokenTile : tokens - t0;
      const size_t at = activation_index(token0 + t0, blocks) + b0 * kTokenTile;
      SomeBlocks rest;
      if (a.rest != nullptr) find_rest(a.rest + at, count, width, rest);
      for (size_t p = 0; p < panels; ++p) {
        const unsigned char* w = expanded + p * kGemmBlocks * kExpandedBytes<kFormat>;
        Float* const kept = sums + 2 * (p * kGemmTokens + t0);
        Float last[2 * kTokenTile];
        Float* const main = is_last ? last : kept;
        multiply_tokens<kFormat>(w, a.blocks + at, AllBlocks{count}, width, is_first ? nullptr : kept, main);
        if (a.rest != nullptr) {
          multiply_tokens<kFormat>(w, a.rest + at, rest, width, is_first ? nullptr : kept + kTokenTile,
                                   main + kTokenTile);
        }
        if (!is_last) continue;
        float* y = a.y + (token0 + t0) * a.y_stride + (panel0 + p) * kPanelRows +
                   static_cast<size_t>(part) * Unit::kFloats;
        for (size_t t = 0; t < width; ++t) {
          finish(y + t * a.y_stride, a.accumulate,
                 a.rest == nullptr ? main[t] : Unit::add(main[t], main[kTokenTile + t]));
        }
      }
    }
  }
}

// ---- few tokens ----

// The sums of T columns (tokens, or what is left of them) with one panel's part: each weight is expanded in
// registers as it comes from memory, which the products then hide. kIsRest: blocks in which no column has
// anything are left out.
template <PackedFormat kFormat, size_t T, bool kIsRest>
inline __attribute__((always_inline)) void multiply_few(const unsigned char* panel, int part, size_t blocks,
                                                        const ActivationBlock* const* columns, Float* sums) {
  constexpr bool kWide = is_wide(kFormat);
  constexpr int kHalves = has_halves(kFormat) ? 2 : 1, kSteps = 8 / kHalves;
  // Few columns: two chains each, as the sums are exact in any order.
  constexpr int kChains = T <= 2 ? 2 : 1;
  Float acc[T];
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) acc[t] = Unit::zero();
  for (size_t b = 0; b < blocks; ++b) {
    if constexpr (kIsRest) {
      bool is_any = false;
      for (size_t t = 0; t < T; ++t) is_any |= columns[t][b * kTokenTile].scale != 0;
      if (!is_any) continue;
    }
    BlockWeights w;
    load_block<kFormat>(panel, b, part, w);
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) {
      const ActivationBlock& x = columns[t][b * kTokenTile];
      const Float x_scale = Unit::set(x.scale);
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
        const int32_t bias = kHalves == 1 ? x.bias : h == 0 ? x.half_bias : x.bias - x.half_bias;
        Int dot[kChains];
        dot[0] = zero_point<kFormat>(bias);
        if constexpr (kChains == 2) dot[1] = Unit::int_zero();
#pragma GCC unroll 8
        for (int s = h * kSteps; s < (h + 1) * kSteps; ++s)
          dot[s % kChains] = Unit::template dot4<kWide>(dot[s % kChains], w.q[s], x.q + 4 * s);
        if constexpr (kChains == 2) dot[0] = Unit::int_add(dot[0], dot[1]);
        acc[t] = Unit::fma(Unit::to_float(dot[0]), Unit::mul(w.scale[h], x_scale), acc[t]);
      }
      if constexpr (has_minimum(kFormat)) {
#pragma GCC unroll 2
        for (int h = 0; h < kHalves; ++h)
          acc[t] = Unit::fma(w.minimum[h], Unit::set(scaled_sum<kFormat>(x, h)), acc[t]);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) sums[t] = acc[t];
}

template <PackedFormat kFormat, bool kIsRest>
inline void multiply_columns(const unsigned char* panel, int part, size_t blocks,
                             const ActivationBlock* const* columns, size_t count, Float* sums) {
  size_t n = 0;
  if constexpr (Unit::kFewColumns > 4) {
    for (; n + Unit::kFewColumns <= count; n += Unit::kFewColumns)
      multiply_few<kFormat, Unit::kFewColumns, kIsRest>(panel, part, blocks, columns + n, sums + n);
  }
  for (; n + 4 <= count; n += 4)
    multiply_few<kFormat, 4, kIsRest>(panel, part, blocks, columns + n, sums + n);
  if (n + 2 <= count) {
    multiply_few<kFormat, 2, kIsRest>(panel, part, blocks, columns + n, sums + n);
    n += 2;
  }
  if (n < count) multiply_few<kFormat, 1, kIsRest>(panel, part, blocks, columns + n, sums + n);
}

template <PackedFormat kFormat>
void gemm_few(const GemmArguments& a) {
  const size_t blocks = a.columns / 32;
  const ActivationBlock *columns[kFewTokens], *rest[kFewTokens];
  for (size_t t = 0; t < a.tokens; ++t) {
    columns[t] = a.blocks + activation_index(t, blocks);
    if (a.rest != nullptr) rest[t] = a.rest + activation_index(t, blocks);
  }
  for (size_t p = 0; p < a.panel_count; ++p) {
    const unsigned char* panel = a.panels + p * a.panel_bytes;
    for (int part = 0; part < kParts; ++part) {
      Float sums[kFewTokens], rest_sums[kFewTokens];
      multiply_columns<kFormat, false>(panel, part, blocks, columns, a.tokens, sums);
      if (a.rest != nullptr) multiply_columns<kFormat, true>(panel, part, blocks, rest, a.tokens, rest_sums);
      float* y = a.y + p * kPanelRows + static_cast<size_t>(part) * Unit::kFloats;
      for (size_t t = 0; t < a.tokens; ++t) {
        finish(y + t * a.y_stride, a.accumulate,
               a.rest == nullptr ? sums[t] : Unit::add(sums[t], rest_sums[t]));
      }
    }
  }
}

template <PackedFormat kFormat>
void gemm_int8(const GemmArguments& a) {
  if (a.tokens <= kFewTokens) return gemm_few<kFormat>(a);
  for (size_t t0 = 0; t0 < a.tokens; t0 += kGemmTokens) {
    const size_t tokens = t0 + kGemmTokens < a.tokens ? kGemmTokens : a.tokens - t0;
    for (size_t p0 = 0; p0 < a.panel_count; p0 += kGemmPanels) {
      const size_t panels = p0 + kGemmPanels < a.panel_count ? kGemmPanels : a.panel_count - p0;
      for (int part = 0; part < kParts; ++part) multiply_group<kFormat>(a, p0, panels, t0, tokens, part);
    }
  }
}

// ---- float products ----

enum FloatFormat { kF32 = 0, kF16, kBF16 };

template <FloatFormat kFormat>
inline Float load_weights(const unsigned char* panel, size_t c, int part) {
  const size_t lane = c * 16 + static_cast<size_t>(part * Unit::kFloats);
  if constexpr (kFormat == kF32) return Unit::load_unaligned(panel + lane * 4);
  if constexpr (kFormat == kF16) return Unit::load_half(panel + lane * 2);
  if constexpr (kFormat == kBF16) return Unit::load_bfloat(panel + lane * 2);
}

template <FloatFormat kFormat, size_t T>
inline void multiply_floats(const GemmArguments& a, const unsigned char* panel, size_t t0, int part,
                            float* y) {
  Float acc[T];
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) acc[t] = Unit::zero();
  const float* x = a.floats + t0 * a.floats_stride;
  for (size_t c = 0; c < a.columns; ++c) {
    const Float w = load_weights<kFormat>(panel, c, part);
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) acc[t] = Unit::fma(w, Unit::set(x[t * a.floats_stride + c]), acc[t]);
  }
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) finish(y + (t0 + t) * a.y_stride, a.accumulate, acc[t]);
}

template <FloatFormat kFormat>
void gemm_float(const GemmArguments& a) {
  for (size_t p = 0; p < a.panel_count; ++p) {
    const unsigned char* panel = a.panels + p * a.panel_bytes;
    for (int part = 0; part < kParts; ++part) {
      float* y = a.y + p * kPanelRows + static_cast<size_t>(part) * Unit::kFloats;
      size_t t = 0;
      for (; t + Unit::kTokens <= a.tokens; t += Unit::kTokens)
        multiply_floats<kFormat, Unit::kTokens>(a, panel, t, part, y);
      for (; t < a.tokens; ++t) multiply_floats<kFormat, 1>(a, panel, t, part, y);
    }
  }
}

}  // namespace
}  // namespace cresset::engine
