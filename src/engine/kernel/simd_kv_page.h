// Pages of keys and values in 8 and 4 bits (part of kernels_simd.h): a position is stored, a page is expanded
// to bfloat16 as `attend` reads it. See kv_page.h for the layout.
#pragma once

#include "engine/kernel/kv_page.h"
#include "engine/kernel/simd_attention_bf16.h"

namespace cresset::engine {
namespace {

// One block in 8 bits, or in 4 with the values -8..7. Returns the scale.
template <size_t kBits>
inline uint16_t quantise_kv(const float* x, size_t n, int8_t* q) {
  Lanes part[2] = {lanes_load(x), lanes_load(x + n - 16)};
  Lanes high, low;
  for (int k = 0; k < kParts; ++k) {
    high.part[k] = Unit::max(part[0].part[k], part[1].part[k]);
    low.part[k] = Unit::max(Unit::negate(part[0].part[k]), Unit::negate(part[1].part[k]));
  }
  const float highest = fold_max(high), lowest = fold_max(low);
  const float most = highest < lowest ? lowest : highest;
  if (!(most > kKvLeast)) {
    __builtin_memset(q, 0, n);
    return 0;
  }
  const float exact = kBits == 8 ? most * (1.0f / 127.0f) : (highest == most ? -highest : most) * 0.125f;
  alignas(64) uint16_t scales[16];
  Unit::store_bfloat16(scales, lanes_set(exact).part);
  const uint32_t bits = static_cast<uint32_t>(scales[0]) << 16;
  float scale;
  __builtin_memcpy(&scale, &bits, 4);
  const float inverse = 1.0f / scale;
  Unit::quantise16(part[0].part, inverse, q);
  if (n == 32) Unit::quantise16(part[1].part, inverse, q + 16);
  if constexpr (kBits == 4) {
    for (size_t i = 0; i < n; ++i) q[i] = q[i] > 7 ? 7 : q[i];
  }
  return scales[0];
}

template <size_t kBits>
void store_kv(const float* k, const float* v, size_t head_size, size_t slot, unsigned char* page) {
  const KvPageLayout at = kv_page_layout(head_size, kBits);
  unsigned char* value_row = page + at.values + slot * head_size * kBits / 8;
  unsigned char* key_row = page + slot;
  for (size_t b = 0; b < at.blocks; ++b) {
    alignas(32) int8_t key[32], value[32];
    const uint16_t key_scale = quantise_kv<kBits>(k + b * at.block, at.block, key);
    const uint16_t value_scale = quantise_kv<kBits>(v + b * at.block, at.block, value);
    __builtin_memcpy(page + at.key_scales + 2 * (b * kPagePositions + slot), &key_scale, 2);
    __builtin_memcpy(page + at.value_scales + 2 * (slot * at.blocks + b), &value_scale, 2);
    if constexpr (kBits == 8) {
      for (size_t i = 0; i < at.block; ++i, key_row += kPagePositions)
        *key_row = static_cast<unsigned char>(key[i]);
      __builtin_memcpy(value_row, value, at.block);
      value_row += at.block;
    } else {
      for (size_t i = 0; i < at.block; i += 2, key_row += kPagePositions) {
        *key_row = static_cast<unsigned char>(key[i] + 8 + (key[i + 1] + 8) * 16);
        *value_row++ = static_cast<unsigned char>(value[i] + 8 + (value[i + 1] + 8) * 16);
      }
    }
  }
}

inline Float load_scale(const unsigned char* p) {
  uint16_t low;
  __builtin_memcpy(&low, p, 2);
  const uint32_t bits = static_cast<uint32_t>(low) << 16;
  float scale;
  __builtin_memcpy(&scale, &bits, 4);
  return Unit::set(scale);
}

// Two neighbouring dimensions of 16 positions, times their scales.
template <size_t kBits>
inline void expand_key_pair(const unsigned char* p, const Lanes& scale, uint16_t* out) {
  for (int x = 0; x < kParts; ++x) {
    const unsigned char* from = p + x * Unit::kFloats;
    Float even, odd;
    if constexpr (kBits == 8) {
      even = Unit::load_i8(from);
      odd = Unit::load_i8(from + kPagePositions);
    } else {
      even = Unit::sub(Unit::load_low_u4(from), Unit::set(8.0f));
      odd = Unit::sub(Unit::load_high_u4(from), Unit::set(8.0f));
    }
    Unit::store_pairs(out + x * 2 * Unit::kFloats, Unit::mul(even, scale.part[x]),
                      Unit::mul(odd, scale.part[x]));
  }
}

// 16 dimensions of two positions.
template <size_t kBits>
inline void expand_value_pair(const unsigned char* first, const unsigned char* second, Float first_scale,
                              Float second_scale, uint16_t* out) {
  for (int x = 0; x < kParts; ++x) {
    const size_t at = static_cast<size_t>(x * Unit::kFloats) * kBits / 8;
    Float even, odd;
    if constexpr (kBits == 8) {
      even = Unit::load_i8(first + at);
      odd = Unit::load_i8(second + at);
    } else {
      even = Unit::sub(Unit::load_u4(first + at), Unit::set(8.0f));
      odd = Unit::sub(Unit::load_u4(second + at), Unit::set(8.0f));
    }
    Unit::store_pairs(out + x * 2 * Unit::kFloats, Unit::mul(even, first_scale),
                      Unit::mul(odd, second_scale));
  }
}

template <size_t kBits>
void expand_kv(const unsigned char* page, size_t head_size, uint16_t* out) {
  const KvPageLayout at = kv_page_layout(head_size, kBits);
  const unsigned char* keys = page;
  const unsigned char* scales = page + at.key_scales;
  for (size_t b = 0; b < at.blocks; ++b, scales += 2 * kPagePositions) {
    Lanes scale[kTiles];
    for (size_t t = 0; t < kTiles; ++t) {
      for (int x = 0; x < kParts; ++x)
        scale[t].part[x] = Unit::load_bfloat(scales + 2 * (t * 16 + static_cast<size_t>(x * Unit::kFloats)));
    }
    for (size_t i = 0; i < at.block; i += 2, keys += kPagePositions * kBits / 4, out += 2 * kPagePositions) {
#pragma GCC unroll 4
      for (size_t t = 0; t < kTiles; ++t) expand_key_pair<kBits>(keys + t * 16, scale[t], out + t * 32);
    }
  }
  const size_t row = head_size * kBits / 8, step = 16 * kBits / 8;
  const unsigned char* values = page + at.values;
  scales = page + at.value_scales;
  for (size_t j = 0; j < kPagePositions; j += 2, values += row) {
    for (size_t b = 0; b < at.blocks; ++b) {
      const Float first = load_scale(scales + 2 * (j * at.blocks + b));
      const Float second = load_scale(scales + 2 * ((j + 1) * at.blocks + b));
      for (size_t i = 0; i < at.block; i += 16, values += step, out += 32)
        expand_value_pair<kBits>(values, values + row, first, second, out);
    }
  }
}

// One step of the transform within 16 lanes: lane i and lane i + kStep become their sum and difference.
template <int kStep>
inline void butterfly(Lanes& v) {
  if constexpr (kStep >= Unit::kFloats) {
    const Float a = v.part[0], b = v.part[kParts - 1];
    v.part[0] = Unit::add(a, b);
    v.part[kParts - 1] = Unit::sub(a, b);
  } else {
    for (int x = 0; x < kParts; ++x)
      v.part[x] = Unit::add(Unit::swap<kStep>(v.part[x]), Unit::negate_upper<kStep>(v.part[x]));
  }
}

void spread(float* x, size_t n) {
  const size_t part = n & (~n + 1);
  const Float scale = Unit::set(1.0f / __builtin_sqrtf(static_cast<float>(part)));
  for (float* from = x; from < x + n; from += part) {
    for (size_t i = 0; i < part; i += 16) {
      Lanes v = lanes_load(from + i);
      butterfly<1>(v);
      butterfly<2>(v);
      butterfly<4>(v);
      butterfly<8>(v);
      lanes_store(from + i, v);
    }
    for (size_t step = 16; step < part; step *= 2) {
      for (size_t i = 0; i < part; i += Unit::kFloats) {
        if ((i & step) != 0) continue;
        const Float a = Unit::load(from + i), b = Unit::load(from + i + step);
        Unit::store(from + i, Unit::add(a, b));
        Unit::store(from + i + step, Unit::sub(a, b));
      }
    }
    for (size_t i = 0; i < part; i += Unit::kFloats)
      Unit::store(from + i, Unit::mul(Unit::load(from + i), scale));
  }
}

}  // namespace
}  // namespace cresset::engine
