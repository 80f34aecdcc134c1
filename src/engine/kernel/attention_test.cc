// Attention: the tables against each other, bit for bit; the scalar one against double arithmetic.
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
#include "engine/kernel/exp.h"
#include "engine/kernel/kernels_testing.h"
#include "engine/quant/format.h"

namespace cresset::engine {
namespace {

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
    Sums sums(*this);
    attend(kernels, 0, queries, 0, pages, sums);
    return sums.out;
  }
  // The first pages with all queries, the others with a few at a time, as sequences with a common beginning.
  std::vector<float> run_in_parts(const Kernels& kernels, size_t common_pages, size_t few) const {
    Sums sums(*this);
    attend(kernels, 0, queries, 0, common_pages, sums);
    for (size_t n = 0; n < queries; n += few)
      attend(kernels, n, std::min(few, queries - n), common_pages, pages, sums);
    return sums.out;
  }
  struct Sums {
    std::vector<float> out, lanes;
    explicit Sums(const Attention& a) : out(a.queries * (a.d + 2), 0.0f), lanes(a.queries * 16, 0.0f) {
      std::fill_n(out.begin(), a.queries, -std::numeric_limits<float>::infinity());
    }
  };
  void attend(const Kernels& kernels, size_t n, size_t count, size_t first_page, size_t end_page,
              Sums& sums) const {
    std::vector<const void*> at;
    for (const auto& page : stored) at.push_back(page.data());
    const DenormalsFlushed flushed;
    (kIsFloat ? kernels.attend_float : kernels.attend)({.q = stored_q.data() + (kIsFloat ? n * d : n * 2),
                                                        .q_stride = queries,
                                                        .queries = count,
                                                        .head_size = d,
                                                        .last = last.data() + n,
                                                        .first = first.data() + n,
                                                        .pages = at.data(),
                                                        .page_first = first_page,
                                                        .page_end = end_page,
                                                        .m = sums.out.data() + n,
                                                        .l = sums.out.data() + queries + n,
                                                        .lanes = sums.lanes.data() + n * 16,
                                                        .acc = sums.out.data() + 2 * queries + n * d});
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

TEST(Kernels, AttendToPagesInTwoCallsAsInOne) {
  for (const int32_t window : {0, 100}) {
    const Attention<uint16_t> a(64, 5, 12, window, 4);
    const Attention<float> b(64, 5, 12, window, 4);
    const std::vector<float> expected = a.run(*kScalarKernels), expected_float = b.run(*kScalarKernels);
    for (const size_t common : {1u, 3u, 4u}) {
      EXPECT_TRUE(same_bits(a.run_in_parts(*kScalarKernels, common, 3), expected));
      for (const Kernels* fast : fast_kernels()) {
        EXPECT_TRUE(same_bits(a.run_in_parts(*fast, common, 3), expected)) << fast->name << " " << common;
        EXPECT_TRUE(same_bits(b.run_in_parts(*fast, common, 5), expected_float)) << fast->name;
      }
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
