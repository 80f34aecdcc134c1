#include "engine/quant/format.h"

#include <array>
#include <limits>
#include <string>

#include "base/check.h"
#include "engine/quant/families.h"

namespace cresset::engine {
namespace {

// In the order of Format. The numbers are part of the file format and never change.
constexpr std::array<FormatTraits, kFormatCount> kFormats = {{
    {Format::kF32, "F32", 0, 1, 4, dequantise_f32},
    {Format::kF16, "F16", 1, 1, 2, dequantise_f16},
    {Format::kBF16, "BF16", 30, 1, 2, dequantise_bf16},
    {Format::kQ4_0, "Q4_0", 2, 32, 18, dequantise_q4_0},
    {Format::kQ4_1, "Q4_1", 3, 32, 20, dequantise_q4_1},
    {Format::kQ5_0, "Q5_0", 6, 32, 22, dequantise_q5_0},
    {Format::kQ5_1, "Q5_1", 7, 32, 24, dequantise_q5_1},
    {Format::kQ8_0, "Q8_0", 8, 32, 34, dequantise_q8_0},
    {Format::kQ4_K, "Q4_K", 12, 256, 144, dequantise_q4_k},
    {Format::kQ5_K, "Q5_K", 13, 256, 176, dequantise_q5_k},
    {Format::kQ6_K, "Q6_K", 14, 256, 210, dequantise_q6_k},
    {Format::kQ2_K, "Q2_K", 10, 256, 84, dequantise_q2_k},
    {Format::kQ3_K, "Q3_K", 11, 256, 110, dequantise_q3_k},
    {Format::kIQ4_NL, "IQ4_NL", 20, 32, 18, dequantise_iq4_nl},
    {Format::kIQ4_XS, "IQ4_XS", 23, 256, 136, dequantise_iq4_xs},
    {Format::kMXFP4, "MXFP4", 39, 32, 17, dequantise_mxfp4},
}};

constexpr bool in_order() {
  for (size_t i = 0; i < kFormats.size(); ++i) {
    if (kFormats[i].format != static_cast<Format>(i)) return false;
  }
  return true;
}
static_assert(in_order(), "a format's line stands at its place in the enum");

// Every type number that ggml has given out (ggml.h, enum ggml_type), also those that it took back.
constexpr std::array<std::string_view, 43> kGgmlTypeNames = {
    "F32",      "F16",      "Q4_0",    "Q4_1",  "Q4_2",       "Q4_3",       "Q5_0",       "Q5_1",
    "Q8_0",     "Q8_1",     "Q2_K",    "Q3_K",  "Q4_K",       "Q5_K",       "Q6_K",       "Q8_K",
    "IQ2_XXS",  "IQ2_XS",   "IQ3_XXS", "IQ1_S", "IQ4_NL",     "IQ3_S",      "IQ2_S",      "IQ4_XS",
    "I8",       "I16",      "I32",     "I64",   "F64",        "IQ1_M",      "BF16",       "Q4_0_4_4",
    "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",   "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",
    "NVFP4",    "Q1_0",     "Q2_0"};

}  // namespace

const FormatTraits& traits(Format format) {
  const auto index = static_cast<size_t>(format);
  CHECK(index < kFormats.size());
  return kFormats[index];
}

std::span<const FormatTraits> all_formats() {
  return kFormats;
}

std::optional<Format> format_of_ggml(uint32_t ggml_id) {
  for (const FormatTraits& f : kFormats) {
    if (f.ggml_id == ggml_id) return f.format;
  }
  return std::nullopt;
}

std::string_view ggml_type_name(uint32_t ggml_id) {
  return ggml_id < kGgmlTypeNames.size() ? kGgmlTypeNames[ggml_id] : std::string_view();
}

Result<uint64_t> row_bytes(Format format, uint64_t items) {
  const FormatTraits& f = traits(format);
  if (items % f.block_items != 0) {
    return fail(Code::kInvalid, "a row of " + std::to_string(items) + " values is not a whole number of " +
                                    std::string(f.name) + " blocks of " + std::to_string(f.block_items));
  }
  const uint64_t blocks = items / f.block_items;
  if (blocks > std::numeric_limits<uint64_t>::max() / f.block_bytes) {
    return fail(Code::kInvalid,
                "a row of " + std::to_string(items) + " values has more bytes than 64 bits can count");
  }
  return blocks * f.block_bytes;
}

void dequantise_row(Format format, std::span<const std::byte> in, std::span<float> out) {
  const FormatTraits& f = traits(format);
  const size_t blocks = out.size() / f.block_items;
  CHECK(blocks * f.block_items == out.size() && blocks * f.block_bytes == in.size());
  f.dequantise(in.data(), out.data(), blocks);
}

}  // namespace cresset::engine
