// Attention in bfloat16 (part of kernels_simd.h): a page's keys against a few queries with all scores in
// registers, the softmax there, then the page's values with all sums in registers.
#pragma once

#include "engine/kernel/simd_lanes.h"

namespace cresset::engine {
namespace {

constexpr size_t kTiles = kPagePositions / 16;

struct PairLanes {
  Int part[kParts];
};
inline PairLanes load_pairs(const uint16_t* p) {
  PairLanes out;
  for (int i = 0; i < kParts; ++i)
    out.part[i] = Unit::load_int(reinterpret_cast<const unsigned char*>(p) + i * Unit::kFloats * 4);
  return out;
}
inline Int broadcast_pair(const uint16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return Unit::set_int(pair);
}

inline Float exp2_of(Float x) {
  const Float n = Unit::round(x);
  const Float r = Unit::sub(x, n);
  Float p = Unit::set(kExp2Terms[0]);
  for (int i = 1; i < 5; ++i) p = Unit::fma(p, r, Unit::set(kExp2Terms[i]));
  return Unit::zero_unless_greater(x, Unit::set(kExp2Lowest), Unit::mul(p, Unit::power_of_two(n)));
}
inline float exp2_of_one(float x) {
  alignas(64) float all[Unit::kFloats];
  Unit::store(all, exp2_of(Unit::set(x)));
  return all[0];
}

void round_bfloat(const float* x, size_t n, uint16_t* out) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) Unit::store_bfloat16(out + i, lanes_load(x + i).part);
  if (i == n) return;
  alignas(64) uint16_t rounded[16];
  Unit::store_bfloat16(rounded, lanes_load_some(x + i, n - i, 0).part);
  for (size_t k = 0; i + k < n; ++k) out[i + k] = rounded[k];
}

// Positions outside [from, to] of the 16 of a tile become -infinity.
inline void mask_tile(Lanes& s, int32_t from, int32_t to) {
  if (from <= 0 && to >= 15) return;
  alignas(64) float all[16];
  lanes_store(all, s);
  for (int32_t j = 0; j < 16; ++j) {
    if (j < from || j > to) all[j] = -__builtin_inff();
  }
  s = lanes_load(all);
}

// While a row of this page is in work, the same of the next page, `ahead` bytes away, comes nearer.
inline __attribute__((always_inline)) void fetch(const uint16_t* row, ptrdiff_t ahead, size_t bytes) {
  if (ahead == 0) return;
  const char* next = reinterpret_cast<const char*>(row) + ahead;
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(next + line, 0, 2);
}

// Scores of T queries with kCount tiles of a page's keys. Pair i of the queries starts at q + i * stride.
template <size_t T, size_t kCount>
inline __attribute__((always_inline)) void score_tiles(const uint16_t* q, size_t stride, size_t pairs,
                                                       const uint16_t* keys, ptrdiff_t ahead,
                                                       Lanes (*s)[kTiles]) {
  Lanes sum[T][kCount];
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (size_t k = 0; k < kCount; ++k) sum[t][k] = lanes_set(0);
  }
  for (size_t i = 0; i < pairs; ++i, q += stride, keys += kPagePositions * 2) {
    fetch(keys, ahead, kPagePositions * 4);
    PairLanes key[kCount];
#pragma GCC unroll 4
    for (size_t k = 0; k < kCount; ++k) key[k] = load_pairs(keys + k * 32);
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const Int pair = broadcast_pair(q + 2 * t);
#pragma GCC unroll 4
      for (size_t k = 0; k < kCount; ++k) {
        for (int x = 0; x < kParts; ++x)
          sum[t][k].part[x] = Unit::dot_pairs(sum[t][k].part[x], key[k].part[x], pair);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (size_t k = 0; k < kCount; ++k) s[t][k] = sum[t][k];
  }
}

