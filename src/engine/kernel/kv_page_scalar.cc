#include "engine/kernel/kv_page_scalar.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/kernel/kv_page.h"
#include "engine/quant/format.h"

namespace cresset::engine {
namespace {

template <size_t kBits>
uint16_t quantise(const float* x, size_t n, int* q) {
  const float high = *std::max_element(x, x + n), low = *std::min_element(x, x + n);
  const float most = std::max(high, -low);
  if (!(most > kKvLeast)) {
    std::fill_n(q, n, 0);
    return 0;
  }
  // In 4 bits there is one step more below zero than above: it goes to the side of the largest value.
  const float exact = kBits == 8 ? most * (1.0f / 127.0f) : (high == most ? -high : most) * 0.125f;
  const uint16_t scale = float_to_bfloat(exact);
  const float inverse = 1.0f / bfloat_to_float(scale);
  for (size_t i = 0; i < n; ++i) {
    const auto nearest = static_cast<int8_t>(std::lrint(x[i] * inverse));
    q[i] = kBits == 8 ? nearest : std::min<int>(nearest, 7);
  }
  return scale;
}

// In 4 bits from a minimum up.
uint16_t quantise_from_minimum(const float* x, size_t n, int* q, uint16_t* minimum) {
  const float high = *std::max_element(x, x + n), low = *std::min_element(x, x + n);
  *minimum = float_to_bfloat(low + 0.0f);  // of two zeros the positive one
  if (!(high - low > kKvLeast)) {
    std::fill_n(q, n, 0);
    return 0;
  }
  const uint16_t scale = float_to_bfloat((high - low) * (1.0f / 15.0f));
  const float inverse = 1.0f / bfloat_to_float(scale), from = bfloat_to_float(*minimum);
  for (size_t i = 0; i < n; ++i)
    q[i] = static_cast<int>(std::lrint(std::min(std::max((x[i] - from) * inverse, 0.0f), 15.0f)));
  return scale;
}

float load_bfloat(const unsigned char* p, size_t index) {
  uint16_t bits;
  std::memcpy(&bits, p + 2 * index, 2);
  return bfloat_to_float(bits);
}

// Two nibbles, the first low.
unsigned char nibbles(int first, int second) {
  return static_cast<unsigned char>((first & 15) | (second & 15) << 4);
}

// Element d of a row of bytes or nibbles that are `stride` bytes apart.
template <size_t kBits>
int read(const unsigned char* row, size_t d, size_t stride) {
  if constexpr (kBits == 8) return static_cast<int8_t>(row[d * stride]);
  const int byte = row[d / 2 * stride];
  return d % 2 == 0 ? byte & 15 : byte >> 4;
}

}  // namespace

template <size_t kKeyBits, size_t kValueBits>
void scalar_store_kv(const float* k, const float* v, size_t head_size, size_t slot, unsigned char* page) {
  const KvPageLayout at = kv_page_layout(head_size, kKeyBits, kValueBits);
  for (size_t b = 0; b < at.blocks; ++b) {
    int key[32], value[32];
    const size_t key_block = 2 * (b * kPagePositions + slot);
    uint16_t key_scale;
    if constexpr (kKeyBits == 8) {
      key_scale = quantise<8>(k + b * at.block, at.block, key);
    } else {
      uint16_t minimum;
      key_scale = quantise_from_minimum(k + b * at.block, at.block, key, &minimum);
      std::memcpy(page + at.key_minima + key_block, &minimum, 2);
    }
    const uint16_t value_scale = quantise<kValueBits>(v + b * at.block, at.block, value);
    std::memcpy(page + at.key_scales + key_block, &key_scale, 2);
    std::memcpy(page + at.value_scales + 2 * (slot * at.blocks + b), &value_scale, 2);
    for (size_t i = 0; i < at.block; i += 2) {
      const size_t d = b * at.block + i;
      if constexpr (kKeyBits == 8) {
        page[d * kPagePositions + slot] = static_cast<unsigned char>(key[i]);
        page[(d + 1) * kPagePositions + slot] = static_cast<unsigned char>(key[i + 1]);
      } else {
        page[d / 2 * kPagePositions + slot] = nibbles(key[i], key[i + 1]);
      }
      unsigned char* row = page + at.values + slot * head_size * kValueBits / 8;
      if constexpr (kValueBits == 8) {
        row[d] = static_cast<unsigned char>(value[i]);
        row[d + 1] = static_cast<unsigned char>(value[i + 1]);
      } else {
        row[d / 2] = nibbles(value[i] + 8, value[i + 1] + 8);
      }
    }
  }
}

template <size_t kKeyBits, size_t kValueBits>
void scalar_expand_kv(const unsigned char* page, size_t head_size, uint16_t* out) {
  const KvPageLayout at = kv_page_layout(head_size, kKeyBits, kValueBits);
  uint16_t* values = out + kPagePositions * head_size;
  for (size_t j = 0; j < kPagePositions; ++j) {
    const unsigned char* row = page + at.values + j * head_size * kValueBits / 8;
    for (size_t d = 0; d < head_size; ++d) {
      const size_t b = d / at.block;
      const float key_scale = load_bfloat(page + at.key_scales, b * kPagePositions + j);
      const float value_scale = load_bfloat(page + at.value_scales, j * at.blocks + b);
      const auto key = static_cast<float>(read<kKeyBits>(page + j, d, kPagePositions));
      const auto value = static_cast<float>(read<kValueBits>(row, d, 1) - (kValueBits == 4 ? 8 : 0));
      const float found =
          kKeyBits == 8 ? key_scale * key
                        : std::fma(key_scale, key, load_bfloat(page + at.key_minima, b * kPagePositions + j));
      out[d / 2 * 2 * kPagePositions + 2 * j + d % 2] = float_to_bfloat(found);
      values[j / 2 * 2 * head_size + 2 * d + j % 2] = float_to_bfloat(value_scale * value);
    }
  }
}

template void scalar_store_kv<8, 8>(const float*, const float*, size_t, size_t, unsigned char*);
template void scalar_store_kv<8, 4>(const float*, const float*, size_t, size_t, unsigned char*);
template void scalar_store_kv<4, 4>(const float*, const float*, size_t, size_t, unsigned char*);
template void scalar_expand_kv<8, 8>(const unsigned char*, size_t, uint16_t*);
template void scalar_expand_kv<8, 4>(const unsigned char*, size_t, uint16_t*);
template void scalar_expand_kv<4, 4>(const unsigned char*, size_t, uint16_t*);

void scalar_spread(float* x, size_t n) {
  const size_t part = n & (~n + 1);
  const float scale = 1.0f / std::sqrt(static_cast<float>(part));
  for (float* from = x; from < x + n; from += part) {
    for (size_t step = 1; step < part; step *= 2) {
      for (size_t i = 0; i < part; ++i) {
        if ((i & step) != 0) continue;
        const float a = from[i], b = from[i + step];
        from[i] = a + b;
        from[i + step] = a - b;
      }
    }
    for (size_t i = 0; i < part; ++i) from[i] *= scale;
  }
}

}  // namespace cresset::engine
