#include "engine/run/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "testing/ticking_env.h"

namespace cresset::engine {
namespace {

constexpr KvShape kShape{.layers = 2, .kv_heads = 3, .head_size = 16};

TEST(KvCache, CountsPagesAgainstItsBudget) {
  EXPECT_EQ(kShape.page_bytes(), 2u * 3 * 2 * 64 * 16 * 2);
  EXPECT_EQ((KvShape{2, 3, 16, true}.page_bytes()), 2 * kShape.page_bytes());
  KvCache cache(kShape, 5 * kShape.page_bytes() + 100);
  EXPECT_EQ(cache.pages_max(), 5u);
  EXPECT_EQ(cache.bytes_max(), 5 * kShape.page_bytes());
  KvSequence a, b;
  a.reserve(cache, 1);
  a.reserve(cache, 64);
  EXPECT_EQ(a.pages.size(), 1u);
  a.reserve(cache, 65);
  b.reserve(cache, 130);
  EXPECT_EQ(a.pages.size(), 2u);
  EXPECT_EQ(b.pages.size(), 3u);
  EXPECT_EQ(cache.pages_free(), 0u);
  EXPECT_EQ(cache.bytes_used(), cache.bytes_max());
  a.length = 65;
  a.release(cache);
  EXPECT_EQ(a.length, 0u);
  EXPECT_EQ(cache.pages_free(), 2u);
  b.release(cache);
  EXPECT_EQ(cache.bytes_used(), 0u);
}

// Bytes of a value with its share of the scales, in heads of 64: 8 or 4 bits and a 16-bit scale for 32.
TEST(KvCache, PagesInFewerBitsAreSmaller) {
  const auto bits_of_a_value = [](KvFormat format) {
    const KvShape shape{.layers = 2, .kv_heads = 3, .head_size = 64, .format = format};
    return 8.0 * static_cast<double>(shape.page_bytes()) / (2 * 3 * 2 * 64 * 64);
  };
  EXPECT_EQ(bits_of_a_value(KvFormat::kBf16), 16);
  EXPECT_EQ(bits_of_a_value(KvFormat::kQ8_0), 8.5);
  EXPECT_EQ(bits_of_a_value(KvFormat::kQ8Q4), 6.5);
  EXPECT_EQ(bits_of_a_value(KvFormat::kQ4), 4.75);  // keys have a minimum too
}

// What one sequence wrote is gone before another reads the page.
TEST(KvCache, APageIsClearWhenItIsTakenAgain) {
  KvCache cache(kShape, kShape.page_bytes());
  for (int round = 0; round < 3; ++round) {
    auto page = cache.take();
    const unsigned char* end = page->data() + kShape.page_bytes();
    EXPECT_TRUE(std::all_of(page->data(), page->data() + (end - page->data()),
                            [](unsigned char b) { return b == 0; }));
    std::memset(page->data(), 0xFF, kShape.page_bytes());
    cache.give_back(std::move(page));
  }
}

// Whatever was taken before keeps what was written there, and what is taken later is clear.
TEST(KvCache, PreparingPagesChangesNone) {
  constexpr KvShape shape{.layers = 8, .kv_heads = 3, .head_size = 64};  // 384 KiB: five in two large pages
  const auto all_are = [&](const KvPage& page, unsigned char byte) {
    const unsigned char* end = page.data() + shape.page_bytes();
    return std::all_of(static_cast<const unsigned char*>(page.data()), end,
                       [byte](unsigned char b) { return b == byte; });
  };
  Pool pool(2);
  KvCache cache(shape, 100 * shape.page_bytes());
  testing::TickingEnv quick(std::chrono::microseconds(10)), slow(std::chrono::milliseconds(2));
  std::vector<std::unique_ptr<KvPage>> taken;
  for (uint64_t step = 0; cache.pages_free() > 0; ++step) {
    cache.prepare(pool, step < 6 ? quick : slow, step * 5 % 23);  // later in small pages
    for (uint64_t n = 0; n < step * 7 % 11 && cache.pages_free() > 0; ++n) {
      taken.push_back(cache.take());
      ASSERT_TRUE(all_are(*taken.back(), 0)) << taken.size();
      std::memset(taken.back()->data(), 0xFF, shape.page_bytes());
    }
    if (step % 4 == 3) {
      cache.give_back(std::move(taken.back()));
      taken.pop_back();
    }
  }
  cache.prepare(pool, slow, 5);  // of none that are left
  for (auto& page : taken) {
    EXPECT_TRUE(all_are(*page, 0xFF));
    cache.give_back(std::move(page));
  }
}

TEST(KvCache, ATrimGivesBackThePagesThatNothingIsLeftOf) {
  KvCache cache(kShape, 4 * kShape.page_bytes());
  KvSequence s;
  s.reserve(cache, 200);
  s.length = 200;
  s.trim(cache, 129);
  EXPECT_EQ(s.pages.size(), 3u);
  s.trim(cache, 128);
  EXPECT_EQ(s.pages.size(), 2u);
  EXPECT_EQ(s.own.size(), 2u);
  EXPECT_EQ(s.length, 128u);
  EXPECT_EQ(cache.pages_free(), 2u);
  s.release(cache);
  EXPECT_EQ(cache.bytes_used(), 0u);
}

TEST(KvCacheDeathTest, TakingMoreThanTheBudgetIsAFaultOfOurs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  KvCache cache(kShape, kShape.page_bytes());
  auto page = cache.take();
  EXPECT_DEATH(static_cast<void>(cache.take()), "");
  cache.give_back(std::move(page));
}

}  // namespace
}  // namespace cresset::engine
