// Products: the tables against each other, bit for bit, on honest and hostile blocks; the scalar one against
// double arithmetic.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <span>

#include "engine/kernel/kernels_testing.h"
#include "engine/kernel/packed.h"
#include "engine/quant/format.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

bool is_plain(Format format) {
  return traits(format).block_items == 1;
}
bool is_super(Format format) {
  return traits(format).block_items == 256;
}

using Scales = std::span<const uint16_t>;
// Scales that are zero, negative, subnormal and as large as a half can be; and those that no honest file has.
constexpr uint16_t kExtremeScales[] = {0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF, 0x3C00, 0xBC00};
constexpr uint16_t kAnyScales[] = {0x0000, 0x8001, 0x7BFF, 0xBC00, 0x3C00,
                                   0x2000, 0x7C00, 0xFC00, 0x7E00, 0xFD55};

// Rows of a format at its extremes: every quant at its least, at its most, and at random, under such scales.
std::vector<std::byte> hostile_rows(Format format, size_t rows, size_t columns, uint64_t seed,
                                    Scales scales) {
  const size_t blocks = rows * columns / traits(format).block_items, size = traits(format).block_bytes;
  std::vector<std::byte> out = testing::random_blocks(format, blocks, 1.0f, seed);
  if (is_plain(format)) return out;
  std::mt19937_64 random(seed + 1);
  constexpr uint8_t kExponents[] = {0, 1, 2, 3, 127, 150, 253, 254, 255};  // of MXFP4
  const size_t first_scale = format == Format::kQ6_K   ? 208
                             : format == Format::kQ2_K ? 80
                             : format == Format::kQ3_K ? 108
                                                       : 0;
  const bool has_two = format == Format::kQ4_1 || format == Format::kQ5_1 || format == Format::kQ4_K ||
                       format == Format::kQ5_K || format == Format::kQ2_K;
  for (size_t b = 0; b < blocks; ++b) {
    std::byte* block = out.data() + b * size;
    const uint64_t dice = random();
    const size_t scale_end = first_scale + (format == Format::kMXFP4 ? 1u : has_two ? 4u : 2u);
    if (dice % 3 != 0) {
      for (size_t i = 0; i < size; ++i) {
        if (i < first_scale || i >= scale_end) block[i] = dice % 3 == 1 ? std::byte{0} : std::byte{0xFF};
      }
    }
    if (format == Format::kMXFP4) {
      block[0] = static_cast<std::byte>(kExponents[random() % std::size(kExponents)]);
      continue;
    }
    for (size_t at = first_scale; at < scale_end; at += 2)
      std::memcpy(block + at, &scales[random() % scales.size()], 2);
  }
  return out;
}

struct Product {
  Format format;
  size_t columns, tokens;
  std::vector<ActivationBlock> blocks, rest;  // see activation_index
  std::vector<uint64_t> chosen;               // [token][words]
  std::vector<float> floats;                  // [token][column]

  // `has_gaps`: of some blocks nothing is left over to add, as for the blocks that rounding leaves out.
  Product(Format f, size_t c, size_t t, ActivationMood mood, bool has_gaps = false)
      : format(f), columns(c), tokens(t) {
    blocks.resize((t / kTokenTile + 1) * kTokenTile * (c / 32));
    rest.resize(blocks.size());
    chosen.resize(t * words());
    for (size_t i = 0; i < t; ++i) {
      const std::vector<float> x = activations(c, mood, i + 1);
      const size_t at = activation_index(i, c / 32);
      for (size_t b = 0; b < c / 32; ++b) {
        if (!has_gaps || (i + b) % 3 == 0) chosen[i * words() + b / 64] |= uint64_t{1} << b % 64;
      }
      kScalarKernels->quantise(x.data(), c, blocks.data() + at);
      kScalarKernels->quantise_rest(x.data(), c, blocks.data() + at, chosen.data() + i * words(),
                                    rest.data() + at);
      floats.insert(floats.end(), x.begin(), x.end());
    }
  }
  size_t words() const { return columns / 32 / 64 + 1; }
  size_t stride(const PackedMatrix& matrix) const { return matrix.panels() * 16 + 4; }
  std::vector<float> run(const Kernels& kernels, const PackedMatrix& matrix, bool accumulate,
                         bool is_fine = false) const {
    std::vector<float> y = random_floats(tokens * stride(matrix), 5);
    std::vector<unsigned char> room(kGemmScratchBytes + 64);
    void* scratch = room.data();
    size_t space = room.size();
    const auto kernel = is_plain(format) ? kernels.gemm_float[static_cast<size_t>(format)]
                                         : kernels.gemm_int8[static_cast<size_t>(format)];
    kernel({.panels = matrix.panel(0),
            .panel_count = matrix.panels(),
            .panel_bytes = matrix.panel_bytes(),
            .columns = columns,
            .tokens = tokens,
            .blocks = blocks.data(),
            .rest = is_fine ? rest.data() : nullptr,
            .rest_chosen = is_fine ? chosen.data() : nullptr,
            .rest_words = words(),
            .floats = floats.data(),
            .floats_stride = columns,
            .y = y.data(),
            .y_stride = stride(matrix),
            .accumulate = accumulate,
            .scratch = static_cast<unsigned char*>(std::align(64, kGemmScratchBytes, scratch, space))});
    return y;
  }
};

PackedMatrix pack(Format format, const std::vector<std::byte>& file, size_t rows, size_t columns) {
  PackedMatrix matrix(format, rows, columns);
  matrix.pack(file, format, 0, matrix.panels());
  return matrix;
}

