// The kernels once for every vector unit: included by one .cc per instruction set, which first defines a
// `Unit` (register types and operations). Everything is in an anonymous namespace: code compiled for one CPU
// must not be shared with another file's by the linker.
//
// A Unit gives:
//   Float, kFloats      a register of floats (16 or 8)
//   Int                 a register of as many int32
//   kQueries            query rows that attention computes at once
//   load/store/set/zero, add, sub, mul, div, fma(a,b,c)=a*b+c, max, sqrt-free helpers; see kernels_avx512.cc
#pragma once

#define CRESSET_KERNEL_FILE 1
#include "engine/kernel/exp.h"
#include "engine/kernel/kernels.h"

namespace cresset::engine {
namespace {

// ---- 16 lanes as one or two registers: the lane order of kernels.h whatever the register width
// --------------------
constexpr int kParts = 16 / Unit::kFloats;
using Float = Unit::Float;
using Int = Unit::Int;

struct Lanes {
  Float part[kParts];
};

inline Lanes lanes_set(float v) {
  Lanes out;
  for (int i = 0; i < kParts; ++i) out.part[i] = Unit::set(v);
  return out;
}
inline Lanes lanes_load(const float* p) {
  Lanes out;
  for (int i = 0; i < kParts; ++i) out.part[i] = Unit::load(p + i * Unit::kFloats);
  return out;
}
// n < 16 values, the rest `fill`.
inline Lanes lanes_load_some(const float* p, size_t n, float fill) {
  alignas(64) float all[16];
  for (size_t i = 0; i < 16; ++i) all[i] = i < n ? p[i] : fill;
  return lanes_load(all);
}
inline void lanes_store(float* p, const Lanes& v) {
  for (int i = 0; i < kParts; ++i) Unit::store(p + i * Unit::kFloats, v.part[i]);
}
inline void lanes_store_some(float* p, size_t n, const Lanes& v) {
  alignas(64) float all[16];
  lanes_store(all, v);
  for (size_t i = 0; i < n; ++i) p[i] = all[i];
}
inline float fold_sum(const Lanes& v) {
  alignas(64) float all[16];
  lanes_store(all, v);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) all[i] = all[i] + all[i + width];
  }
  return all[0];
}
inline float fold_max(const Lanes& v) {
  alignas(64) float all[16];
  lanes_store(all, v);
  float largest = all[0];
  for (int i = 1; i < 16; ++i) largest = all[i] > largest ? all[i] : largest;
  return largest;
}

inline Float exp_of(Float x) {
  const Float clamped = Unit::min(x, Unit::set(kExpHighest));
  const Float n = Unit::round(Unit::mul(clamped, Unit::set(kLog2E)));
  Float r = Unit::fma(n, Unit::set(-kLn2High), clamped);
  r = Unit::fma(n, Unit::set(-kLn2Low), r);
  Float p = Unit::set(kExpTerms[0]);
  for (int i = 1; i < 7; ++i) p = Unit::fma(p, r, Unit::set(kExpTerms[i]));
  return Unit::zero_unless_greater(x, Unit::set(kExpLowest), Unit::mul(p, Unit::power_of_two(n)));
}

template <class Op>
inline void for_each16(size_t n, Op op) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) op(i, size_t{16});
  if (i < n) op(i, n - i);
}
inline Lanes load_n(const float* p, size_t n, float fill) {
  return n == 16 ? lanes_load(p) : lanes_load_some(p, n, fill);
}
inline void store_n(float* p, size_t n, const Lanes& v) {
  if (n == 16) {
    lanes_store(p, v);
  } else {
    lanes_store_some(p, n, v);
  }
}

// ---- rows of floats
// -----------------------------------------------------------------------------------------------
void rms_norm(const float* x, const float* weight, size_t n, float epsilon, float* y) {
  Lanes sum = lanes_set(0);
  for_each16(n, [&](size_t i, size_t count) {
    const Lanes v = load_n(x + i, count, 0);
    for (int k = 0; k < kParts; ++k) sum.part[k] = Unit::fma(v.part[k], v.part[k], sum.part[k]);
  });
  const float scale = 1.0f / __builtin_sqrtf(fold_sum(sum) / static_cast<float>(n) + epsilon);
  for_each16(n, [&](size_t i, size_t count) {
    Lanes v = load_n(x + i, count, 0);
    const Lanes w = load_n(weight + i, count, 0);
    for (int k = 0; k < kParts; ++k) v.part[k] = Unit::mul(Unit::mul(v.part[k], Unit::set(scale)), w.part[k]);
    store_n(y + i, count, v);
  });
}

