// Pages of keys and values in 8 and 4 bits: every table stores and expands the same bits, close to what was
// stored, position by position.
#include "engine/kernel/kv_page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "engine/kernel/denormals.h"
#include "engine/kernel/kernels_testing.h"
#include "engine/quant/format.h"

namespace cresset::engine {
namespace {

constexpr size_t kHeadSizes[] = {16, 32, 48, 64, 80, 96, 128, 256, 512};

enum class Mood { kRandom, kOutlier, kHuge, kTiny, kZero, kEven, kLowest };
constexpr Mood kMoods[] = {Mood::kRandom, Mood::kOutlier, Mood::kHuge,  Mood::kTiny,
                           Mood::kZero,   Mood::kEven,    Mood::kLowest};

std::vector<float> make(size_t n, Mood mood, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(random() % 20001) / 10000.0f - 1.0f;
  for (size_t i = 0; i < n; ++i) {
    if (mood == Mood::kOutlier && i % 37 == seed % 37) x[i] *= 900.0f;
    if (mood == Mood::kHuge) x[i] *= 1e37f;
    if (mood == Mood::kTiny) x[i] *= 3e-30f;  // some blocks are below what is kept
    if (mood == Mood::kZero) x[i] = 0;
    if (mood == Mood::kEven) x[i] = i % 2 == 0 ? 0.5f : -0.5f;  // both ends alike
    if (mood == Mood::kLowest) x[i] = -0.7f;
  }
  return x;
}

struct Form {
  const char* name;
  size_t key_bits, value_bits;
  KvPageKernels Kernels::* kernels;
};
constexpr Form kForms[] = {
    {"q8_0", 8, 8, &Kernels::kv_q8_0}, {"q8_q4", 8, 4, &Kernels::kv_q8_q4}, {"q4", 4, 4, &Kernels::kv_q4}};

struct Page {
  std::vector<unsigned char> kept;
  std::vector<uint16_t> expanded;
  float key(size_t position, size_t i) const {
    return bfloat_to_float(expanded[i / 2 * 128 + 2 * position + i % 2]);
  }
  float value(size_t position, size_t i) const {
    const size_t d = expanded.size() / 128;
    return bfloat_to_float(expanded[64 * d + position / 2 * 2 * d + 2 * i + position % 2]);
  }
};

// keys and values: [position][dimension] for the positions of `slots`.
Page fill(const Kernels& kernels, const Form& form, size_t d, const std::vector<size_t>& slots,
          const std::vector<float>& keys, const std::vector<float>& values) {
  const DenormalsFlushed flushed;
  Page page{std::vector<unsigned char>(kv_page_layout(d, form.key_bits, form.value_bits).end),
            std::vector<uint16_t>(128 * d)};
  const KvPageKernels& page_kernels = kernels.*form.kernels;
  for (const size_t slot : slots)
    page_kernels.store(keys.data() + slot * d, values.data() + slot * d, d, slot, page.kept.data());
  page_kernels.expand(page.kept.data(), d, page.expanded.data());
  return page;
}

std::vector<size_t> all_slots() {
  std::vector<size_t> slots(64);
  for (size_t i = 0; i < 64; ++i) slots[i] = i;
  return slots;
}

TEST(KvPage, EveryTableKeepsAndExpandsTheSameBits) {
  for (const Form& form : kForms) {
    for (const size_t d : kHeadSizes) {
      for (const Mood mood : kMoods) {
        const auto keys = make(64 * d, mood, d), values = make(64 * d, mood, d + 1);
        const Page expected = fill(*kScalarKernels, form, d, all_slots(), keys, values);
        for (const Kernels* fast : fast_kernels()) {
          const Page got = fill(*fast, form, d, all_slots(), keys, values);
          ASSERT_EQ(got.kept, expected.kept)
              << fast->name << " " << form.name << " d " << d << " mood " << static_cast<int>(mood);
          ASSERT_EQ(got.expanded, expected.expanded) << fast->name << " " << form.name << " d " << d;
        }
      }
    }
  }
}

// Half a step of the block, a whole one where 4 bits end a step early, and the rounding to bfloat16.
TEST(KvPage, WhatIsReadIsWithinAStepOfWhatWasStored) {
  for (const Form& form : kForms) {
    for (const size_t d : kHeadSizes) {
      for (const Mood mood : {Mood::kRandom, Mood::kOutlier, Mood::kZero, Mood::kEven, Mood::kLowest}) {
        const auto keys = make(64 * d, mood, d + 2), values = make(64 * d, mood, d + 3);
        const Page page = fill(*kScalarKernels, form, d, all_slots(), keys, values);
        const size_t block = kv_page_layout(d, form.key_bits, form.value_bits).block;
        const auto check = [&](const std::vector<float>& x, size_t at, float got, size_t bits, bool is_key) {
          const float* from = x.data() + at / block * block;
          const float high = *std::max_element(from, from + block),
                      low = *std::min_element(from, from + block);
          const float most = std::max(high, -low);
          const bool is_end = bits == 4 && !is_key && std::fabs(x[at]) > most * (7.4f / 8);
          const float step = bits == 8 ? most / 127 : is_key ? (high - low) / 15 : most / 8;
          ASSERT_NEAR(got, x[at], step * (is_end ? 1.05f : 0.52f) + most / 120) << form.name << " d " << d;
        };
        for (size_t j = 0; j < 64; ++j) {
          for (size_t i = 0; i < d; ++i) {
            check(keys, j * d + i, page.key(j, i), form.key_bits, true);
            check(values, j * d + i, page.value(j, i), form.value_bits, false);
          }
        }
      }
    }
  }
}

TEST(KvPage, APositionIsStoredAloneAndTheRestStaysZero) {
  for (const Form& form : kForms) {
    constexpr size_t kD = 64;
    const auto keys = make(64 * kD, Mood::kRandom, 5), values = make(64 * kD, Mood::kRandom, 6);
    const Page whole = fill(*kScalarKernels, form, kD, all_slots(), keys, values);
    for (const Kernels* kernels : fast_kernels()) {
      const Page some = fill(*kernels, form, kD, {3, 17, 16}, keys, values);
      for (size_t j = 0; j < 64; ++j) {
        const bool is_stored = j == 3 || j == 16 || j == 17;
        for (size_t i = 0; i < kD; ++i) {
          ASSERT_EQ(some.key(j, i), is_stored ? whole.key(j, i) : 0.0f) << form.name << " position " << j;
          ASSERT_EQ(some.value(j, i), is_stored ? whole.value(j, i) : 0.0f) << form.name << " position " << j;
        }
      }
    }
  }
}

TEST(KvPage, SpreadKeepsDotProductsAndUndoesItself) {
  for (const size_t d : kHeadSizes) {
    const auto q = make(d, Mood::kRandom, d), k = make(d, Mood::kOutlier, d + 1);
    std::vector<float> a = q, b = k;
    kScalarKernels->spread(a.data(), d);
    kScalarKernels->spread(b.data(), d);
    for (const Kernels* fast : fast_kernels()) {
      std::vector<float> c = q;
      fast->spread(c.data(), d);
      ASSERT_EQ(c, a) << fast->name << " d " << d;
    }
    double before = 0, after = 0, size = 0;
    for (size_t i = 0; i < d; ++i) {
      before += static_cast<double>(q[i]) * static_cast<double>(k[i]);
      after += static_cast<double>(a[i]) * static_cast<double>(b[i]);
      size += std::fabs(static_cast<double>(q[i]) * static_cast<double>(k[i]));
    }
    EXPECT_NEAR(after, before, 1e-5 * size) << "d " << d;
    kScalarKernels->spread(b.data(), d);
    const float most = std::fabs(
        *std::max_element(k.begin(), k.end(), [](float x, float y) { return std::fabs(x) < std::fabs(y); }));
    for (size_t i = 0; i < d; ++i) ASSERT_NEAR(b[i], k[i], 1e-6f * most);
  }
  std::vector<float> one(64, 0.0f);
  one[21] = 8.0f;
  kScalarKernels->spread(one.data(), 64);
  for (const float v : one) EXPECT_EQ(std::fabs(v), 1.0f);
}

}  // namespace
}  // namespace cresset::engine
