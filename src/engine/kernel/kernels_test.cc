// The tables against each other, bit for bit, on honest and hostile blocks; the scalar one against double
// arithmetic.
#include "engine/kernel/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>

#include "engine/kernel/dispatch.h"
#include "engine/kernel/exp.h"
#include "engine/kernel/packed.h"
#include "engine/quant/format.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

// The vector tables that this machine can run; empty where it has neither.
std::vector<const Kernels*> fast_kernels() {
  std::vector<const Kernels*> out;
  for (const KernelKind kind : {KernelKind::kAvx2, KernelKind::kAvx512}) {
    if (const auto kernels = choose_kernels(kind, sys::read_cpu_features())) out.push_back(*kernels);
  }
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

std::vector<float> random_floats(size_t n, uint64_t seed, float size = 1.0f) {
  std::mt19937_64 random(seed);
  std::vector<float> out(n);
  for (float& v : out) v = size * (static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
  return out;
}

// ---- activations
// ------------------------------------------------------------------------------------------------------

enum class Mood { kRandom, kAllHigh, kAllLow, kZero, kOutlier, kHuge, kTiny };
constexpr Mood kMoods[] = {Mood::kRandom,  Mood::kAllHigh, Mood::kAllLow, Mood::kZero,
                           Mood::kOutlier, Mood::kHuge,    Mood::kTiny};

std::vector<float> activations(size_t n, Mood mood, uint64_t seed) {
  std::vector<float> x = random_floats(n, seed);
  switch (mood) {
    case Mood::kRandom:
      break;
    case Mood::kAllHigh:
      std::fill(x.begin(), x.end(), 0.7f);
      break;
    case Mood::kAllLow:
      std::fill(x.begin(), x.end(), -0.7f);
      break;
    case Mood::kZero:
      std::fill(x.begin(), x.end(), 0.0f);
      break;
    case Mood::kOutlier:
      x[seed % n] = 9000.0f;
      break;
    case Mood::kHuge:
      for (float& v : x) v *= 1e20f;
      break;
    case Mood::kTiny:  // subnormal: 127 divided by them is infinite
      for (float& v : x) v *= 1e-39f;
      break;
  }
  return x;
}

TEST(Kernels, QuantiseGivesTheSameBlocksAndStaysWithinHalfAStep) {
  for (const Mood mood : kMoods) {
    for (const size_t columns : {32u, 64u, 576u, 1536u}) {
      const std::vector<float> x = activations(columns, mood, columns);
      const size_t blocks = columns / 32;
      using Blocks = std::vector<ActivationBlock>;
      Blocks expected(blocks * kTokenTile, ActivationBlock{}), rest = expected, got = expected,
                                                               got_rest = rest;
      kScalarKernels->quantise(x.data(), columns, expected.data(), rest.data());
      for (const Kernels* fast : fast_kernels()) {
        fast->quantise(x.data(), columns, got.data(), got_rest.data());
        EXPECT_TRUE(same_bits(got, expected)) << fast->name << ", mood " << static_cast<int>(mood);
        EXPECT_TRUE(same_bits(got_rest, rest)) << fast->name << ", mood " << static_cast<int>(mood);
        fast->quantise(x.data(), columns, got.data(), nullptr);
        EXPECT_TRUE(same_bits(got, expected)) << fast->name << ", without the rest";
      }
      for (size_t c = 0; c < columns; ++c) {
        const ActivationBlock& block = expected[c / 32 * kTokenTile];
        const ActivationBlock& left = rest[c / 32 * kTokenTile];
        EXPECT_GE(block.q[c % 32], -127);
        const auto least = static_cast<double>(kActivationLeast), value = static_cast<double>(x[c]);
        const double first = static_cast<double>(block.scale) * block.q[c % 32];
        EXPECT_NEAR(first, value, std::max(static_cast<double>(block.scale), least) * 0.50001);
        const double both = first + static_cast<double>(left.scale) * left.q[c % 32];
        EXPECT_NEAR(both, value, std::max(static_cast<double>(left.scale), least) * 0.51);
      }
      for (size_t b = 0; b < blocks; ++b) {
        const ActivationBlock& block = expected[b * kTokenTile];
        int sums[2] = {0, 0};
        for (size_t i = 0; i < 32; ++i) sums[i / 16] += block.q[i];
        EXPECT_EQ(block.bias, -128 * (sums[0] + sums[1]));
        EXPECT_EQ(block.half_bias, -128 * sums[0]);
      }
    }
  }
}

// ---- products
// -----------------------------------------------------------------------------------------------------------

bool is_plain(Format format) {
  return traits(format).block_items == 1;
}
bool is_super(Format format) {
  return traits(format).block_items == 256;
}

// Rows of a format at its extremes: every quant at its least, at its most, and at random, under scales that
// are zero, negative, subnormal and as large as a half can be.
std::vector<std::byte> hostile_rows(Format format, size_t rows, size_t columns, uint64_t seed) {
  const size_t blocks = rows * columns / traits(format).block_items, size = traits(format).block_bytes;
  std::vector<std::byte> out = testing::random_blocks(format, blocks, 1.0f, seed);
  if (is_plain(format)) return out;
  std::mt19937_64 random(seed + 1);
  constexpr uint16_t kScales[] = {0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF, 0x3C00, 0xBC00};
  const size_t first_scale = format == Format::kQ6_K ? 208 : 0;
  const bool has_two = format == Format::kQ4_1 || format == Format::kQ5_1 || format == Format::kQ4_K ||
                       format == Format::kQ5_K;
  for (size_t b = 0; b < blocks; ++b) {
    std::byte* block = out.data() + b * size;
    const uint64_t dice = random();
    const size_t scale_end = first_scale + (has_two ? 4u : 2u);
    if (dice % 3 != 0) {
      for (size_t i = 0; i < size; ++i) {
        if (i < first_scale || i >= scale_end) block[i] = dice % 3 == 1 ? std::byte{0} : std::byte{0xFF};
      }
    }
    for (size_t at = first_scale; at < scale_end; at += 2)
      std::memcpy(block + at, &kScales[random() % std::size(kScales)], 2);
  }
  return out;
}

struct Product {
  Format format;
  size_t columns, tokens;
  std::vector<ActivationBlock> blocks, rest;  // see activation_index
  std::vector<float> floats;                  // [token][column]

  Product(Format f, size_t c, size_t t, Mood mood) : format(f), columns(c), tokens(t) {
    blocks.resize((t / kTokenTile + 1) * kTokenTile * (c / 32));
    rest.resize(blocks.size());
    for (size_t i = 0; i < t; ++i) {
      const std::vector<float> x = activations(c, mood, i + 1);
      const size_t at = activation_index(i, c / 32);
      kScalarKernels->quantise(x.data(), c, blocks.data() + at, rest.data() + at);
      floats.insert(floats.end(), x.begin(), x.end());
    }
  }
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
    for (const bool is_hostile : {false, true}) {
      const size_t rows = columns < 600 ? 80 : 16;
      const std::vector<std::byte> file =
          is_hostile
              ? hostile_rows(format, rows, columns, columns)
              : testing::random_blocks(format, rows * columns / traits(format).block_items, 1.0f, columns);
      const PackedMatrix matrix = pack(format, file, rows, columns);
      for (const size_t tokens : {1u, 2u, 3u, 7u, 8u, 9u, 25u, 65u, 520u}) {
        if (tokens > 100 && columns != widths[1]) continue;
        const Mood mood = kMoods[(tokens + columns / 32) % std::size(kMoods)];
        const Product product(format, columns, tokens,
                              tokens == 8   ? Mood::kAllHigh
                              : tokens == 9 ? Mood::kAllLow
                                            : mood);
        for (const bool accumulate : {false, true}) {
          for (const bool is_fine : {false, true}) {
            if (is_fine && is_plain(format)) continue;
            const std::vector<float> expected = product.run(*kScalarKernels, matrix, accumulate, is_fine);
            for (const Kernels* fast : fast_kernels()) {
              ASSERT_TRUE(same_bits(product.run(*fast, matrix, accumulate, is_fine), expected))
                  << fast->name << ", " << columns << " columns, " << tokens << " tokens, hostile "
                  << is_hostile << ", fine " << is_fine;
            }
          }
        }
      }
    }
  }
}

// A token's row has the same bits alone and among others.
TEST_P(KernelsOfFormat, MultiplyATokenAloneAsInABatch) {
  const Format format = GetParam().format;
  const size_t columns = 512;
  const PackedMatrix matrix =
      pack(format, testing::random_blocks(format, 16 * columns / traits(format).block_items, 1.0f, 9), 16,
           columns);
  const Product one(format, columns, 1, Mood::kRandom), many(format, columns, 130, Mood::kRandom);
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
    const Product product(format, columns, 5, Mood::kRandom);
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

// ---- rows
// -----------------------------------------------------------------------------------------------------------------

TEST(Kernels, RowFunctionsGiveTheSameBits) {
  for (const size_t n : {1u, 5u, 15u, 16u, 17u, 31u, 64u, 100u, 576u, 1537u}) {
    for (const float size : {1.0f, 30.0f, 1e-20f, 1e15f}) {
      const std::vector<float> x = random_floats(n, n, size), w = random_floats(n, n + 1);
      const auto all = [&](const Kernels& k) {
        std::vector<float> out(6 * n + 2);
        k.rms_norm(x.data(), w.data(), n, 1e-5f, out.data());
        k.silu_multiply(x.data(), w.data(), n, out.data() + n);
        k.gelu_multiply(x.data(), w.data(), n, out.data() + 2 * n);
        std::copy(x.begin(), x.end(), out.begin() + static_cast<std::ptrdiff_t>(3 * n));
        k.add(out.data() + 3 * n, w.data(), n);
        out[6 * n] = k.maximum(x.data(), n);
        out[6 * n + 1] = k.exp_sum(x.data(), n, out[6 * n], 0.8f, out.data() + 4 * n);
        return out;
      };
      const std::vector<float> expected = all(*kScalarKernels);
      EXPECT_EQ(expected[6 * n], *std::max_element(x.begin(), x.end()));
      for (const Kernels* fast : fast_kernels())
        EXPECT_TRUE(same_bits(all(*fast), expected)) << fast->name << " n " << n << " size " << size;
    }
  }
}

TEST(Kernels, RowFunctionsAreWhatTheirFormulasSay) {
  const size_t n = 500;
  const std::vector<float> x = random_floats(n, 1, 12.0f), w = random_floats(n, 2);
  std::vector<float> norm(n), silu(n), gelu(n), e(n);
  kScalarKernels->rms_norm(x.data(), w.data(), n, 1e-5f, norm.data());
  kScalarKernels->silu_multiply(x.data(), w.data(), n, silu.data());
  kScalarKernels->gelu_multiply(x.data(), w.data(), n, gelu.data());
  double squares = 0, sum = 0;
  for (const float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
  const float largest = kScalarKernels->maximum(x.data(), n);
  const double got = static_cast<double>(kScalarKernels->exp_sum(x.data(), n, largest, 1.0f, e.data()));
  for (size_t i = 0; i < n; ++i) {
    const double v = static_cast<double>(x[i]), u = static_cast<double>(w[i]);
    EXPECT_NEAR(static_cast<double>(norm[i]), v / std::sqrt(squares / n + 1e-5) * u, 1e-6);
    EXPECT_NEAR(static_cast<double>(silu[i]), v / (1 + std::exp(-v)) * u, 5e-6);
    const double tanh = std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v));
    EXPECT_NEAR(static_cast<double>(gelu[i]), 0.5 * v * (1 + tanh) * u, 5e-6);
    sum += std::exp(v - static_cast<double>(largest));
  }
  EXPECT_NEAR(got / sum, 1.0, 1e-6);
}

TEST(Kernels, ExpIsWithinItsStatedErrorAndLimits) {
  double worst = 0;
  for (double x = -86.99; x < 88.0; x += 0.00137) {
    const auto f = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(f));
    worst = std::max(worst, std::fabs(static_cast<double>(exp_approximation(f)) / exact - 1));
  }
  EXPECT_LT(worst, 2.5e-7);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(exp_approximation(0.0f), 1.0f);
  EXPECT_EQ(exp_approximation(-87.0f), 0.0f);
  EXPECT_EQ(exp_approximation(-infinity), 0.0f);
  EXPECT_EQ(exp_approximation(infinity), exp_approximation(88.0f));
  EXPECT_TRUE(std::isfinite(exp_approximation(infinity)));
}

