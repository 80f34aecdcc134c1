// Pages of keys and values in 8 and 4 bits (part of kernels_simd.h): a position is stored, a page is expanded
// to bfloat16 as `attend` reads it. See kv_page.h for the layout.
#pragma once

#include "engine/kernel/kv_page.h"
#include "engine/kernel/simd_attention_bf16.h"

namespace cresset::engine {
namespace {

inline float bfloat_value(uint16_t low) {
  const uint32_t bits = static_cast<uint32_t>(low) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline uint16_t rounded_bfloat(float v) {
  alignas(64) uint16_t all[16];
  Unit::store_bfloat16(all, lanes_set(v).part);
  return all[0];
}

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
  const uint16_t scale = rounded_bfloat(exact);
  const float inverse = 1.0f / bfloat_value(scale);
  Unit::quantise16(part[0].part, inverse, q);
  if (n == 32) Unit::quantise16(part[1].part, inverse, q + 16);
  if constexpr (kBits == 4) {
    for (size_t i = 0; i < n; ++i) q[i] = q[i] > 7 ? 7 : q[i];
  }
  return scale;
}

// One block in 4 bits from a minimum up. Returns the scale.
inline uint16_t quantise_from_minimum(const float* x, size_t n, int8_t* q, uint16_t* minimum) {
  Lanes part[2] = {lanes_load(x), lanes_load(x + n - 16)};
  Lanes high, low;
  for (int k = 0; k < kParts; ++k) {
    high.part[k] = Unit::max(part[0].part[k], part[1].part[k]);
    low.part[k] = Unit::max(Unit::negate(part[0].part[k]), Unit::negate(part[1].part[k]));
  }
  const float highest = fold_max(high), lowest = -fold_max(low);
  *minimum = rounded_bfloat(lowest + 0.0f);  // of two zeros the positive one
  if (!(highest - lowest > kKvLeast)) {
    __builtin_memset(q, 0, n);
    return 0;
  }
  const uint16_t scale = rounded_bfloat((highest - lowest) * (1.0f / 15.0f));
  const Float inverse = Unit::set(1.0f / bfloat_value(scale)), from = Unit::set(bfloat_value(*minimum));
  for (size_t h = 0; h < n / 16; ++h) {
    for (int k = 0; k < kParts; ++k) {
      const Float steps = Unit::mul(Unit::sub(part[h].part[k], from), inverse);
      part[h].part[k] = Unit::min(Unit::max(steps, Unit::set(0.0f)), Unit::set(15.0f));
    }
    Unit::quantise16(part[h].part, 1.0f, q + h * 16);
  }
  return scale;
}

// Neighbouring pairs of 4 bits, `stride` bytes apart.
inline void store_nibbles(const int8_t* q, size_t n, int zero, unsigned char* out, size_t stride) {
  for (size_t i = 0; i < n; i += 2, out += stride)
    *out = static_cast<unsigned char>(((q[i] + zero) & 15) | ((q[i + 1] + zero) & 15) << 4);
}

template <size_t kKeyBits, size_t kValueBits>
void store_kv(const float* k, const float* v, size_t head_size, size_t slot, unsigned char* page) {
  const KvPageLayout at = kv_page_layout(head_size, kKeyBits, kValueBits);
  unsigned char* values = page + at.values + slot * head_size * kValueBits / 8;
  unsigned char* keys = page + slot;
  for (size_t b = 0; b < at.blocks; ++b) {
    alignas(32) int8_t q[32];
    const size_t key_block = 2 * (b * kPagePositions + slot);
    uint16_t scale;
    if constexpr (kKeyBits == 8) {
      scale = quantise_kv<8>(k + b * at.block, at.block, q);
      for (size_t i = 0; i < at.block; ++i) keys[i * kPagePositions] = static_cast<unsigned char>(q[i]);
    } else {
      uint16_t minimum;
      scale = quantise_from_minimum(k + b * at.block, at.block, q, &minimum);
      __builtin_memcpy(page + at.key_minima + key_block, &minimum, 2);
      store_nibbles(q, at.block, 0, keys, kPagePositions);
    }
    __builtin_memcpy(page + at.key_scales + key_block, &scale, 2);
    keys += at.block * kPagePositions * kKeyBits / 8;
    scale = quantise_kv<kValueBits>(v + b * at.block, at.block, q);
    __builtin_memcpy(page + at.value_scales + 2 * (slot * at.blocks + b), &scale, 2);
    if constexpr (kValueBits == 8) {
      __builtin_memcpy(values, q, at.block);
    } else {
      store_nibbles(q, at.block, 8, values, 1);
    }
    values += at.block * kValueBits / 8;
  }
}

inline Float load_scale(const unsigned char* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, 2);
  return Unit::set(bfloat_value(bits));
}
inline Lanes load_bfloats(const unsigned char* p) {
  Lanes out;
  for (int x = 0; x < kParts; ++x) out.part[x] = Unit::load_bfloat(p + 2 * x * Unit::kFloats);
  return out;
}

// Two neighbouring dimensions of 16 positions, times their scales.
template <size_t kBits>
inline void expand_key_pair(const unsigned char* p, const Lanes& scale, const Lanes& minimum, uint16_t* out) {
  for (int x = 0; x < kParts; ++x) {
    const unsigned char* from = p + x * Unit::kFloats;
    Float even, odd;
    if constexpr (kBits == 8) {
      even = Unit::mul(Unit::load_i8(from), scale.part[x]);
      odd = Unit::mul(Unit::load_i8(from + kPagePositions), scale.part[x]);
    } else {
      even = Unit::fma(Unit::load_low_u4(from), scale.part[x], minimum.part[x]);
      odd = Unit::fma(Unit::load_high_u4(from), scale.part[x], minimum.part[x]);
    }
    Unit::store_pairs(out + x * 2 * Unit::kFloats, even, odd);
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

template <size_t kKeyBits, size_t kValueBits>
void expand_kv(const unsigned char* page, size_t head_size, uint16_t* out) {
  const KvPageLayout at = kv_page_layout(head_size, kKeyBits, kValueBits);
  const unsigned char* keys = page;
  for (size_t b = 0; b < at.blocks; ++b) {
    Lanes scale[kTiles], minimum[kTiles];
    for (size_t t = 0; t < kTiles; ++t) {
      const size_t tile = 2 * (b * kPagePositions + t * 16);
      scale[t] = load_bfloats(page + at.key_scales + tile);
      minimum[t] = kKeyBits == 8 ? lanes_set(0) : load_bfloats(page + at.key_minima + tile);
    }
    for (size_t i = 0; i < at.block; i += 2, out += 2 * kPagePositions) {
#pragma GCC unroll 4
      for (size_t t = 0; t < kTiles; ++t)
        expand_key_pair<kKeyBits>(keys + t * 16, scale[t], minimum[t], out + t * 32);
      keys += kPagePositions * kKeyBits / 4;
    }
  }
  const size_t row = head_size * kValueBits / 8, step = 16 * kValueBits / 8;
  const unsigned char* values = page + at.values;
  const unsigned char* scales = page + at.value_scales;
  for (size_t j = 0; j < kPagePositions; j += 2, values += row) {
    for (size_t b = 0; b < at.blocks; ++b) {
      const Float first = load_scale(scales + 2 * (j * at.blocks + b));
      const Float second = load_scale(scales + 2 * ((j + 1) * at.blocks + b));
      for (size_t i = 0; i < at.block; i += 16, values += step, out += 32)
        expand_value_pair<kValueBits>(values, values + row, first, second, out);
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
