// How a layer's keys and values of one KV head lie in a page that is kept in fewer bits (KvFormat).
//
// A block is 32 neighbouring dimensions of one position (16 where 32 do not divide the head) with a scale in
// bfloat16. After another, for 64 positions:
//   keys    8 bits: [dimension][64 positions]; 4 bits: [pair of dimensions][64 positions], the even one low
//   values  8 bits: [64 positions][dimension]; 4 bits: [64 positions][pair of dimensions], the even one low
//   scales  of keys [block][64 positions], of values [64 positions][block]
//   minima  of keys in 4 bits, as their scales
// 8 bits: scale * q, q from -127. Values in 4 bits: scale * (q - 8), q from 0 to 15. Keys in 4 bits: scale *
// q
// + minimum. No byte holds parts of two positions, so threads may store neighbouring positions at once; all
// zero is a page of zeros.
//
// Included by files compiled for special instructions: plain data, no inline code to share.
#pragma once

#include <stddef.h>

#include "engine/kernel/kernels.h"

namespace cresset::engine {

struct KvPageLayout {
  size_t block, blocks;                                      // dimensions of one; of a position
  size_t values, key_scales, value_scales, key_minima, end;  // in bytes from the keys
};

static inline KvPageLayout kv_page_layout(size_t head_size, size_t key_bits, size_t value_bits) {
  const size_t block = head_size % 32 == 0 ? 32 : 16, blocks = head_size / block;
  const size_t values = kPagePositions * head_size * key_bits / 8, scales = kPagePositions * blocks * 2;
  const size_t key_scales = values + kPagePositions * head_size * value_bits / 8;
  const size_t minima = key_scales + 2 * scales;
  return {
      block, blocks, values, key_scales, key_scales + scales, minima, minima + (key_bits == 4 ? scales : 0)};
}

// A block whose values are all below this is zero: so scales and their reciprocals are normal numbers.
constexpr float kKvLeast = 1e-30f;

}  // namespace cresset::engine
