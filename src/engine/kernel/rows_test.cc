// Functions over rows: the tables against each other, bit for bit; the scalar one against double arithmetic.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <span>

#include "engine/kernel/exp.h"
#include "engine/kernel/kernels_testing.h"

namespace cresset::engine {
namespace {

TEST(Kernels, QuantiseGivesTheSameBlocksAndStaysWithinHalfAStep) {
  for (const ActivationMood mood : kActivationMoods) {
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

TEST(Kernels, CountAndAddWhatIsAboveBounds) {
  const float bounds[kBounds] = {0.9f, 0.5f, 0.25f, 0.1f, 0.01f, 1e-3f, 1e-5f, 0.0f};
  for (const size_t n : {1u, 15u, 16u, 17u, 40u, 1537u}) {
    std::vector<float> x = random_floats(n, n);
    for (float& v : x) v = v * v * v * v;
    x[0] = 0.25f;  // not above itself
    size_t expected_counts[kBounds];
    float expected[kBounds];
    kScalarKernels->above(x.data(), n, bounds, expected_counts, expected);
    for (size_t b = 0; b < kBounds; ++b) {
      double sum = 0;
      size_t count = 0;
      for (const float v : x) {
        if (v > bounds[b]) sum += static_cast<double>(v), ++count;
      }
      EXPECT_EQ(expected_counts[b], count);
      EXPECT_NEAR(static_cast<double>(expected[b]), sum, 1e-5 * (sum + 1));
    }
    for (const Kernels* fast : fast_kernels()) {
      size_t counts[kBounds];
      float sums[kBounds];
      fast->above(x.data(), n, bounds, counts, sums);
      EXPECT_TRUE(std::equal(counts, counts + kBounds, expected_counts)) << fast->name << " n " << n;
      EXPECT_TRUE(std::equal(sums, sums + kBounds, expected)) << fast->name << " n " << n;
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

}  // namespace
}  // namespace cresset::engine
