// A mixture of experts against the same sums written down plainly in double, and what the choice promises.
#include "engine/model/experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "engine/kernel/dispatch.h"

namespace cresset::engine {
namespace {

using Floats = std::vector<float>;

constexpr size_t kWidth = 64, kInner = 224, kRows = 300;

Floats random_floats(size_t count, float size, uint64_t seed) {
  std::mt19937_64 random(seed);
  Floats out(count);
  for (float& v : out) v = size * (static_cast<float>(random() % 20001) / 10000.0f - 1);
  return out;
}

// Multiples of 1/512, which Q8_0 holds exactly too.
Floats random_weights(size_t count, uint64_t seed) {
  Floats out = random_floats(count, 0.2f, seed);
  for (float& v : out) v = std::round(v * 512) / 512;
  return out;
}

PackedMatrix pack(const Floats& values, size_t rows, size_t columns, Format format = Format::kF32) {
  PackedMatrix out(format, rows, columns);
  if (format == Format::kF32) {
    out.pack(std::as_bytes(std::span(values)), format, 0, out.panels());
    return out;
  }
  constexpr uint16_t kHalf512th = 0x1800;  // 1/512 in half precision
  std::vector<std::byte> file;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % 32 == 0) {
      file.push_back(std::byte{kHalf512th & 0xFF});
      file.push_back(std::byte{kHalf512th >> 8});
    }
    file.push_back(static_cast<std::byte>(static_cast<int8_t>(values[i] * 512)));
  }
  out.pack(file, format, 0, out.panels());
  return out;
}

struct Formats {
  Format gate = Format::kF32, up = Format::kF32, down = Format::kF32;
  bool are_float() const { return gate == Format::kF32 && up == gate && down == gate; }
};

// One layer's experts, and the same matrices to compute with plainly.
struct Mixture {
  ModelConfig config;
  Weights weights;
  Floats router;
  std::vector<Floats> gate, up, down;
  Arithmetic arithmetic;

  Mixture(size_t count, size_t used, bool is_renormalised, Floats router_values, Formats formats = {})
      : router(std::move(router_values)),
        arithmetic(formats.are_float() ? Arithmetic::kFloat32 : Arithmetic::kInt8) {
    config.embedding = kWidth;
    config.experts = {count, used, kInner, is_renormalised};
    weights.layers.resize(1);
    ExpertWeights& to = weights.layers[0].experts;
    to.router = pack(router, count, kWidth);
    for (size_t e = 0; e < count; ++e) {
      gate.push_back(random_weights(kInner * kWidth, 10 * e + 1));
      up.push_back(random_weights(kInner * kWidth, 10 * e + 2));
      down.push_back(random_weights(kWidth * kInner, 10 * e + 3));
      to.gate.push_back(pack(gate[e], kInner, kWidth, formats.gate));
      to.up.push_back(pack(up[e], kInner, kWidth, formats.up));
      to.down.push_back(pack(down[e], kWidth, kInner, formats.down));
    }
  }

  Floats run(const Floats& in, int threads) const {
    const auto kernels = choose_kernels(KernelKind::kAuto, sys::read_cpu_features());
    const size_t rows = in.size() / kWidth;
    Experts experts(config, **kernels, arithmetic, threads, rows);
    const ProductScratch room(threads);
    Pool pool(threads);
    Activations prepared(rows, kWidth, arithmetic == Arithmetic::kInt8, Rounding::kPlain);
    for (size_t t = 0; t < rows; ++t) {
      std::copy_n(in.data() + t * kWidth, kWidth, prepared.row(t));
      prepared.prepare(**kernels, t, Rounding::kPlain);
    }
    Floats x(in.size(), 0.5f);
    // Twice: what one batch leaves behind must not reach the next.
    for (int again = 0; again < 2; ++again) {
      std::fill(x.begin(), x.end(), 0.5f);
      pool.run([&](Worker& worker) {
        experts.run(worker, room, weights.layers[0].experts, prepared, rows, x.data());
      });
    }
    return x;
  }
};

double dot(const Floats& matrix, size_t row, const double* x, size_t columns) {
  double sum = 0;
  for (size_t c = 0; c < columns; ++c) sum += static_cast<double>(matrix[row * columns + c]) * x[c];
  return sum;
}

