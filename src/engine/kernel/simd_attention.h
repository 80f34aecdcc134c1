// Attention in float32, the reference arithmetic (part of kernels_simd.h).
#pragma once

#include "engine/kernel/simd_lanes.h"

namespace cresset::engine {
namespace {

// Scores of N queries against the 64 keys of a page, masked, as p[n][64]; their maxima.
template <size_t N>
inline void score_page(const AttentionArguments& a, size_t n0, const float* keys, int32_t start,
                       float (*p)[kPagePositions], float* largest) {
  const size_t d = a.head_size;
  for (size_t n = 0; n < N; ++n) largest[n] = -__builtin_inff();
  for (size_t tile = 0; tile < kPagePositions / 16; ++tile) {
    Lanes s[N];
    for (size_t n = 0; n < N; ++n) s[n] = lanes_set(0);
    const float* k = keys + tile * 16 * d;
    const float* q = static_cast<const float*>(a.q) + n0 * d;
    for (size_t i = 0; i < d; ++i) {
      const Lanes key = lanes_load(k + i * 16);
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
template <size_t N, size_t kGroup>
inline void add_values(const AttentionArguments& a, size_t n0, size_t d0, const float* values,
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
      const Lanes v = lanes_load(values + k * d + d0 + g * 16);
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

template <size_t N>
inline void attend_page(const AttentionArguments& a, size_t n0, size_t page) {
  const float* keys = static_cast<const float*>(a.pages[page]);
  const float* values = keys + kPagePositions * a.head_size;
  alignas(64) float p[N][kPagePositions];
  float largest[N], correction[N];
  score_page<N>(a, n0, keys, static_cast<int32_t>(page * kPagePositions), p, largest);
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
    add_values<N, Unit::kGroup>(a, n0, d0, values, p, correction);
  }
  for (; d0 < a.head_size; d0 += 16) add_values<N, 1>(a, n0, d0, values, p, correction);
}

void attend_float(const AttentionArguments& a) {
  for (size_t page = a.page_first; page < a.page_end; ++page) {
    size_t n = 0;
    for (; n + Unit::kQueries <= a.queries; n += Unit::kQueries) attend_page<Unit::kQueries>(a, n, page);
    for (; n < a.queries; ++n) attend_page<1>(a, n, page);
  }
}

}  // namespace
}  // namespace cresset::engine
