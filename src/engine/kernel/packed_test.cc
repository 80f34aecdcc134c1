#include "engine/kernel/packed.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/kernel/kernels.h"
#include "sys/crypto.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

// Element (row, column) read back by multiplying with vectors that are 1 at one column and 0 elsewhere.
std::vector<float> read_back(const PackedMatrix& matrix) {
  const size_t columns = matrix.columns();
  const bool is_plain = traits(matrix.format()).block_items == 1;
  std::vector<ActivationBlock> blocks((columns / kTokenTile + 1) * kTokenTile * (columns / 32));
  std::vector<unsigned char> scratch(kGemmScratchBytes);
  std::vector<float> floats(columns * columns, 0.0f), out(matrix.rows() * columns), y(columns * 16);
  for (size_t c = 0; c < columns; ++c) {
    ActivationBlock& block = blocks[activation_index(c, columns / 32) + c / 32 * kTokenTile];
    block.scale = block.scaled_sum = 1;
    block.q[c % 32] = 1;
    block.bias = -128;
    block.half_bias = c % 32 < 16 ? -128 : 0;
    floats[c * columns + c] = 1;
  }
  const auto kernel = (is_plain ? kScalarKernels->gemm_float
                                : kScalarKernels->gemm_int8)[static_cast<size_t>(matrix.format())];
  for (size_t p = 0; p < matrix.panels(); ++p) {
    kernel({.panels = matrix.panel(p),
            .panel_count = 1,
            .panel_bytes = matrix.panel_bytes(),
            .columns = columns,
            .tokens = columns,
            .blocks = blocks.data(),
            .rest = nullptr,
            .rest_chosen = nullptr,
            .rest_words = 0,
            .floats = floats.data(),
            .floats_stride = columns,
            .y = y.data(),
            .y_stride = 16,
            .accumulate = false,
            .scratch = scratch.data()});
    for (size_t r = 0; r < 16; ++r) {
      for (size_t c = 0; c < columns; ++c) {
        if (p * 16 + r < matrix.rows()) {
          out[(p * 16 + r) * columns + c] = y[c * 16 + r];
        } else {
          EXPECT_EQ(y[c * 16 + r], 0.0f) << "a row beyond the matrix";
        }
      }
    }
  }
  return out;
}

std::vector<float> dequantise(Format format, const std::vector<std::byte>& file, size_t rows,
                              size_t columns) {
  std::vector<float> out(rows * columns);
  const size_t row_size = file.size() / rows;
  for (size_t r = 0; r < rows; ++r) {
    dequantise_row(format, std::span(file).subspan(r * row_size, row_size),
                   std::span(out).subspan(r * columns, columns));
  }
  return out;
}

class PackedOfFormat : public ::testing::TestWithParam<FormatTraits> {};

TEST_P(PackedOfFormat, HoldsTheValuesOfTheFile) {
  const FormatTraits& f = GetParam();
  const size_t columns = f.block_items == 256 ? 512 : 96;
  for (const size_t rows : {1u, 16u, 37u}) {
    const std::vector<std::byte> file =
        testing::random_blocks(f.format, rows * columns / f.block_items, 1.0f, rows);
    PackedMatrix matrix(f.format, rows, columns);
    for (size_t p = 0; p < matrix.panels(); ++p) matrix.pack(file, f.format, p, p + 1);
    EXPECT_EQ(matrix.bytes(), matrix.panels() * panel_bytes(f.format, columns));
    EXPECT_EQ(read_back(matrix), dequantise(f.format, file, rows, columns));
  }
}

TEST_P(PackedOfFormat, UnpacksToFloatsForTheReferenceArithmetic) {
  const FormatTraits& f = GetParam();
  const size_t columns = f.block_items == 256 ? 256 : 64, rows = 21;
  const std::vector<std::byte> file =
      testing::random_blocks(f.format, rows * columns / f.block_items, 1.0f, 4);
  PackedMatrix matrix(Format::kF32, rows, columns);
  matrix.pack(file, f.format, 0, matrix.panels());
  EXPECT_EQ(read_back(matrix), dequantise(f.format, file, rows, columns));
}

// Packed weights are kept in files: a change of any form without another kPackedVersion would read old files
// as the new form. Raise the version and put the new sums here.
TEST(PackedForm, IsThatOfItsVersion) {
  EXPECT_EQ(kPackedVersion, 1u);
  const std::map<std::string_view, std::string_view> sums{
      {"F32", "17390fa497790938b40b1da87c7b38f1"},    {"F16", "4cf9adc07ae11107b5cb6b58bf1b4464"},
      {"BF16", "4cf9adc07ae11107b5cb6b58bf1b4464"},   {"Q4_0", "3d3bae17fedabd15fe92701462c29721"},
      {"Q4_1", "304ca6b24cc9c48063ddb287d7896f44"},   {"Q5_0", "64d95f656fbed0cd964e0e178db341d5"},
      {"Q5_1", "25b65c89fef0e5a68d23c144d1575012"},   {"Q8_0", "35c61a71c1cb74e61616e1691b55172e"},
      {"Q4_K", "923d733648b5caf538065073fc3f4010"},   {"Q5_K", "8d32451b649eda9557d512979551f857"},
      {"Q6_K", "159219231f664e99266a503d4cdfedfa"},   {"Q2_K", "20f381c4005578b2711c48c83c6344e3"},
      {"Q3_K", "42865c7cd6a4b510c25ac307d5893035"},   {"IQ4_NL", "3d3bae17fedabd15fe92701462c29721"},
      {"IQ4_XS", "c4ff40a7c45ed1f8b4124fd4058fef47"}, {"MXFP4", "27f57c48e76c64ab5de3ac841ca836f4"},
  };
  for (const FormatTraits& f : all_formats()) {
    constexpr size_t kRows = 21, kColumns = 512;
    std::vector<std::byte> file(kRows * row_bytes(f.format, kColumns).value());
    for (size_t i = 0; i < file.size(); ++i) file[i] = static_cast<std::byte>(i * 167 + i / 251 * 13);
    PackedMatrix matrix(f.format, kRows, kColumns);
    matrix.pack(file, f.format, 0, matrix.panels());
    const auto sum = sums.find(f.name);
    ASSERT_NE(sum, sums.end()) << "a new format: add its sum";
    EXPECT_EQ(sys::to_hex(sys::checksum(matrix.data())), sum->second) << f.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, PackedOfFormat, ::testing::ValuesIn(all_formats().begin(), all_formats().end()),
                         [](const auto& it) { return std::string(it.param.name); });

}  // namespace
}  // namespace cresset::engine