// ---- attention
// ------------------------------------------------------------------------------------------------------------

template <class Stored>
struct Attention {
  size_t d, pages, queries;
  std::vector<float> q, keys, values;  // keys and values as [position][dimension]
  std::vector<std::vector<Stored>> stored;
  std::vector<int32_t> first, last;

  Attention(size_t head_size, size_t page_count, size_t query_count, int32_t window, uint64_t seed)
      : d(head_size),
        pages(page_count),
        queries(query_count),
        q(random_floats(queries * d, seed)),
        keys(random_floats(pages * 64 * d, seed + 1)),
        values(random_floats(pages * 64 * d, seed + 2)) {
    for (size_t p = 0; p < pages; ++p) {
      std::vector<Stored> page(2 * 64 * d);
      for (size_t k = 0; k < 64; ++k) {
        for (size_t i = 0; i < d; ++i) {
          float& key = keys[(p * 64 + k) * d + i];
          float& value = values[(p * 64 + k) * d + i];
          page[k / 16 * 16 * d + i * 16 + k % 16] = store(key);
          page[64 * d + k * d + i] = store(value);
        }
      }
      stored.push_back(std::move(page));
    }
    for (size_t n = 0; n < queries; ++n) {
      // The last of them sees into the last page; the first may see nothing of it.
      last.push_back(static_cast<int32_t>(pages * 64 - 1 - 25 * (queries - 1 - n) % (pages * 64 - 1)));
      first.push_back(window == 0 ? 0 : std::max(0, last.back() + 1 - window));
    }
  }
  static Stored store(float& v) {
    if constexpr (sizeof(Stored) == 2) {
      const uint16_t bits = float_to_half(v);
      v = half_to_float(bits);
      return bits;
    } else {
      return v;
    }
  }
  // m, l and acc of all queries in one row.
  std::vector<float> run(const Kernels& kernels) const {
    std::vector<const void*> at;
    for (const auto& page : stored) at.push_back(page.data());
    std::vector<float> out(queries * (d + 2), 0.0f);
    std::fill_n(out.begin(), queries, -std::numeric_limits<float>::infinity());
    (sizeof(Stored) == 2 ? kernels.attend_half : kernels.attend_float)({.q = q.data(),
                                                                        .queries = queries,
                                                                        .head_size = d,
                                                                        .last = last.data(),
                                                                        .first = first.data(),
                                                                        .pages = at.data(),
                                                                        .page_first = 0,
                                                                        .page_end = pages,
                                                                        .m = out.data(),
                                                                        .l = out.data() + queries,
                                                                        .acc = out.data() + 2 * queries});
    return out;
  }
};

