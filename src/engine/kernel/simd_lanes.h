// 16 lanes as one or two registers (part of kernels_simd.h): the lane order of kernels.h whatever the
// register width.
#pragma once

#include "engine/kernel/exp.h"
#include "engine/kernel/kernels.h"

namespace cresset::engine {
namespace {

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
  return Unit::fold_sum(v.part);
}
inline float fold_max(const Lanes& v) {
  return Unit::fold_max(v.part);
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

}  // namespace
}  // namespace cresset::engine
