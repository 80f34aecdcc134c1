// The tables against each other, bit for bit, on honest and hostile blocks; the scalar one against double
// arithmetic.
#include "engine/kernel/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <span>

#include "engine/kernel/denormals.h"
#include "engine/kernel/dispatch.h"
#include "engine/kernel/exp.h"
#include "engine/kernel/packed.h"
#include "engine/quant/format.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

// The vector tables that this machine can run; empty where it has none.
std::vector<const Kernels*> fast_kernels() {
  std::vector<const Kernels*> out;
  const sys::CpuFeatures cpu = sys::read_cpu_features();
  if (kAvx2Kernels != nullptr && cpu.avx2) out.push_back(kAvx2Kernels);
  if (kAvx512Kernels != nullptr && cpu.avx512_vnni) out.push_back(kAvx512Kernels);
  if (kAvx512Bf16Kernels != nullptr && cpu.avx512_vnni && cpu.avx512_bf16) out.push_back(kAvx512Bf16Kernels);
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// The same bits, or both NaN: which NaN depends on the order of an instruction's operands.
bool same_values(const std::vector<float>& a, const std::vector<float>& b) {
  const auto same = [](float x, float y) {
    return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) || (std::isnan(x) && std::isnan(y));
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
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
      const std::vector<uint64_t> all(blocks / 64 + 1, ~uint64_t{0}), some(all.size(), 0x5555555555555555);
      kScalarKernels->quantise(x.data(), columns, expected.data());
      kScalarKernels->quantise_rest(x.data(), columns, expected.data(), all.data(), rest.data());
      for (const Kernels* fast : fast_kernels()) {
        fast->quantise(x.data(), columns, got.data());
        fast->quantise_rest(x.data(), columns, got.data(), all.data(), got_rest.data());
        EXPECT_TRUE(same_bits(got, expected)) << fast->name << ", mood " << static_cast<int>(mood);
        EXPECT_TRUE(same_bits(got_rest, rest)) << fast->name << ", mood " << static_cast<int>(mood);
        fast->quantise_rest(x.data(), columns, got.data(), some.data(), got_rest.data());
        for (size_t b = 0; b < blocks; ++b) {
          const Blocks one{got_rest[b * kTokenTile]},
              wanted{b % 2 == 0 ? rest[b * kTokenTile] : ActivationBlock{}};
          EXPECT_TRUE(same_bits(one, wanted)) << fast->name << ", block " << b;
        }
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
  Product(Format f, size_t c, size_t t, Mood mood, bool has_gaps = false) : format(f), columns(c), tokens(t) {
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
        const Mood mood = kMoods[(tokens + columns / 32) % std::size(kMoods)];
        const Product product(format, columns, tokens,
                              tokens == 8   ? Mood::kAllHigh
                              : tokens == 9 ? Mood::kAllLow
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

TEST(Kernels, RotationsTurnEachPair) {
  for (const size_t n : {2u, 10u, 32u, 44u, 64u, 96u, 128u}) {
    const std::vector<float> x = random_floats(n, n, 3.0f), angle = random_floats(n / 2, n + 1, 3.0f);
    for (const bool is_adjacent : {true, false}) {
      std::vector<float> cosines(n), sines(n);
      std::vector<double> expected(n);
      for (size_t i = 0; i < n / 2; ++i) {
        const size_t a = is_adjacent ? 2 * i : i, b = is_adjacent ? 2 * i + 1 : i + n / 2;
        const double c = std::cos(static_cast<double>(angle[i])), s = std::sin(static_cast<double>(angle[i]));
        cosines[a] = cosines[b] = static_cast<float>(c);
        sines[b] = static_cast<float>(s);
        sines[a] = -sines[b];
        expected[a] = static_cast<double>(x[a]) * c - static_cast<double>(x[b]) * s;
        expected[b] = static_cast<double>(x[a]) * s + static_cast<double>(x[b]) * c;
      }
      const auto turned = [&](const Kernels& k) {
        std::vector<float> out = x;
        (is_adjacent ? k.rotate_neighbours : k.rotate_halves)(out.data(), cosines.data(), sines.data(), n);
        return out;
      };
      const std::vector<float> scalar = turned(*kScalarKernels);
      for (size_t i = 0; i < n; ++i) EXPECT_NEAR(static_cast<double>(scalar[i]), expected[i], 2e-6);
      for (const Kernels* fast : fast_kernels()) EXPECT_TRUE(same_bits(turned(*fast), scalar)) << fast->name;
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

float rounded(float v) {
  return bfloat_to_float(float_to_bfloat(v));
}

// Stored: uint16_t (bfloat16, scores to the base 2) or float (to the base e).
template <class Stored>
struct Attention {
  static constexpr bool kIsFloat = sizeof(Stored) == 4;
  size_t d, pages, queries;
  std::vector<float> q, keys, values;  // keys and values as [position][dimension]
  std::vector<Stored> stored_q;
  std::vector<std::vector<Stored>> stored;
  std::vector<int32_t> first, last;

  Attention(size_t head_size, size_t page_count, size_t query_count, int32_t window, uint64_t seed)
      : d(head_size),
        pages(page_count),
        queries(query_count),
        q(random_floats(queries * d, seed)),
        keys(random_floats(pages * 64 * d, seed + 1)),
        values(random_floats(pages * 64 * d, seed + 2)) {
    stored_q.resize(q.size());
    for (size_t n = 0; n < queries; ++n) {
      for (size_t i = 0; i < d; ++i)
        stored_q[kIsFloat ? n * d + i : i / 2 * 2 * queries + n * 2 + i % 2] = store(q[n * d + i]);
    }
    for (size_t p = 0; p < pages; ++p) {
      std::vector<Stored> page(2 * 64 * d);
      for (size_t k = 0; k < 64; ++k) {
        for (size_t i = 0; i < d; ++i) {
          const size_t tile = k / 16 * 16 * d;
          page[kIsFloat ? tile + i * 16 + k % 16 : i / 2 * 128 + k * 2 + i % 2] =
              store(keys[(p * 64 + k) * d + i]);
          page[64 * d + (kIsFloat ? k * d + i : k / 2 * 2 * d + i * 2 + k % 2)] =
              store(values[(p * 64 + k) * d + i]);
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
    if constexpr (kIsFloat) return v;
    v = rounded(v);
    return static_cast<Stored>(float_to_bfloat(v));
  }
  // m, l and acc of all queries in one row.
  std::vector<float> run(const Kernels& kernels) const {
    std::vector<const void*> at;
    for (const auto& page : stored) at.push_back(page.data());
    std::vector<float> out(queries * (d + 2), 0.0f);
    std::fill_n(out.begin(), queries, -std::numeric_limits<float>::infinity());
    const DenormalsFlushed flushed;
    (kIsFloat ? kernels.attend_float : kernels.attend)({.q = stored_q.data(),
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
  // The weighted mean of the values that query n sees, in double.
  std::vector<double> exact(size_t n) const {
    std::vector<double> sum(d, 0.0);
    double total = 0;
    for (auto k = static_cast<size_t>(first[n]); k <= static_cast<size_t>(last[n]); ++k) {
      double score = 0;
      for (size_t i = 0; i < d; ++i)
        score += static_cast<double>(q[n * d + i]) * static_cast<double>(keys[k * d + i]);
      const double p = kIsFloat ? std::exp(score) : std::exp2(score);
      total += p;
      for (size_t i = 0; i < d; ++i) sum[i] += p * static_cast<double>(values[k * d + i]);
    }
    for (double& v : sum) v /= total;
    return sum;
  }
};

// `error`: of a mean of values up to 1; the weights in bfloat16 are rounded by up to 1 in 256.
template <class Stored>
void check_attention(double error) {
  for (const size_t d : {16u, 64u, 80u, 128u, 256u}) {
    for (const size_t queries : {1u, 2u, 3u, 4u, 5u, 9u, 48u, 64u}) {
      for (const int32_t window : {0, 1, 40, 130}) {
        const Attention<Stored> a(d, 3, queries, window, d + queries);
        const std::vector<float> expected = a.run(*kScalarKernels);
        for (const Kernels* fast : fast_kernels()) {
          ASSERT_TRUE(same_bits(a.run(*fast), expected))
              << fast->name << " d " << d << " queries " << queries << " window " << window;
        }
        for (size_t n = 0; n < queries; ++n) {
          const std::vector<double> mean = a.exact(n);
          for (size_t i = 0; i < d; ++i) {
            const double got = static_cast<double>(expected[2 * queries + n * d + i]) /
                               static_cast<double>(expected[queries + n]);
            ASSERT_NEAR(got, mean[i], error) << "d " << d << " query " << n;
          }
        }
      }
    }
  }
}

TEST(Kernels, AttendInBfloat16AsTheDefinitionSays) {
  check_attention<uint16_t>(4e-3);
}
TEST(Kernels, AttendInFloat32AsTheDefinitionSays) {
  check_attention<float>(2e-5);
}

// A query's result does not depend on the others of the call.
TEST(Kernels, AttendToAQueryAloneAsAmongOthers) {
  Attention<uint16_t> a(64, 3, 11, 0, 3);
  const std::vector<float> together = a.run(*kScalarKernels);
  for (const Kernels* fast : fast_kernels()) {
    for (size_t n = 0; n < 11; ++n) {
      Attention<uint16_t> one = a;
      one.queries = 1;
      one.stored_q.resize(64);
      for (size_t i = 0; i < 64; ++i) one.stored_q[i] = a.stored_q[i / 2 * 22 + n * 2 + i % 2];
      one.first = {a.first[n]};
      one.last = {a.last[n]};
      const std::vector<float> alone = one.run(*fast);
      EXPECT_EQ(alone[0], together[n]);
      EXPECT_EQ(alone[1], together[11 + n]);
      EXPECT_TRUE(std::equal(alone.begin() + 2, alone.end(),
                             together.begin() + static_cast<std::ptrdiff_t>(22 + n * 64)));
    }
  }
}

// Chunks one after another and merged give what one pass gives, but for rounding.
TEST(Kernels, MergeSumsOfChunks) {
  constexpr size_t kQueries = 5, kD = 48;
  const auto sums = [](std::vector<float>& all) {
    return AttentionSums{all.data(), all.data() + kQueries, all.data() + 2 * kQueries};
  };
  const Attention<uint16_t> a(kD, 3, kQueries, 0, 8), b(kD, 3, kQueries, 0, 9);
  std::vector<float> first = a.run(*kScalarKernels), second = b.run(*kScalarKernels);
  second[2] = -std::numeric_limits<float>::infinity();  // saw nothing
  first[3] = -std::numeric_limits<float>::infinity();   // had seen nothing
  std::fill_n(first.begin() + 2 * kQueries + 3 * kD, kD, 0.0f);
  first[kQueries + 3] = 0;
  const std::vector<float> before = first;
  std::vector<float> expected = first;
  kScalarKernels->merge(sums(expected), sums(second), kQueries, kD);
  for (const Kernels* fast : fast_kernels()) {
    std::vector<float> got = first;
    fast->merge(sums(got), sums(second), kQueries, kD);
    EXPECT_TRUE(same_bits(got, expected)) << fast->name;
    std::vector<float> quotient(kD), same(kD);
    fast->divide(got.data() + 10, kD, 3.7f, quotient.data());
    kScalarKernels->divide(got.data() + 10, kD, 3.7f, same.data());
    EXPECT_TRUE(same_bits(quotient, same)) << fast->name;
  }
  for (size_t n = 0; n < kQueries; ++n) {
    const auto weight = [&](const std::vector<float>& from) {
      return std::exp2(static_cast<double>(from[n]) - static_cast<double>(expected[n]));
    };
    for (size_t i = 0; i < kD; ++i) {
      const size_t at = 2 * kQueries + n * kD + i;
      const double sum =
          static_cast<double>(before[at]) * weight(before) + static_cast<double>(second[at]) * weight(second);
      EXPECT_NEAR(static_cast<double>(expected[at]), sum, 1e-4 * std::fabs(sum) + 1e-4);
    }
  }
}

TEST(Kernels, RoundToBfloat16ToNearestEven) {
  std::vector<float> x = random_floats(77, 1, 1e3f);
  x[0] = std::numeric_limits<float>::infinity();
  x[1] = -std::numeric_limits<float>::infinity();
  x[2] = 1.0f + 0x1p-8f;      // halfway to the next: stays even
  x[3] = 1.0f + 3 * 0x1p-8f;  // halfway: goes up to even
  x[4] = std::numeric_limits<float>::max();
  x[5] = std::numeric_limits<float>::quiet_NaN();
  std::vector<uint16_t> expected(x.size()), got(x.size());
  kScalarKernels->round_bfloat(x.data(), x.size(), expected.data());
  EXPECT_EQ(expected[2], 0x3F80);
  EXPECT_EQ(expected[3], 0x3F82);
  EXPECT_EQ(expected[4], 0x7F80);
  EXPECT_TRUE(std::isnan(bfloat_to_float(expected[5])));
  for (const Kernels* fast : fast_kernels()) {
    fast->round_bfloat(x.data(), x.size(), got.data());
    EXPECT_EQ(got, expected) << fast->name;
  }
}

TEST(Kernels, Exp2IsWithinItsStatedErrorAndLimits) {
  double worst = 0;
  for (double x = -125.99; x < 20.0; x += 0.00137) {
    const auto f = static_cast<float>(x);
    worst = std::max(
        worst, std::fabs(static_cast<double>(exp2_approximation(f)) / std::exp2(static_cast<double>(f)) - 1));
  }
  EXPECT_LT(worst, 3e-6);
  EXPECT_EQ(exp2_approximation(0.0f), 1.0f);
  EXPECT_EQ(exp2_approximation(-126.0f), 0.0f);
  EXPECT_EQ(exp2_approximation(-std::numeric_limits<float>::infinity()), 0.0f);
}

}  // namespace
}  // namespace cresset::engine