// What a row must become.
std::vector<double> expected_row(const Mixture& m, const float* in) {
  const size_t count = m.config.experts.count, used = m.config.experts.used;
  const std::vector<double> x(in, in + kWidth);
  std::vector<double> score(count);
  for (size_t e = 0; e < count; ++e) score[e] = std::exp(dot(m.router, e, x.data(), kWidth));
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return score[a] != score[b] ? score[a] > score[b] : a < b; });
  double total = 0;
  for (size_t k = 0; k < (m.config.experts.is_renormalised ? used : count); ++k) total += score[order[k]];
  std::vector<double> out(kWidth, 0.5);
  for (size_t k = 0; k < used; ++k) {
    const size_t e = order[k];
    std::vector<double> inner(kInner);
    for (size_t i = 0; i < kInner; ++i) {
      const double g = dot(m.gate[e], i, x.data(), kWidth);
      inner[i] = g / (1 + std::exp(-g)) * dot(m.up[e], i, x.data(), kWidth);
    }
    for (size_t i = 0; i < kWidth; ++i) out[i] += score[e] / total * dot(m.down[e], i, inner.data(), kInner);
  }
  return out;
}

void expect_near(const Mixture& m, const Floats& in, const Floats& x, double furthest = 1e-4) {
  for (size_t t = 0; t < in.size() / kWidth; ++t) {
    const std::vector<double> expected = expected_row(m, in.data() + t * kWidth);
    for (size_t i = 0; i < kWidth; ++i)
      ASSERT_NEAR(x[t * kWidth + i], expected[i], furthest) << t << " " << i;
  }
}

TEST(Experts, ComputeTheWeightedSumOfTheChosen) {
  for (const bool is_renormalised : {true, false}) {
    for (const size_t used : {1u, 3u, 17u}) {
      const Mixture m(17, used, is_renormalised, random_floats(17 * kWidth, 0.3f, 7));
      const Floats in = random_floats(kRows * kWidth, 1, 8);
      expect_near(m, in, m.run(in, 2));
    }
  }
}

// What a matrix is multiplied with, floats or 8-bit blocks, goes by its own format.
TEST(Experts, EachMatrixMayHaveItsOwnFormat) {
  for (const Format gate : {Format::kF32, Format::kQ8_0}) {
    for (const Format up : {Format::kF32, Format::kQ8_0}) {
      for (const Format down : {Format::kF32, Format::kQ8_0}) {
        const Mixture m(6, 2, true, random_floats(6 * kWidth, 0.3f, 7), {gate, up, down});
        const Floats in = random_floats(70 * kWidth, 1, 8);
        expect_near(m, in, m.run(in, 2), 0.02);
      }
    }
  }
}

TEST(Experts, OfEqualScoresTheLowerIndicesAreChosen) {
  const Mixture m(20, 3, true, Floats(20 * kWidth, 0.0f));
  const Floats in = random_floats(2 * kWidth, 1, 9);
  expect_near(m, in, m.run(in, 2));
}

// All rows crowd at one expert, or none comes to most of them: more rows than are multiplied at once.
TEST(Experts, ARowHasTheSameBitsInAnyCompany) {
  Floats lonely(20 * kWidth, 0.0f);
  std::fill_n(lonely.begin() + 13 * kWidth, kWidth, 1.0f);
  for (const Floats& router : {lonely, random_floats(20 * kWidth, 0.3f, 7)}) {
    const Mixture m(20, 2, true, router);
    Floats in = random_floats(kRows * kWidth, 1, 10);
    for (float& v : in) v = std::fabs(v);
    const Floats together = m.run(in, 1);
    expect_near(m, in, together);
    EXPECT_EQ(m.run(in, 2), together);
    EXPECT_EQ(m.run(in, 3), together);
    for (const size_t t : {0u, 1u, 251u, 252u, 299u}) {
      const Floats row(in.begin() + static_cast<std::ptrdiff_t>(t * kWidth),
                       in.begin() + static_cast<std::ptrdiff_t>((t + 1) * kWidth));
      const Floats alone = m.run(row, 2);
      EXPECT_EQ(std::memcmp(alone.data(), together.data() + t * kWidth, kWidth * sizeof(float)), 0) << t;
    }
  }
}

TEST(Experts, AScoreThatIsNotANumberStillChoosesExperts) {
  Floats router = random_floats(5 * kWidth, 0.3f, 7);
  std::fill(router.begin(), router.end(), std::numeric_limits<float>::quiet_NaN());
  const Mixture m(5, 2, true, router);
  const Floats in = random_floats(40 * kWidth, 1, 11);
  EXPECT_EQ(m.run(in, 2).size(), in.size());
}

}  // namespace
}  // namespace cresset::engine
