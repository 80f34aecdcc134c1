// IQ4_NL, IQ4_XS, MXFP4: each value is four bits that number one of 16 values of a table.
//
// Nibbles: byte j of a block's 16 holds value j in its low and value j + 16 in its high four bits.
#include "engine/quant/tables.h"

#include <bit>

#include "engine/quant/families.h"

namespace cresset::engine {
namespace {

void look_up(const std::byte* nibbles, const signed char* values, float scale, float* out) {
  for (size_t j = 0; j < 32; ++j) {
    const uint32_t number = byte_at(nibbles, j % 16) >> (j < 16 ? 0 : 4) & 0xF;
    out[j] = scale * static_cast<float>(values[number]);
  }
}

}  // namespace

float mxfp4_scale(uint8_t exponent) {
  // 2^-128 and 2^-127 are below the least normal float: fractions of 2^-126.
  const uint32_t e = exponent;
  return std::bit_cast<float>(e < 2 ? 0x0020'0000u << e : (e - 1) << 23);
}

// half d; 16 bytes of nibbles. x = d * table[q]
void dequantise_iq4_nl(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 18, out += 32) look_up(in + 2, kIq4Values, read_half(in), out);
}

// half d; a u16 with the two high bits of eight scales, 4 bytes with their low nibbles; eight times 16 bytes
// of nibbles. x = d * (scale - 32) * table[q]
void dequantise_iq4_xs(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 136) {
    const float d = read_half(in);
    const uint32_t high = read_u16(in + 2);
    for (size_t j = 0; j < 8; ++j, out += 32) {
      const uint32_t low = byte_at(in, 4 + j / 2) >> (4 * (j % 2)) & 0xF;
      const int scale = static_cast<int>(low | (high >> (2 * j) & 3) << 4) - 32;
      look_up(in + 8 + 16 * j, kIq4Values, d * static_cast<float>(scale), out);
    }
  }
}

// A byte of exponent; 16 bytes of nibbles. x = 2^(exponent - 128) * table[q]
void dequantise_mxfp4(const std::byte* in, float* out, size_t blocks) {
  for (; blocks > 0; --blocks, in += 17, out += 32) {
    look_up(in + 1, kMxfp4Values, mxfp4_scale(static_cast<uint8_t>(byte_at(in, 0))), out);
  }
}

}  // namespace cresset::engine