// acc = acc * correction + weights x values, for T queries and kCount vectors of 16 dimensions from d0.
template <size_t T, size_t kCount>
inline __attribute__((always_inline)) void add_weighted(const uint16_t* values, size_t d, size_t d0,
                                                        const uint16_t (*p)[kPagePositions],
                                                        const float* correction, ptrdiff_t ahead,
                                                        float* acc) {
  Lanes sum[T][kCount];
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (size_t k = 0; k < kCount; ++k) {
      sum[t][k] = lanes_load(acc + t * d + d0 + k * 16);
      for (int x = 0; x < kParts; ++x)
        sum[t][k].part[x] = Unit::mul(sum[t][k].part[x], Unit::set(correction[t]));
    }
  }
  for (size_t j = 0; j < kPagePositions; j += 2) {
    fetch(values + j * d + d0 * 2, ahead, kCount * 64);
    PairLanes value[kCount];
#pragma GCC unroll 4
    for (size_t k = 0; k < kCount; ++k) value[k] = load_pairs(values + j * d + (d0 + k * 16) * 2);
#pragma GCC unroll 8
    for (size_t t = 0; t < T; ++t) {
      const Int pair = broadcast_pair(p[t] + j);
#pragma GCC unroll 4
      for (size_t k = 0; k < kCount; ++k) {
        for (int x = 0; x < kParts; ++x)
          sum[t][k].part[x] = Unit::dot_pairs(sum[t][k].part[x], value[k].part[x], pair);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (size_t k = 0; k < kCount; ++k) lanes_store(acc + t * d + d0 + k * 16, sum[t][k]);
  }
}

// From scores to weights in bfloat16; returns what the sums so far are to be multiplied by.
inline __attribute__((always_inline)) float weigh(Lanes* s, float& m, Lanes& l, uint16_t* p) {
  Lanes top;
  for (int x = 0; x < kParts; ++x) {
    top.part[x] = Unit::max(Unit::max(s[0].part[x], s[1].part[x]), Unit::max(s[2].part[x], s[3].part[x]));
  }
  float correction = 1.0f;
  bool is_higher = false;
  for (int x = 0; x < kParts; ++x) is_higher = is_higher || Unit::any_greater(top.part[x], Unit::set(m));
  if (is_higher) {
    const float highest = fold_max(top);
    correction = exp2_of_one(m - highest);
    m = highest;
  }
  const Float reference = Unit::set(m == -__builtin_inff() ? 0.0f : m);
  for (int x = 0; x < kParts; ++x) {
#pragma GCC unroll 4
    for (size_t k = 0; k < kTiles; ++k) s[k].part[x] = exp2_of(Unit::sub(s[k].part[x], reference));
    const Float sum = Unit::add(Unit::add(Unit::add(s[0].part[x], s[1].part[x]), s[2].part[x]), s[3].part[x]);
    l.part[x] = Unit::fma(l.part[x], Unit::set(correction), sum);
  }
#pragma GCC unroll 4
  for (size_t k = 0; k < kTiles; ++k) Unit::store_bfloat16(p + k * 16, s[k].part);
  return correction;
}

template <size_t T>
inline void attend_group(const AttentionArguments& a, size_t n0, size_t page, ptrdiff_t ahead, Lanes* l) {
  const size_t d = a.head_size;
  const auto start = static_cast<int32_t>(page * kPagePositions);
  bool is_seen = false, is_whole = true;
  for (size_t t = 0; t < T; ++t) {
    is_seen = is_seen || (a.first[n0 + t] < start + 64 && a.last[n0 + t] >= start);
    is_whole = is_whole && a.first[n0 + t] <= start && a.last[n0 + t] >= start + 63;
  }
  if (!is_seen) return;
  const auto* keys = static_cast<const uint16_t*>(a.pages[page]);
  const uint16_t* values = keys + kPagePositions * d;
  const uint16_t* q = static_cast<const uint16_t*>(a.q) + 2 * n0;
  Lanes s[T][kTiles];
  if constexpr (kParts == 1) {
    score_tiles<T, kTiles>(q, 2 * a.q_stride, d / 2, keys, ahead, s);
  } else {
    for (size_t k = 0; k < kTiles; ++k) {
      Lanes one[T][kTiles];
      score_tiles<T, 1>(q, 2 * a.q_stride, d / 2, keys + k * 32, k == 0 ? ahead : 0, one);
      for (size_t t = 0; t < T; ++t) s[t][k] = one[t][0];
    }
  }
  alignas(64) uint16_t p[T][kPagePositions];
  float correction[T];
#pragma GCC unroll 8
  for (size_t t = 0; t < T; ++t) {
    if (!is_whole) {
      for (size_t k = 0; k < kTiles; ++k) {
        const int32_t tile = start + static_cast<int32_t>(k) * 16;
        mask_tile(s[t][k], a.first[n0 + t] - tile, a.last[n0 + t] - tile);
      }
    }
    correction[t] = weigh(s[t], a.m[n0 + t], l[n0 + t], p[t]);
  }
  float* acc = a.acc + n0 * d;
  constexpr size_t kWide = kParts == 1 ? 4 : 1;
  size_t d0 = 0;
  for (; d0 + 16 * kWide <= d; d0 += 16 * kWide)
    add_weighted<T, kWide>(values, d, d0, p, correction, ahead, acc);
  for (; d0 < d; d0 += 16) add_weighted<T, 1>(values, d, d0, p, correction, ahead, acc);
}

void attend(const AttentionArguments& a) {
  Lanes l[kAttentionQueries];
  for (size_t n = 0; n < a.queries; ++n) l[n] = lanes_load(a.lanes + n * 16);
  for (size_t page = a.page_first; page < a.page_end; ++page) {
    // With few queries (decoding) the pages come from memory as fast as they are used up.
    const void* const next = page + 1 < a.page_end ? a.pages[page + 1] : a.next;
    const ptrdiff_t ahead = a.queries <= 2 * Unit::kHeads && next != nullptr
                                ? static_cast<const char*>(next) - static_cast<const char*>(a.pages[page])
                                : 0;
    size_t n = 0;
    for (; n + Unit::kHeads <= a.queries; n += Unit::kHeads) attend_group<Unit::kHeads>(a, n, page, ahead, l);
    if constexpr (Unit::kHeads > 4) {
      if (n + 4 <= a.queries) {
        attend_group<4>(a, n, page, ahead, l);
        n += 4;
      }
      if (n + 3 <= a.queries) {
        attend_group<3>(a, n, page, ahead, l);
        n += 3;
      }
    }
    if (n + 2 <= a.queries) {
      attend_group<2>(a, n, page, ahead, l);
      n += 2;
    }
    if (n < a.queries) attend_group<1>(a, n, page, ahead, l);
  }
  for (size_t n = 0; n < a.queries; ++n) {
    lanes_store(a.lanes + n * 16, l[n]);
    a.l[n] = fold_sum(l[n]);
  }
}

void merge(const AttentionSums& total, const AttentionSums& part, size_t queries, size_t head_size) {
  for (size_t n = 0; n < queries; ++n) {
    if (part.m[n] == -__builtin_inff()) continue;
    const float top = total.m[n] > part.m[n] ? total.m[n] : part.m[n];
    const float keep = exp2_of_one(total.m[n] - top), take = exp2_of_one(part.m[n] - top);
    total.m[n] = top;
    total.l[n] = total.l[n] * keep + part.l[n] * take;
    for (size_t i = n * head_size; i < (n + 1) * head_size; i += 16) {
      Lanes sum = lanes_load(total.acc + i);
      const Lanes more = lanes_load(part.acc + i);
      for (int x = 0; x < kParts; ++x)
        sum.part[x] = Unit::fma(sum.part[x], Unit::set(keep), Unit::mul(more.part[x], Unit::set(take)));
      lanes_store(total.acc + i, sum);
    }
  }
}

void divide(const float* x, size_t n, float by, float* out) {
  for_each16(n, [&](size_t i, size_t count) {
    Lanes v = load_n(x + i, count, 0);
    for (int k = 0; k < kParts; ++k) v.part[k] = Unit::div(v.part[k], Unit::set(by));
    store_n(out + i, count, v);
  });
}

}  // namespace
}  // namespace cresset::engine