class KernelsOfFormat : public ::testing::TestWithParam<FormatTraits> {};

TEST_P(KernelsOfFormat, MultiplyToTheSameBits) {
  const Format format = GetParam().format;
  // The widest is more than the kernels take at once.
  const std::vector<size_t> widths =
      is_super(format) ? std::vector<size_t>{256, 512, 2304} : std::vector<size_t>{32, 96, 576, 2112};
  for (const size_t columns : widths) {
    for (const Scales scales : {Scales(), Scales(kExtremeScales), Scales(kAnyScales)}) {
      const size_t rows = columns < 600 ? 80 : 16;
      const std::vector<std::byte> file =
          scales.empty()
              ? testing::random_blocks(format, rows * columns / traits(format).block_items, 1.0f, columns)
              : hostile_rows(format, rows, columns, columns, scales);
      const PackedMatrix matrix = pack(format, file, rows, columns);
      for (const size_t tokens : {1u, 2u, 3u, 7u, 8u, 9u, 25u, 65u, 520u}) {
        if (tokens > 100 && columns != widths[1]) continue;
        const ActivationMood mood = kActivationMoods[(tokens + columns / 32) % std::size(kActivationMoods)];
        const Product product(format, columns, tokens,
                              tokens == 8   ? ActivationMood::kAllHigh
                              : tokens == 9 ? ActivationMood::kAllLow
                                            : mood,
                              scales.empty());  // an infinite scale times 0 is not a number
        for (const bool accumulate : {false, true}) {
          for (const bool is_fine : {false, true}) {
            if (is_fine && is_plain(format)) continue;
            const std::vector<float> expected = product.run(*kScalarKernels, matrix, accumulate, is_fine);
            for (const Kernels* fast : fast_kernels()) {
              ASSERT_TRUE(same_values(product.run(*fast, matrix, accumulate, is_fine), expected))
                  << fast->name << ", " << columns << " columns, " << tokens << " tokens, " << scales.size()
                  << " hostile scales, fine " << is_fine;
            }
          }
        }
      }
    }
  }
}

// A token's row has the same bits alone and among others.
// Wider than any list in the scratch: a file may say so.
TEST(Kernels, MultiplyRowsOfAnyWidth) {
  constexpr size_t kColumns = (kGemmScratchBytes / sizeof(uint32_t) + 8192) * 32;
  const PackedMatrix matrix =
      pack(Format::kQ4_0, testing::random_blocks(Format::kQ4_0, 16 * kColumns / 32, 1.0f, 5), 16, kColumns);
  const Product product(Format::kQ4_0, kColumns, 2, ActivationMood::kRandom);
  const std::vector<float> expected = product.run(*kScalarKernels, matrix, false, true);
  for (const Kernels* fast : fast_kernels())
    EXPECT_TRUE(same_bits(product.run(*fast, matrix, false, true), expected)) << fast->name;
}

TEST_P(KernelsOfFormat, MultiplyATokenAloneAsInABatch) {
  const Format format = GetParam().format;
  const size_t columns = 512;
  const PackedMatrix matrix =
      pack(format, testing::random_blocks(format, 16 * columns / traits(format).block_items, 1.0f, 9), 16,
           columns);
  const Product one(format, columns, 1, ActivationMood::kRandom),
      many(format, columns, 130, ActivationMood::kRandom);
  for (const bool is_fine : {false, true}) {
    if (is_fine && is_plain(format)) continue;
    const std::vector<float> alone = one.run(*kScalarKernels, matrix, false, is_fine),
                             together = many.run(*kScalarKernels, matrix, false, is_fine);
    EXPECT_TRUE(std::equal(alone.begin(), alone.begin() + 16, together.begin()));
  }
}

// Within rounding of the exact product of what the format and the quantised activations stand for.
TEST_P(KernelsOfFormat, MultiplyWithinRoundingOfDoubleArithmetic) {
  const Format format = GetParam().format;
  for (const size_t columns : {256u, 1024u}) {
    const std::vector<std::byte> file =
        testing::random_blocks(format, 16 * columns / traits(format).block_items, 1.0f, columns + 3);
    const PackedMatrix matrix = pack(format, file, 16, columns);
    const Product product(format, columns, 5, ActivationMood::kRandom);
    const std::vector<float> y = product.run(*kScalarKernels, matrix, false);
    std::vector<float> row(columns);
    const size_t row_size = file.size() / 16;
    for (size_t r = 0; r < 16; ++r) {
      dequantise_row(format, std::span(file).subspan(r * row_size, row_size), row);
      double highest = 0;
      for (const float w : row) highest = std::max(highest, std::fabs(static_cast<double>(w)));
      for (size_t t = 0; t < 5; ++t) {
        double sum = 0, size = 0;
        for (size_t c = 0; c < columns; ++c) {
          const ActivationBlock& b = product.blocks[c / 32 * kTokenTile + t];
          const double x = is_plain(format) ? static_cast<double>(product.floats[t * columns + c])
                                            : static_cast<double>(b.scale) * b.q[c % 32];
          sum += static_cast<double>(row[c]) * x;
          size += highest * std::fabs(x);
        }
        const double roundings =
            is_plain(format) ? static_cast<double>(columns) : static_cast<double>(columns) / 16 + 4;
        EXPECT_NEAR(static_cast<double>(y[t * 20 + r]), sum, size * roundings * 0x1p-24) << "row " << r;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, KernelsOfFormat,
                         ::testing::ValuesIn(all_formats().begin(), all_formats().end()),
                         [](const auto& it) { return std::string(it.param.name); });

}  // namespace
}  // namespace cresset::engine
