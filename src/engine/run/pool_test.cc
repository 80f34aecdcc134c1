#include "engine/run/pool.h"

#include <gtest/gtest.h>

#include <numeric>

namespace cresset::engine {
namespace {

// Thousands of short phases, on more threads than there are cores: every index exactly once, every phase
// complete before the next begins.
TEST(Pool, DoesEachIndexOnceAndEndsAPhaseBeforeTheNext) {
  for (const int threads : {1, 2, 3, 8}) {
    Pool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    constexpr size_t kItems = 37, kPhases = 40;
    const int runs = threads > 3 ? 20 : 100;
    for (int run = 0; run < runs; ++run) {
      std::vector<int> values(kItems, 0);  // not atomic: the phases alone keep it right
      std::atomic<int> wrong{0};
      pool.run([&](Worker& worker) {
        for (size_t phase = 0; phase < kPhases; ++phase) {
          const size_t shift = phase * 5 % kItems;
          worker.parallel_for(kItems, 1 + phase % 4, [&](size_t begin, size_t end) {
            EXPECT_LE(end, kItems);
            for (size_t i = begin; i < end; ++i) {
              // Another thread's item of the phase before, very likely.
              int& value = values[(i + shift) % kItems];
              if (value != static_cast<int>(phase)) ++wrong;
              ++value;
            }
          });
        }
      });
      ASSERT_EQ(wrong, 0);
      for (const int v : values) ASSERT_EQ(v, static_cast<int>(kPhases));
    }
  }
}

TEST(Pool, EveryThreadRunsTheFunctionOnceWithItsOwnIndex) {
  for (const int threads : {1, 2, 3, 8}) {
    Pool pool(threads);
    for (int run = 0; run < 200; ++run) {
      std::vector<int> calls(static_cast<size_t>(threads), 0);
      pool.run([&](Worker& worker) {
        EXPECT_EQ(worker.count(), threads);
        ++calls[static_cast<size_t>(worker.index())];
      });
      for (const int c : calls) ASSERT_EQ(c, 1);
    }
  }
}

TEST(Pool, SingleWorkIsDoneOnceAndSeenByAll) {
  Pool pool(3);
  int value = 0;
  std::atomic<int> seen{0};
  pool.run([&](Worker& worker) {
    for (int i = 1; i <= 200; ++i) {
      worker.single([&] { value = i; });
      if (value == i) ++seen;
      worker.barrier();
    }
  });
  EXPECT_EQ(seen, 600);
}

TEST(Pool, NothingToDoIsDone) {
  Pool pool(2);
  pool.run([&](Worker& worker) { worker.parallel_for(0, 1, [](size_t, size_t) { ADD_FAILURE(); }); });
}

TEST(Pool, StartsAndEndsWithoutWork) {
  for (int i = 0; i < 50; ++i) Pool pool(1 + i % 4);
}

}  // namespace
}  // namespace cresset::engine
