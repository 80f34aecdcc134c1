// How a layer's keys and values of one KV head lie in a page that is kept in 8 or 4 bits (KvFormat).
//
// A block is 32 neighbouring dimensions of one position (16 where 32 do not divide the head) with a scale in
// bfloat16. After another, for 64 positions:
//   keys    8 bits: [dimension][64 positions]; 4 bits: [pair of dimensions][64 positions], the even one low
//   values  8 bits: [64 positions][dimension]; 4 bits: [64 positions][pair of dimensions], the even one low
//   scales  of keys [block][64 positions], of values [64 positions][block]
// 8 bits: value = scale * q, q from -127. 4 bits: value = scale * (q - 8), q from 0 to 15. No byte holds
// parts of two positions, so threads may store neighbouring positions at once; all zero is a page of zeros.
//
// Included by files compiled for special instructions: plain data, no inline code to share.
#pragma once

#include <stddef.h>

#include "engine/kernel/kernels.h"

namespace cresset::engine {

struct KvPageLayout {
  size_t block, blocks;                          // dimensions of one; of a position
  size_t values, key_scales, value_scales, end;  // in bytes from the keys
};

static inline KvPageLayout kv_page_layout(size_t head_size, size_t bits) {
  const size_t block = head_size % 32 == 0 ? 32 : 16, blocks = head_size / block;
  const size_t half = kPagePositions * head_size * bits / 8, scales = kPagePositions * blocks * 2;
  return {block, blocks, half, 2 * half, 2 * half + scales, 2 * (half + scales)};
}

// A block whose values are all below this is zero: so scales and their reciprocals are normal numbers.
constexpr float kKvLeast = 1e-30f;

}  // namespace cresset::engine
