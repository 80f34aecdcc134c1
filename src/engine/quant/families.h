// The dequantise functions of each family of formats, for the table in format.cc. Only quant/ includes this.
//
// Each writes `block_items * blocks` floats from `blocks` consecutive blocks. They are the readable truth
// that fast kernels are tested against: one multiplication or addition at a time, in the order of ggml's
// reference, so that the results agree with it bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/quant/format.h"

namespace cresset::engine {

// floats.cc: one value a block.
void dequantise_f32(const std::byte* in, float* out, size_t blocks);
void dequantise_f16(const std::byte* in, float* out, size_t blocks);
void dequantise_bf16(const std::byte* in, float* out, size_t blocks);
// legacy.cc: 32 values a block, one scale.
void dequantise_q4_0(const std::byte* in, float* out, size_t blocks);
void dequantise_q4_1(const std::byte* in, float* out, size_t blocks);
void dequantise_q5_0(const std::byte* in, float* out, size_t blocks);
void dequantise_q5_1(const std::byte* in, float* out, size_t blocks);
void dequantise_q8_0(const std::byte* in, float* out, size_t blocks);
// k_quants.cc: 256 values a block, scales of scales.
void dequantise_q2_k(const std::byte* in, float* out, size_t blocks);
void dequantise_q3_k(const std::byte* in, float* out, size_t blocks);
void dequantise_q4_k(const std::byte* in, float* out, size_t blocks);
void dequantise_q5_k(const std::byte* in, float* out, size_t blocks);
void dequantise_q6_k(const std::byte* in, float* out, size_t blocks);
// tables.cc: four bits that number a value of a table.
void dequantise_iq4_nl(const std::byte* in, float* out, size_t blocks);
void dequantise_iq4_xs(const std::byte* in, float* out, size_t blocks);
void dequantise_mxfp4(const std::byte* in, float* out, size_t blocks);

// Little-endian reads from bytes of any alignment.
inline uint32_t byte_at(const std::byte* in, size_t i) {
  return std::to_integer<uint32_t>(in[i]);
}
inline uint16_t read_u16(const std::byte* in) {
  return static_cast<uint16_t>(byte_at(in, 0) | byte_at(in, 1) << 8);
}
inline uint32_t read_u32(const std::byte* in) {
  return read_u16(in) | static_cast<uint32_t>(read_u16(in + 2)) << 16;
}
inline int8_t read_i8(const std::byte* in) {
  return static_cast<int8_t>(std::to_integer<uint8_t>(*in));
}
inline float read_half(const std::byte* in) {
  return half_to_float(read_u16(in));
}

}  // namespace cresset::engine