template <class Stored>
void check_attention() {
  for (const size_t d : {16u, 64u, 80u, 128u, 256u}) {
    for (const size_t queries : {1u, 2u, 3u, 5u, 9u}) {
      for (const int32_t window : {0, 1, 40, 130}) {
        const Attention<Stored> a(d, 3, queries, window, d + queries);
        const std::vector<float> expected = a.run(*kScalarKernels);
        for (const Kernels* fast : fast_kernels()) {
          ASSERT_TRUE(same_bits(a.run(*fast), expected))
              << fast->name << " d " << d << " queries " << queries << " window " << window;
        }
        for (size_t n = 0; n < queries; ++n) {
          std::vector<double> sum(d, 0.0);
          double total = 0;
          for (auto k = static_cast<size_t>(a.first[n]); k <= static_cast<size_t>(a.last[n]); ++k) {
            double score = 0;
            for (size_t i = 0; i < d; ++i)
              score += static_cast<double>(a.q[n * d + i]) * static_cast<double>(a.keys[k * d + i]);
            const double p = std::exp(score);
            total += p;
            for (size_t i = 0; i < d; ++i) sum[i] += p * static_cast<double>(a.values[k * d + i]);
          }
          for (size_t i = 0; i < d; ++i) {
            const double got = static_cast<double>(expected[2 * queries + n * d + i]) /
                               static_cast<double>(expected[queries + n]);
            ASSERT_NEAR(got, sum[i] / total, 2e-5) << "d " << d << " query " << n;
          }
        }
      }
    }
  }
}

TEST(Kernels, AttendToHalvesAsTheDefinitionSays) {
  check_attention<uint16_t>();
}
TEST(Kernels, AttendToFloatsAsTheDefinitionSays) {
  check_attention<float>();
}

}  // namespace
}  // namespace cresset::engine