void silu_multiply(const float* gate, const float* up, size_t n, float* out) {
  for_each16(n, [&](size_t i, size_t count) {
    Lanes g = load_n(gate + i, count, 0);
    const Lanes u = load_n(up + i, count, 0);
    for (int k = 0; k < kParts; ++k) {
      const Float e = exp_of(Unit::negate(g.part[k]));
      g.part[k] = Unit::mul(Unit::div(g.part[k], Unit::add(Unit::set(1.0f), e)), u.part[k]);
    }
    store_n(out + i, count, g);
  });
}

void gelu_multiply(const float* gate, const float* up, size_t n, float* out) {
  for_each16(n, [&](size_t i, size_t count) {
    Lanes g = load_n(gate + i, count, 0);
    const Lanes u = load_n(up + i, count, 0);
    for (int k = 0; k < kParts; ++k) {
      const Float x = g.part[k];
      const Float u2 =
          Unit::mul(x, Unit::fma(Unit::mul(x, x), Unit::set(kGeluCubic), Unit::set(kGeluLinear)));
      const Float e = exp_of(Unit::negate(u2));
      g.part[k] = Unit::mul(Unit::div(x, Unit::add(Unit::set(1.0f), e)), u.part[k]);
    }
    store_n(out + i, count, g);
  });
}

void add(float* x, const float* y, size_t n) {
  for_each16(n, [&](size_t i, size_t count) {
    Lanes a = load_n(x + i, count, 0);
    const Lanes b = load_n(y + i, count, 0);
    for (int k = 0; k < kParts; ++k) a.part[k] = Unit::add(a.part[k], b.part[k]);
    store_n(x + i, count, a);
  });
}

float maximum(const float* x, size_t n) {
  Lanes largest = lanes_set(-__builtin_inff());
  for_each16(n, [&](size_t i, size_t count) {
    const Lanes v = load_n(x + i, count, -__builtin_inff());
    for (int k = 0; k < kParts; ++k) largest.part[k] = Unit::max(largest.part[k], v.part[k]);
  });
  return fold_max(largest);
}

float exp_sum(const float* x, size_t n, float largest, float factor, float* out) {
  Lanes sum = lanes_set(0);
  for_each16(n, [&](size_t i, size_t count) {
    Lanes v = load_n(x + i, count, -__builtin_inff());
    for (int k = 0; k < kParts; ++k) {
      v.part[k] = exp_of(Unit::mul(Unit::sub(v.part[k], Unit::set(largest)), Unit::set(factor)));
      sum.part[k] = Unit::add(sum.part[k], v.part[k]);
    }
    store_n(out + i, count, v);
  });
  return fold_sum(sum);
}

void quantise(const float* x, size_t columns, ActivationBlock* out, size_t stride) {
  for (size_t b = 0; b < columns / 32; ++b, x += 32) {
    ActivationBlock& block = out[b * stride];
    Lanes low = lanes_load(x), high = lanes_load(x + 16), largest;
    for (int k = 0; k < kParts; ++k) {
      largest.part[k] = Unit::max(Unit::absolute(low.part[k]), Unit::absolute(high.part[k]));
    }
    const float amax = fold_max(largest);
    block.scale = amax > kActivationLeast ? amax * (1.0f / 127.0f) : 0.0f;
    const float inverse = amax > kActivationLeast ? 127.0f / amax : 0.0f;
    block.half_sums[0] = Unit::quantise16(low.part, inverse, block.q);
    block.half_sums[1] = Unit::quantise16(high.part, inverse, block.q + 16);
    block.scaled_sum = block.scale * static_cast<float>(block.half_sums[0] + block.half_sums[1]);
  }
}

