// Weight formats: the table of what a block of each holds, and the readable truth of what it means.
// A newcomer is one line in the table of format.cc and one dequantise function in a family file.
// Layouts: ggml's block formats (github.com/ggml-org/ggml, src/ggml-common.h); little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace cresset::engine {

// Our own names; `ggml_id` in the table is the number in the file.
enum class Format : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ2_K,
  kQ3_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4
};
constexpr int kFormatCount = 16;

struct FormatTraits {
  Format format;
  std::string_view name;  // "Q4_K": the field's name
  uint32_t ggml_id;       // type number in a GGUF file
  uint32_t block_items;   // values in a block (1, 32 or 256)
  uint32_t block_bytes;
  // Writes `block_items * blocks` floats from `blocks` consecutive blocks. Exact arithmetic of the format.
  void (*dequantise)(const std::byte* in, float* out, size_t blocks);
};

const FormatTraits& traits(Format format);
std::span<const FormatTraits> all_formats();
// The format of a ggml type number; nothing where we do not read it.
std::optional<Format> format_of_ggml(uint32_t ggml_id);
// The name of any ggml type number, for error lines ("IQ2_XXS"); "type 99" style is up to the caller where
// empty.
std::string_view ggml_type_name(uint32_t ggml_id);

// Bytes of a row of `items` values. kInvalid where the format's blocks do not divide it; overflow-safe.
Result<uint64_t> row_bytes(Format format, uint64_t items);

// One row to floats. `in` holds exactly the row.
void dequantise_row(Format format, std::span<const std::byte> in, std::span<float> out);

// IEEE half and bfloat16 to float, exactly; and float to half with round-to-nearest-even.
float half_to_float(uint16_t half);
uint16_t float_to_half(float value);
float bfloat_to_float(uint16_t bits);
uint16_t float_to_bfloat(float value);  // to nearest, ties to even; NaN stays NaN
// What MXFP4's table of doubled values is multiplied by: 2^(exponent - 127) / 2, exact for every byte. The
// least two are subnormal floats; 255, which the OCP standard calls NaN, is 2^127 as in ggml. Large values
// under 253 and more are beyond a float: infinite.
float mxfp4_scale(uint8_t exponent);

}  // namespace cresset::engine
