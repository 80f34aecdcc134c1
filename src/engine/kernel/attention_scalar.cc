#include "engine/kernel/attention_scalar.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/kernel/exp.h"
#include "engine/quant/format.h"

namespace cresset::engine {
namespace {

constexpr size_t kLanes = 16;

float dot_pair(const uint16_t* a, float b0, float b1, float sum) {
  sum = std::fma(bfloat_to_float(a[1]), b1, sum);
  return std::fma(bfloat_to_float(a[0]), b0, sum);
}

// A page's scores for one query, hidden positions at -infinity.
void score_page(const AttentionArguments& a, size_t n, size_t page, float* s) {
  const size_t d = a.head_size;
  const auto* keys = static_cast<const uint16_t*>(a.pages[page]);
  const uint16_t* q = static_cast<const uint16_t*>(a.q) + 2 * n;
  for (size_t k = 0; k < kPagePositions; ++k) {
    const auto position = static_cast<int32_t>(page * kPagePositions + k);
    s[k] = -std::numeric_limits<float>::infinity();
    if (position > a.last[n] || position < a.first[n]) continue;
    s[k] = 0;
    for (size_t i = 0; i < d; i += 2) {
      const uint16_t* pair = q + i * a.q_stride;
      s[k] = dot_pair(keys + i * kPagePositions + k * 2, bfloat_to_float(pair[0]), bfloat_to_float(pair[1]),
                      s[k]);
    }
  }
}

}  // namespace

float scalar_fold_sum(float* lanes) {
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t i = 0; i < width; ++i) lanes[i] = lanes[i] + lanes[i + width];
  }
  return lanes[0];
}

void scalar_attend(const AttentionArguments& a) {
  const size_t d = a.head_size;
  for (size_t n = 0; n < a.queries; ++n) {
    float* const lanes = a.lanes + n * kLanes;
    for (size_t page = a.page_first; page < a.page_end; ++page) {
      float p[kPagePositions];
      score_page(a, n, page, p);
      const float m = std::max(a.m[n], *std::max_element(p, p + kPagePositions));
      if (m == -std::numeric_limits<float>::infinity()) continue;
      const float correction = exp2_approximation(a.m[n] - m);
      a.m[n] = m;
      for (float& v : p) v = exp2_approximation(v - m);
      for (size_t i = 0; i < kLanes; ++i)
        lanes[i] = std::fma(lanes[i], correction, ((p[i] + p[16 + i]) + p[32 + i]) + p[48 + i]);
      for (float& v : p) v = bfloat_to_float(float_to_bfloat(v));
      const uint16_t* values = static_cast<const uint16_t*>(a.pages[page]) + kPagePositions * d;
      for (size_t i = 0; i < d; ++i) {
        float& sum = a.acc[n * d + i];
        sum = sum * correction;
        for (size_t j = 0; j < kPagePositions; j += 2)
          sum = dot_pair(values + j * d + i * 2, p[j], p[j + 1], sum);
      }
    }
    float folded[kLanes];
    std::copy_n(lanes, kLanes, folded);
    a.l[n] = scalar_fold_sum(folded);
  }
}

void scalar_merge(const AttentionSums& total, const AttentionSums& part, size_t queries, size_t head_size) {
  for (size_t n = 0; n < queries; ++n) {
    if (part.m[n] == -std::numeric_limits<float>::infinity()) continue;
    const float top = std::max(total.m[n], part.m[n]);
    const float keep = exp2_approximation(total.m[n] - top), take = exp2_approximation(part.m[n] - top);
    total.m[n] = top;
    total.l[n] = total.l[n] * keep + part.l[n] * take;
    for (size_t i = n * head_size; i < (n + 1) * head_size; ++i)
      total.acc[i] = std::fma(total.acc[i], keep, part.acc[i] * take);
  }
}

void scalar_attend_float(const AttentionArguments& a) {
  const size_t d = a.head_size;
  for (size_t page = a.page_first; page < a.page_end; ++page) {
    const auto* keys = static_cast<const float*>(a.pages[page]);
    const float* values = keys + kPagePositions * d;
    const auto start = static_cast<int32_t>(page * kPagePositions);
    for (size_t n = 0; n < a.queries; ++n) {
      const float* q = static_cast<const float*>(a.q) + n * d;
      float* acc = a.acc + n * d;
      float p[kPagePositions];
      float largest = -std::numeric_limits<float>::infinity();
      for (size_t k = 0; k < kPagePositions; ++k) {
        const int32_t position = start + static_cast<int32_t>(k);
        p[k] = -std::numeric_limits<float>::infinity();
        if (position > a.last[n] || position < a.first[n]) continue;
        float s = 0;
        for (size_t i = 0; i < d; ++i) s = std::fma(keys[(k / 16) * 16 * d + i * 16 + k % 16], q[i], s);
        p[k] = s;
        largest = std::max(largest, s);
      }
      if (largest == -std::numeric_limits<float>::infinity()) continue;
      const float m = std::max(a.m[n], largest);
      const float correction = exp_approximation(a.m[n] - m);
      float lanes[kLanes] = {};
      for (size_t k = 0; k < kPagePositions; ++k) {
        p[k] = exp_approximation(p[k] - m);
        lanes[k % kLanes] = lanes[k % kLanes] + p[k];
      }
      a.l[n] = a.l[n] * correction + scalar_fold_sum(lanes);
      a.m[n] = m;
      for (size_t i = 0; i < d; ++i) {
        float sum = acc[i] * correction;
        for (size_t k = 0; k < kPagePositions; ++k) sum = std::fma(values[k * d + i], p[k], sum);
        acc[i] = sum;
      }
    }
  }
}

}  // namespace cresset::engine
