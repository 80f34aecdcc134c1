// Kernels over rows of floats (part of kernels_simd.h): norms, activations, sampler sums, quantising.
#pragma once

#include "engine/kernel/simd_lanes.h"

namespace cresset::engine {
namespace {

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

inline Lanes rotated(const Lanes& x, const Lanes& other, const float* cosines, const float* sines, size_t n) {
  Lanes out = load_n(cosines, n, 0);
  const Lanes s = load_n(sines, n, 0);
  for (int k = 0; k < kParts; ++k) {
    out.part[k] = Unit::add(Unit::mul(x.part[k], out.part[k]), Unit::mul(other.part[k], s.part[k]));
  }
  return out;
}

void rotate_neighbours(float* x, const float* cosines, const float* sines, size_t n) {
  for_each16(n, [&](size_t i, size_t count) {
    const Lanes v = load_n(x + i, count, 0);
    Lanes swapped;
    for (int k = 0; k < kParts; ++k) swapped.part[k] = Unit::swap_neighbours(v.part[k]);
    store_n(x + i, count, rotated(v, swapped, cosines + i, sines + i, count));
  });
}

void rotate_halves(float* x, const float* cosines, const float* sines, size_t n) {
  const size_t half = n / 2;
  for_each16(half, [&](size_t i, size_t count) {
    const Lanes a = load_n(x + i, count, 0), b = load_n(x + half + i, count, 0);
    store_n(x + i, count, rotated(a, b, cosines + i, sines + i, count));
    store_n(x + half + i, count, rotated(b, a, cosines + half + i, sines + half + i, count));
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

void above(const float* x, size_t n, const float* bounds, size_t* counts, float* sums) {
  constexpr size_t kAtOnce = kParts == 1 ? kBounds : 2;  // whose sums and counts stay in registers
  static_assert(kBounds % kAtOnce == 0);
  for (size_t b = 0; b < kBounds; b += kAtOnce) {
    Lanes sum[kAtOnce], count[kAtOnce];
#pragma GCC unroll 8
    for (size_t j = 0; j < kAtOnce; ++j) sum[j] = count[j] = lanes_set(0);
    for_each16(n, [&](size_t i, size_t items) {
      const Lanes v = load_n(x + i, items, 0);
      for (int k = 0; k < kParts; ++k) {
#pragma GCC unroll 8
        for (size_t j = 0; j < kAtOnce; ++j) {
          const Float bound = Unit::set(bounds[b + j]);
          sum[j].part[k] = Unit::add(sum[j].part[k], Unit::zero_unless_greater(v.part[k], bound, v.part[k]));
          count[j].part[k] =
              Unit::add(count[j].part[k], Unit::zero_unless_greater(v.part[k], bound, Unit::set(1.0f)));
        }
      }
    });
    for (size_t j = 0; j < kAtOnce; ++j) {
      sums[b + j] = fold_sum(sum[j]);
      alignas(64) float each[16];
      lanes_store(each, count[j]);
      counts[b + j] = 0;
      for (const float c : each) counts[b + j] += static_cast<size_t>(c);
    }
  }
}

inline void quantise_block(const Lanes& low, const Lanes& high, ActivationBlock& block) {
  Lanes largest;
  for (int k = 0; k < kParts; ++k) {
    largest.part[k] = Unit::max(Unit::absolute(low.part[k]), Unit::absolute(high.part[k]));
  }
  const float amax = fold_max(largest);
  block.scale = amax > kActivationLeast ? amax * (1.0f / 127.0f) : 0.0f;
  const float inverse = amax > kActivationLeast ? 127.0f / amax : 0.0f;
  const int32_t half = Unit::sum_bytes(Unit::quantise16(low.part, inverse, block.q));
  const int32_t sum = half + Unit::sum_bytes(Unit::quantise16(high.part, inverse, block.q + 16));
  block.bias = -128 * sum;
  block.half_bias = -128 * half;
  block.scaled_sum = block.scale * static_cast<float>(sum);
}

inline Lanes left_over(const Lanes& x, float scale, const int8_t* q) {
  Lanes out;
  for (int k = 0; k < kParts; ++k) {
    const Float rounded = Unit::load_i8(reinterpret_cast<const unsigned char*>(q) + k * Unit::kFloats);
    out.part[k] = Unit::fma(Unit::set(-scale), rounded, x.part[k]);
  }
  return out;
}

void quantise(const float* x, size_t columns, ActivationBlock* out) {
  for (size_t b = 0; b < columns / 32; ++b, x += 32, out += kTokenTile)
    quantise_block(lanes_load(x), lanes_load(x + 16), *out);
}

void quantise_rest(const float* x, size_t columns, const ActivationBlock* blocks, const uint64_t* chosen,
                   ActivationBlock* rest) {
  for (size_t b = 0; b < columns / 32; ++b, x += 32, blocks += kTokenTile, rest += kTokenTile) {
    if ((chosen[b / 64] >> b % 64 & 1) == 0) {
      *rest = {};
      continue;
    }
    quantise_block(left_over(lanes_load(x), blocks->scale, blocks->q),
                   left_over(lanes_load(x + 16), blocks->scale, blocks->q + 16), *rest);
  }
}

}  // namespace
}  // namespace cresset::engine
