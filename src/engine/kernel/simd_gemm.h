// Matrix products of panels (part of kernels_simd.h).
//
// Many tokens: a group of panels is expanded once to bytes with its scales as floats (it stays in the
// second-level cache), then tiles of tokens pass over it with all sums in registers. Few tokens: the packed
// blocks are expanded in registers as they are read, each weight once from memory. Both do the operations of
// kernels.h in the same order.
#pragma once

#include <algorithm>
#include <type_traits>

#include "engine/kernel/simd_blocks.h"

namespace cresset::engine {
namespace {

constexpr size_t kRegister = Unit::kFloats * 4;  // bytes
constexpr size_t kFewTokens = 24;                // up to here the packed form is read directly
constexpr size_t kFetchAhead = 8192;             // bytes of weights

// Weights that are needed soon come nearer: memory's latency is longer than a core looks ahead, and its own
// prefetching ends with each page. What is beyond the weights is not read, and harms nothing.
inline __attribute__((always_inline)) void fetch_weights(const unsigned char* from, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(from + line);
}

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

// Between the panels of a group.
template <PackedFormat kFormat>
constexpr size_t kPanelStride = kGemmBlocks * kExpandedBytes<kFormat>;

// Of a block of a group's panel r: its scales, then its minima.
template <PackedFormat kFormat>
inline const float* expanded_scales(const unsigned char* block, size_t r) {
  return reinterpret_cast<const float*>(block + r * kPanelStride<kFormat> + 8 * kRegister);
}

template <PackedFormat kFormat>
inline void expand(const unsigned char* panel, size_t first, size_t end, int part, size_t block_bytes,
                   unsigned char* out) {
  for (size_t b = first; b < end; ++b, out += kExpandedBytes<kFormat>) {
    fetch_weights(panel + b * block_bytes + kFetchAhead, block_bytes);
    BlockWeights w;
    load_block<kFormat>(panel, b, part, w);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      Int q = w.q[s];
      if constexpr (Unit::kIsCentred && has_zero(kFormat)) {
        q = Unit::recentre(q, 128 - (1 << zero_shift(kFormat)));
      } else if constexpr (!Unit::kIsCentred && is_wide(kFormat)) {
        q = Unit::recentre(q, 128);  // signed: see multiply_tile
      }
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

// The blocks that any of some tokens has chosen; theirs are `words` apart.
inline SomeBlocks list_chosen(const uint64_t* chosen, size_t words, size_t tokens) {
  static_assert(kGemmBlocks == 64);
  uint64_t any = 0;
  for (size_t t = 0; t < tokens; ++t) any |= chosen[t * words];
  SomeBlocks out;
  for (; any != 0; any &= any - 1) out.index[out.count++] = static_cast<uint8_t>(__builtin_ctzll(any));
  return out;
}

// A tile: so many panels, and tokens times panels.
template <PackedFormat kFormat>
constexpr size_t kTilePanels = is_wide(kFormat) ? Unit::kWidePanels : Unit::kPanels;
template <PackedFormat kFormat>
constexpr size_t kTileTokens = is_wide(kFormat) ? Unit::kWideTokens : Unit::kTokens;

// Where sums are: of panel r and token t at at[r * stride + t].
struct Sums {
  Float* at;
  size_t stride;
  Sums next(size_t t) const { return {at == nullptr ? nullptr : at + t, stride}; }
};

// The sums of T tokens with R panels' part over some blocks, all in registers; they go on from `from`
// where that is somewhere. The panels are one group's, expanded. An activation that is loaded serves R
// panels, a weight T tokens.
template <PackedFormat kFormat, size_t R, size_t T, class Blocks>
inline __attribute__((always_inline)) void multiply_tile(const unsigned char* panels,
                                                         const ActivationBlock* tokens, const Blocks& blocks,
                                                         Sums from, Sums sums) {
  constexpr int kHalves = has_halves(kFormat) ? 2 : 1, kSteps = 8 / kHalves;
  Float acc[R][T];
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t)
      acc[r][t] = from.at == nullptr ? Unit::zero() : from.at[r * from.stride + t];
  }
  for (size_t i = 0; i < blocks.count; ++i) {
    const unsigned char* const w = panels + blocks[i] * kExpandedBytes<kFormat>;
    const ActivationBlock* const x = tokens + blocks[i] * kTokenTile;
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) {
      Int dot[R][T];
      const auto first = [&](size_t t) __attribute__((always_inline)) {
        const int32_t bias = kHalves == 1 ? x[t].bias : h == 0 ? x[t].half_bias : x[t].bias - x[t].half_bias;
        if constexpr (Unit::kIsCentred && has_zero(kFormat)) return Unit::set_int(bias);
        if constexpr (!Unit::kIsCentred && is_wide(kFormat)) return Unit::int_zero();
        return zero_point<kFormat>(bias);
      };
      if constexpr (Unit::kIsCentred) {
#pragma GCC unroll 16
        for (size_t t = 0; t < T; ++t) {
          dot[0][t] = first(t);
#pragma GCC unroll 4
          for (size_t r = 1; r < R; ++r) dot[r][t] = dot[0][t];
        }
      }
      // Where pairs of products are added in 16 bits, as many steps as these hold are added there.
      constexpr int kTogether = Unit::kIsCentred ? 1 : std::min(kSteps, steps_in_16_bits(kFormat));
      using U = std::conditional_t<(R > 0), Unit, void>;  // dependent: each unit has one of the two ways
      [[maybe_unused]] Int pairs[R][T];
#pragma GCC unroll 8
      for (int s = h * kSteps; s < (h + 1) * kSteps; ++s) {
        Int q[R];
#pragma GCC unroll 4
        for (size_t r = 0; r < R; ++r)
          q[r] = Unit::load_int(w + r * kPanelStride<kFormat> + static_cast<size_t>(s) * kRegister);
#pragma GCC unroll 16
        for (size_t t = 0; t < T; ++t) {
#pragma GCC unroll 4
          for (size_t r = 0; r < R; ++r) {
            if constexpr (Unit::kIsCentred) {
              dot[r][t] = Unit::template dot4<true>(dot[r][t], q[r], x[t].q + 4 * s);
            } else {
              const Int two = U::template pair_products<is_wide(kFormat)>(q[r], x[t].q + 4 * s);
              pairs[r][t] = s % kTogether == 0 ? two : U::add_16(pairs[r][t], two);
              if (s % kTogether != kTogether - 1) continue;
              dot[r][t] = U::add_pairs(s < h * kSteps + kTogether ? first(t) : dot[r][t], pairs[r][t]);
            }
          }
        }
      }
#pragma GCC unroll 4
      for (size_t r = 0; r < R; ++r) {
        const Float scale =
            Unit::load(expanded_scales<kFormat>(w, r) + static_cast<size_t>(h) * Unit::kFloats);
#pragma GCC unroll 16
        for (size_t t = 0; t < T; ++t) {
          acc[r][t] =
              Unit::fma(Unit::to_float(dot[r][t]), Unit::mul(scale, Unit::set(x[t].scale)), acc[r][t]);
        }
      }
    }
    if constexpr (has_minimum(kFormat)) {
#pragma GCC unroll 2
      for (int h = 0; h < kHalves; ++h) {
#pragma GCC unroll 4
        for (size_t r = 0; r < R; ++r) {
          const Float minimum =
              Unit::load(expanded_scales<kFormat>(w, r) + static_cast<size_t>(kHalves + h) * Unit::kFloats);
#pragma GCC unroll 16
          for (size_t t = 0; t < T; ++t)
            acc[r][t] = Unit::fma(minimum, Unit::set(scaled_sum<kFormat>(x[t], h)), acc[r][t]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) sums.at[r * sums.stride + t] = acc[r][t];
  }
}

// Tokens [0, count) of one storage tile with R panels of a group, over blocks_of(token, tokens) for a few
// of them at a time.
template <PackedFormat kFormat, size_t R, class BlocksOf>
inline void multiply_tokens(const unsigned char* w, const ActivationBlock* x, const BlocksOf& blocks_of,
                            size_t count, Sums from, Sums sums) {
  size_t t = 0;
  const auto take = [&]<size_t T>(std::integral_constant<size_t, T>) {
    for (; t + T <= count; t += T)
      multiply_tile<kFormat, R, T>(w, x + t, blocks_of(t, T), from.next(t), sums.next(t));
  };
  take(std::integral_constant<size_t, kTileTokens<kFormat> / R>());
  if constexpr (kTileTokens<kFormat> / R > 4) take(std::integral_constant<size_t, 4>());
  take(std::integral_constant<size_t, 2>());
  take(std::integral_constant<size_t, 1>());
}

inline void finish(float* y, bool accumulate, Float sum) {
  Unit::store(y, accumulate ? Unit::add(Unit::load(y), sum) : sum);
}

// Up to kGemmTokens tokens with R panels, one part of their rows. The panels' part is expanded once and stays
// in the nearest cache as far as it fits there, while the tokens pass.
template <PackedFormat kFormat, size_t R>
void multiply_group(const GemmArguments& a, size_t panel0, size_t token0, size_t tokens, int part) {
  static_assert(R <= kGemmPanels);
  const size_t blocks = a.columns / 32;
  unsigned char* const expanded = a.scratch;
  // Sums between two stretches of columns: [panel][token], and the same for `rest`.
  auto* const sums = reinterpret_cast<Float*>(a.scratch + kGemmPanels * kGemmBlocks * 12 * 64);
  for (size_t b0 = 0; b0 < blocks; b0 += kGemmBlocks) {
    const size_t count = b0 + kGemmBlocks < blocks ? kGemmBlocks : blocks - b0;
    const bool is_first = b0 == 0, is_last = b0 + count == blocks;
    for (size_t r = 0; r < R; ++r) {
      expand<kFormat>(a.panels + (panel0 + r) * a.panel_bytes, b0, b0 + count, part, a.panel_bytes / blocks,
                      expanded + r * kPanelStride<kFormat>);
    }
    for (size_t t0 = 0; t0 < tokens; t0 += kTokenTile) {
      const size_t width = t0 + kTokenTile < tokens ? kTokenTile : tokens - t0;
      const size_t at = activation_index(token0 + t0, blocks) + b0 * kTokenTile;
      Float last[R * 2 * kTokenTile];
      const Sums kept{sums + 2 * t0, 2 * kGemmTokens};
      const Sums main = is_last ? Sums{last, 2 * kTokenTile} : kept;
      const Sums from{is_first ? nullptr : kept.at, kept.stride};
      const auto all = [count](size_t, size_t) { return AllBlocks{count}; };
      multiply_tokens<kFormat, R>(expanded, a.blocks + at, all, width, from, main);
      if (a.rest != nullptr) {
        const uint64_t* const chosen = a.rest_chosen + (token0 + t0) * a.rest_words + b0 / kGemmBlocks;
        const auto some = [&](size_t t, size_t n) {
          return list_chosen(chosen + t * a.rest_words, a.rest_words, n);
        };
        multiply_tokens<kFormat, R>(expanded, a.rest + at, some, width, from.next(kTokenTile),
                                    main.next(kTokenTile));
      }
      if (!is_last) continue;
      for (size_t r = 0; r < R; ++r) {
        float* y = a.y + (token0 + t0) * a.y_stride + (panel0 + r) * kPanelRows +
                   static_cast<size_t>(part) * Unit::kFloats;
        const Float* of = main.at + r * main.stride;
        for (size_t t = 0; t < width; ++t) {
          finish(y + t * a.y_stride, a.accumulate,
                 a.rest == nullptr ? of[t] : Unit::add(of[t], of[kTokenTile + t]));
        }
      }
    }
  }
}

// ---- few tokens ----

// A block of weights in registers with one token's: their product added to acc, as kernels.h has it. Sums are
// exact in any order: of `kChains` chains.
template <PackedFormat kFormat, int kChains>
inline __attribute__((always_inline)) Float add_product(const BlockWeights& w, const ActivationBlock& x,
                                                        Float acc) {
  constexpr int kHalves = has_halves(kFormat) ? 2 : 1, kSteps = 8 / kHalves;
  const Float x_scale = Unit::set(x.scale);
#pragma GCC unroll 2
  for (int h = 0; h < kHalves; ++h) {
    const int32_t bias = kHalves == 1 ? x.bias : h == 0 ? x.half_bias : x.bias - x.half_bias;
    Int dot[kChains];
    dot[0] = zero_point<kFormat>(bias);
    if constexpr (kChains == 2) dot[1] = Unit::int_zero();
#pragma GCC unroll 8
    for (int s = h * kSteps; s < (h + 1) * kSteps; ++s)
      dot[s % kChains] = Unit::template dot4_once<is_wide(kFormat)>(dot[s % kChains], w.q[s], x.q + 4 * s);
    if constexpr (kChains == 2) dot[0] = Unit::int_add(dot[0], dot[1]);
    acc = Unit::fma(Unit::to_float(dot[0]), Unit::mul(w.scale[h], x_scale), acc);
  }
  if constexpr (has_minimum(kFormat)) {
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h)
      acc = Unit::fma(w.minimum[h], Unit::set(scaled_sum<kFormat>(x, h)), acc);
  }
  return acc;
}

// The sums of T tokens from `first` with one panel's part: each weight is expanded in registers as it comes
// from memory; of those to come, `fetched` bytes a block are fetched.
template <PackedFormat kFormat, size_t T>
inline __attribute__((always_inline)) void multiply_few(const unsigned char* panel, int part, size_t blocks,
                                                        size_t fetched, const ActivationBlock* tokens,
                                                        size_t first, Float* sums) {
  Float acc[T];
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) acc[t] = Unit::zero();
  // The tokens from `first` on lie side by side as far as their tile goes: see multiply_all_few.
  const ActivationBlock* const tiles[2] = {
      tokens + activation_index(first, blocks),
      T > kTokenTile ? tokens + activation_index(first + kTokenTile, blocks) : nullptr};
  const unsigned char* soon = panel + kFetchAhead;
  for (size_t b = 0; b < blocks; ++b, soon += fetched) {
    fetch_weights(soon, fetched);
    BlockWeights w;
    load_block<kFormat>(panel, b, part, w);
#pragma GCC unroll 16
    for (size_t t = 0; t < T; ++t) {
      acc[t] = add_product<kFormat, T <= 2 ? 2 : 1>(w, tiles[t / kTokenTile][b * kTokenTile + t % kTokenTile],
                                                    acc[t]);
    }
  }
#pragma GCC unroll 16
  for (size_t t = 0; t < T; ++t) sums[t] = acc[t];
}

// As many at a time as there are. None of these begins within a tile and goes on into the next: 16 begin at
// 0.
template <PackedFormat kFormat>
inline void multiply_all_few(const unsigned char* panel, int part, size_t blocks, size_t fetched,
                             const ActivationBlock* tokens, size_t count, Float* sums) {
  size_t n = 0;
  const auto take = [&]<size_t T>(std::integral_constant<size_t, T>) {
    for (; n + T <= count; n += T)
      multiply_few<kFormat, T>(panel, part, blocks, n == 0 ? fetched : 0, tokens, n, sums + n);
  };
  if constexpr (Unit::kFewColumns > 4) {
    take(std::integral_constant<size_t, Unit::kFewColumns>());
    take(std::integral_constant<size_t, 12>());
    take(std::integral_constant<size_t, 8>());
  }
  take(std::integral_constant<size_t, 4>());
  take(std::integral_constant<size_t, 2>());
  take(std::integral_constant<size_t, 1>());
}

// Rows of more blocks than a list in the scratch has room for are taken as those of many tokens.
constexpr size_t kListedBlocks = kGemmScratchBytes / sizeof(uint32_t);

// For each block, which of a few tokens have chosen it: token t at bit t.
void list_choosers(const GemmArguments& a, uint32_t* choosers) {
  static_assert(kFewTokens <= 32);
  std::fill_n(choosers, a.columns / 32, 0);
  for (size_t t = 0; t < a.tokens; ++t) {
    for (size_t word = 0; word < a.rest_words; ++word) {
      for (uint64_t chosen = a.rest_chosen[t * a.rest_words + word]; chosen != 0; chosen &= chosen - 1)
        choosers[word * 64 + static_cast<size_t>(__builtin_ctzll(chosen))] |= uint32_t{1} << t;
    }
  }
}

// The sums over the chosen blocks, of each token over its own.
template <PackedFormat kFormat>
inline void multiply_chosen(const unsigned char* panel, int part, size_t blocks,
                            const ActivationBlock* tokens, size_t count, const uint32_t* choosers,
                            Float* sums) {
  for (size_t t = 0; t < count; ++t) sums[t] = Unit::zero();
  for (size_t b = 0; b < blocks; ++b) {
    if (choosers[b] == 0) continue;
    BlockWeights w;
    load_block<kFormat>(panel, b, part, w);
    for (uint32_t left = choosers[b]; left != 0; left &= left - 1) {
      const auto t = static_cast<size_t>(__builtin_ctz(left));
      sums[t] = add_product<kFormat, 2>(w, tokens[activation_index(t, blocks) + b * kTokenTile], sums[t]);
    }
  }
}

template <PackedFormat kFormat>
void gemm_few(const GemmArguments& a) {
  const size_t blocks = a.columns / 32;
  auto* const choosers = reinterpret_cast<uint32_t*>(a.scratch);
  if (a.rest != nullptr) list_choosers(a, choosers);
  for (size_t p = 0; p < a.panel_count; ++p) {
    const unsigned char* panel = a.panels + p * a.panel_bytes;
    for (int part = 0; part < kParts; ++part) {
      Float sums[kFewTokens], rest_sums[kFewTokens];
      multiply_all_few<kFormat>(panel, part, blocks, a.panel_bytes / blocks, a.blocks, a.tokens, sums);
      if (a.rest != nullptr)
        multiply_chosen<kFormat>(panel, part, blocks, a.rest, a.tokens, choosers, rest_sums);
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
  if (a.tokens <= kFewTokens && a.columns / 32 <= kListedBlocks) return gemm_few<kFormat>(a);
  for (size_t t0 = 0; t0 < a.tokens; t0 += kGemmTokens) {
    const size_t tokens = t0 + kGemmTokens < a.tokens ? kGemmTokens : a.tokens - t0;
    for (int part = 0; part < kParts; ++part) {
      size_t p = 0;
      constexpr size_t kPanels = kTilePanels<kFormat>;
      for (; p + kPanels <= a.panel_count; p += kPanels)
        multiply_group<kFormat, kPanels>(a, p, t0, tokens, part);
      for (; p < a.panel_count; ++p) multiply_group<kFormat, 1>(a, p, t0, tokens, part);
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