// ---- int8 products
// ------------------------------------------------------------------------------------------------ Format
// numbers of quant/format.h; repeated here so that this file stays free of other headers.
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

template <PackedFormat kFormat>
inline __attribute__((always_inline)) Float add_block(const BlockWeights& w, const ActivationBlock& x,
                                                      Float acc) {
  constexpr bool kWide = kFormat == kQ8_0;  // weights above 7 bits
  const Float x_scale = Unit::set(x.scale);
  if constexpr (kFormat == kQ6_K) {
    for (int h = 0; h < 2; ++h) {
      Int dot = Unit::int_zero();
      for (int s = 0; s < 4; ++s) dot = Unit::template dot4<kWide>(dot, w.q[4 * h + s], x.q + 16 * h + 4 * s);
      dot = Unit::int_sub(dot, Unit::template shifted<zero_shift(kFormat)>(x.half_sums[h]));
      acc = Unit::fma(Unit::to_float(dot), Unit::mul(w.scale[h], x_scale), acc);
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
    if constexpr (has_minimum(kFormat)) acc = Unit::fma(w.minimum, Unit::set(x.scaled_sum), acc);
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
// -----------------------------------------------------------------------------------------------
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

// ---- attention
// ----------------------------------------------------------------------------------------------------
template <class Stored>
inline Lanes load_stored(const Stored* p) {
  Lanes out;
  for (int k = 0; k < kParts; ++k) {
    if constexpr (sizeof(Stored) == 2) {
      out.part[k] = Unit::load_half(reinterpret_cast<const unsigned char*>(p + k * Unit::kFloats));
    } else {
      out.part[k] = Unit::load(p + k * Unit::kFloats);
    }
  }
  return out;
}

// Scores of N queries against the 64 keys of a page, masked, as p[n][64]; their maxima.
template <class Stored, size_t N>
inline void score_page(const AttentionArguments& a, size_t n0, const Stored* keys, int32_t start,
                       float (*p)[kPagePositions], float* largest) {
  const size_t d = a.head_size;
  for (size_t n = 0; n < N; ++n) largest[n] = -__builtin_inff();
  for (size_t tile = 0; tile < kPagePositions / 16; ++tile) {
    Lanes s[N];
    for (size_t n = 0; n < N; ++n) s[n] = lanes_set(0);
    const Stored* k = keys + tile * 16 * d;
    const float* q = a.q + n0 * d;
    for (size_t i = 0; i < d; ++i) {
      const Lanes key = load_stored(k + i * 16);
      for (size_t n = 0; n < N; ++n) {
        const Float broadcast = Unit::set(q[n * d + i]);
        for (int x = 0; x < kParts; ++x) s[n].part[x] = Unit::fma(key.part[x], broadcast, s[n].part[x]);
      }
    }
    const int32_t first = start + static_cast<int32_t>(tile * 16);
    for (size_t n = 0; n < N; ++n) {
      float* row = p[n] + tile * 16;
      lanes_store(row, s[n]);
      const int32_t from = a.first[n0 + n] - first, to = a.last[n0 + n] - first;
      if (from > 0 || to < 15) {
        for (int32_t j = 0; j < 16; ++j) {
          if (j < from || j > to) row[j] = -__builtin_inff();
        }
      }
      const float top = fold_max(lanes_load(row));
      largest[n] = top > largest[n] ? top : largest[n];
    }
  }
}

// acc[n] = acc[n] * correction[n] + sum over keys of p[n][key] * v[key]; dimensions in groups of 16 * kGroup.
template <class Stored, size_t N, size_t kGroup>
inline void add_values(const AttentionArguments& a, size_t n0, size_t d0, const Stored* values,
                       const float (*p)[kPagePositions], const float* correction) {
  const size_t d = a.head_size;
  Lanes acc[N][kGroup];
  for (size_t n = 0; n < N; ++n) {
    for (size_t g = 0; g < kGroup; ++g) {
      acc[n][g] = lanes_load(a.acc + (n0 + n) * d + d0 + g * 16);
      for (int x = 0; x < kParts; ++x)
        acc[n][g].part[x] = Unit::mul(acc[n][g].part[x], Unit::set(correction[n]));
    }
  }
  for (size_t k = 0; k < kPagePositions; ++k) {
    for (size_t g = 0; g < kGroup; ++g) {
      const Lanes v = load_stored(values + k * d + d0 + g * 16);
      for (size_t n = 0; n < N; ++n) {
        const Float broadcast = Unit::set(p[n][k]);
        for (int x = 0; x < kParts; ++x)
          acc[n][g].part[x] = Unit::fma(v.part[x], broadcast, acc[n][g].part[x]);
      }
    }
  }
  for (size_t n = 0; n < N; ++n) {
    for (size_t g = 0; g < kGroup; ++g) lanes_store(a.acc + (n0 + n) * d + d0 + g * 16, acc[n][g]);
  }
}

template <class Stored, size_t N>
inline void attend_page(const AttentionArguments& a, size_t n0, size_t page) {
  const Stored* keys = static_cast<const Stored*>(a.pages[page]);
  const Stored* values = keys + kPagePositions * a.head_size;
  alignas(64) float p[N][kPagePositions];
  float largest[N], correction[N];
  score_page<Stored, N>(a, n0, keys, static_cast<int32_t>(page * kPagePositions), p, largest);
  bool any = false;
  for (size_t n = 0; n < N; ++n) {
    if (largest[n] == -__builtin_inff()) {  // nothing visible: leave this query as it is
      correction[n] = 1.0f;
      for (int k = 0; k < kPagePositions; ++k) p[n][k] = 0.0f;
      continue;
    }
    any = true;
    const float m = a.m[n0 + n] > largest[n] ? a.m[n0 + n] : largest[n];
    alignas(64) float one[16];
    Lanes shifted = lanes_set(a.m[n0 + n] - m);
    for (int x = 0; x < kParts; ++x) shifted.part[x] = exp_of(shifted.part[x]);
    lanes_store(one, shifted);
    correction[n] = one[0];
    Lanes sum = lanes_set(0);
    for (int k = 0; k < kPagePositions; k += 16) {
      Lanes v = lanes_load(p[n] + k);
      for (int x = 0; x < kParts; ++x) {
        v.part[x] = exp_of(Unit::sub(v.part[x], Unit::set(m)));
        sum.part[x] = Unit::add(sum.part[x], v.part[x]);
      }
      lanes_store(p[n] + k, v);
    }
    a.l[n0 + n] = a.l[n0 + n] * correction[n] + fold_sum(sum);
    a.m[n0 + n] = m;
  }
  if (!any) return;
  size_t d0 = 0;
  for (; d0 + 16 * Unit::kGroup <= a.head_size; d0 += 16 * Unit::kGroup) {
    add_values<Stored, N, Unit::kGroup>(a, n0, d0, values, p, correction);
  }
  for (; d0 < a.head_size; d0 += 16) add_values<Stored, N, 1>(a, n0, d0, values, p, correction);
}

template <class Stored>
void attend(const AttentionArguments& a) {
  for (size_t page = a.page_first; page < a.page_end; ++page) {
    size_t n = 0;
    for (; n + Unit::kQueries <= a.queries; n += Unit::kQueries)
      attend_page<Stored, Unit::kQueries>(a, n, page);
    for (; n < a.queries; ++n) attend_page<Stored, 1>(a, n, page);
  }
}

const Kernels kTable = {
    .name = Unit::kName,
    .quantise = quantise,
    .gemm_int8 = {nullptr, nullptr, nullptr, gemm_int8<kQ4_0>, gemm_int8<kQ4_1>, gemm_int8<kQ5_0>,
                  gemm_int8<kQ5_1>, gemm_int8<kQ8_0>, gemm_int8<kQ4_K>, gemm_int8<kQ5_K>, gemm_int8<kQ6_K>},
    .gemm_float = {gemm_float<kF32>, gemm_float<kF16>, gemm_float<kBF16>},
    .rms_norm = rms_norm,
    .silu_multiply = silu_multiply,
    .gelu_multiply = gelu_multiply,
    .add = add,
    .attend_half = attend<unsigned short>,
    .attend_float = attend<float>,
    .maximum = maximum,
    .exp_sum = exp_sum,
};

}  // namespace
}  // namespace cresset::engine
