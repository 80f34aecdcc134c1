// Q2_K to Q6_K: blocks of 256 values in sub-blocks, whose scales are themselves small integers times a
// half.
#include "engine/quant/families.h"

namespace cresset::engine {
namespace {

constexpr size_t kItems = 256;

struct SubScale {
  float scale, minimum;
};

// The 6-bit scale and minimum of sub-block j (0 to 7) out of 12 packed bytes, times the block's d and dmin.
// Bytes 0-3: scales 0-3 in the low 6 bits; bytes 4-7: minima 0-3; bytes 8-11: the low nibbles of scales and
// minima 4-7. The two high bits of those are the two high bits of bytes 0-3 (scales) and 4-7 (minima).
SubScale sub_scale(const std::byte* packed, size_t j, float d, float dmin) {
  uint32_t scale = 0, minimum = 0;
  if (j < 4) {
    scale = byte_at(packed, j) & 63;
    minimum = byte_at(packed, j + 4) & 63;
  } else {
    scale = (byte_at(packed, j + 4) & 0xF) | (byte_at(packed, j - 4) >> 6) << 4;
    minimum = byte_at(packed, j + 4) >> 4 | (byte_at(packed, j) >> 6) << 4;
  }
  return {d * static_cast<float>(scale), dmin * static_cast<float>(minimum)};
}

// Q2_K and Q3_K keep two bits of each value in 64 bytes: each half of 128 values has its own 32 bytes, and
// its row r of 32 values is bit pair r of them.
uint32_t bit_pair(const std::byte* pairs, size_t item) {
  const size_t half = item / 128, row = item % 128 / 32, j = item % 32;
  return byte_at(pairs, 32 * half + j) >> (2 * row) & 3;
}

// The 6-bit scale, less 32, of 16 values out of Q3_K's 12 packed bytes. Bytes 0-7: the low nibbles of scales
// 0-7 and, as high nibbles, of 8-15; bytes 8-11: byte i has as bit pair k the two high bits of scale 4k + i.
int q3_scale(const std::byte* packed, size_t j) {
  const uint32_t low = byte_at(packed, j % 8) >> (j < 8 ? 0 : 4) & 0xF;
  const uint32_t high = byte_at(packed, 8 + j % 4) >> (2 * (j / 4)) & 3;
  return static_cast<int>(low | high << 4) - 32;
}

}  // namespace

// 16 bytes with the scale (low nibble) and the minimum (high) of 16 values each; 64 bytes of bit pairs; half
// d, half dmin last. x = d * scale * q - dmin * minimum
void dequantise_q2_k(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 84, out += kItems) {
    const float d = read_half(in + 80), dmin = read_half(in + 82);
    for (size_t item = 0; item < kItems; ++item) {
      const uint32_t packed = byte_at(in, item / 16);
      const float scale = d * static_cast<float>(packed & 0xF);
      const float minimum = dmin * static_cast<float>(packed >> 4);
      out[item] = scale * static_cast<float>(bit_pair(in + 16, item)) - minimum;
    }
  }
}

// 32 bytes of third bits: bit i of byte j belongs to value j of the i-th 32 values; 64 bytes of bit pairs; 12
// bytes of scales; half d last. x = d * scale * (q - 4)
void dequantise_q3_k(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 110, out += kItems) {
    const float d = read_half(in + 108);
    for (size_t item = 0; item < kItems; ++item) {
      const float scale = d * static_cast<float>(q3_scale(in + 96, item / 16));
      const uint32_t third = byte_at(in, item % 32) >> (item / 32) & 1;
      out[item] = scale * static_cast<float>(static_cast<int>(bit_pair(in + 32, item) | third << 2) - 4);
    }
  }
}

// half d, half dmin; 12 bytes of scales; 128 bytes of nibbles: each 32 bytes serve sub-block 2i with their
// low and 2i + 1 with their high nibbles. x = d * scale * q - dmin * minimum
void dequantise_q4_k(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 144, out += kItems) {
    const float d = read_half(in), dmin = read_half(in + 2);
    for (size_t sub = 0; sub < 8; ++sub) {
      const SubScale s = sub_scale(in + 4, sub, d, dmin);
      const std::byte* nibbles = in + 16 + 32 * (sub / 2);
      const unsigned shift = sub % 2 == 0 ? 0 : 4;
      for (size_t j = 0; j < 32; ++j) {
        out[32 * sub + j] = s.scale * static_cast<float>(byte_at(nibbles, j) >> shift & 0xF) - s.minimum;
      }
    }
  }
}

// As Q4_K, with 32 bytes of fifth bits between scales and nibbles: bit i of byte j belongs to value j of
// sub-block i.
void dequantise_q5_k(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 176, out += kItems) {
    const float d = read_half(in), dmin = read_half(in + 2);
    const std::byte* fifths = in + 16;
    for (size_t sub = 0; sub < 8; ++sub) {
      const SubScale s = sub_scale(in + 4, sub, d, dmin);
      const std::byte* nibbles = in + 48 + 32 * (sub / 2);
      const unsigned shift = sub % 2 == 0 ? 0 : 4;
      for (size_t j = 0; j < 32; ++j) {
        const uint32_t q = (byte_at(nibbles, j) >> shift & 0xF) | (byte_at(fifths, j) >> sub & 1) << 4;
        out[32 * sub + j] = s.scale * static_cast<float>(q) - s.minimum;
      }
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales (one for 16 values), half d last.
// Each half of 128 values has its own 64 + 32 bytes and four rows of 32: row r takes nibbles from bytes 32 *
// (r % 2) (low nibbles for rows 0 and 1, high for 2 and 3) and bit pair r of the high bytes. x = d * scale *
// (q - 32)
void dequantise_q6_k(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 210, out += kItems) {
    const float d = read_half(in + 208);
    for (size_t item = 0; item < kItems; ++item) {
      const size_t half = item / 128, row = item % 128 / 32, j = item % 32;
      const uint32_t low = byte_at(in, 64 * half + 32 * (row % 2) + j) >> (row < 2 ? 0 : 4) & 0xF;
      const uint32_t high = byte_at(in, 128 + 32 * half + j) >> (2 * row) & 3;
      const float scale = d * static_cast<float>(read_i8(in + 192 + item / 16));
      out[item] = scale * static_cast<float>(static_cast<int>(low | high << 4) - 32);
    }
  }
}

}  // namespace cresset::engine
