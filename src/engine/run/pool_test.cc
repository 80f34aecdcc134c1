#include "engine/run/pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "sys/cpu.h"
#include "testing/ticking_env.h"

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

TEST(Pool, ASingleChunkIsDoneOnceAndSeenByAll) {
  Pool pool(3);
  int value = 0;
  std::atomic<int> seen{0};
  pool.run([&](Worker& worker) {
    for (int i = 1; i <= 200; ++i) {
      worker.parallel_for(1, 1, [&](size_t, size_t) { value = i; });
      if (value == i) ++seen;
      worker.parallel_for(3, 1, [](size_t, size_t) {});  // keeps the next writer away until all have looked
    }
  });
  EXPECT_EQ(seen, 600);
}

// Phases of one chunk, of many and of none in every order: each sees all of the one before.
TEST(Pool, EachPhaseSeesAllOfTheOneBefore) {
  Pool pool(3);
  std::vector<size_t> sizes;
  for (size_t i = 0; i < 600; ++i) sizes.push_back(i * 7919 % 5 == 0 ? 1 : i * 104729 % 23);
  std::vector<int> now(32, 0), before(32, 0);
  std::atomic<int> wrong{0};
  pool.run([&](Worker& worker) {
    std::vector<int>* from = &before;
    std::vector<int>* to = &now;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] == 0) continue;
      worker.parallel_for(32, sizes[i] == 1 ? 32 : sizes[i], [&](size_t begin, size_t end) {
        for (size_t k = begin; k < end; ++k) {
          if ((*from)[(k + 1) % 32] != (*from)[k]) ++wrong;
          (*to)[k] = (*from)[(k + 1) % 32] + 1;
        }
      });
      std::swap(from, to);
    }
    worker.barrier();
    if ((*from)[0] == 0) ++wrong;
  });
  EXPECT_EQ(wrong, 0);
}

TEST(Pool, DoesWithoutAThreadThatIsNotLetRunAndTriesItAgain) {
  testing::TickingEnv clock(std::chrono::milliseconds(1));
  Pool pool(2, &clock);
  const auto let_pass = [&](int milliseconds) {
    for (int i = 0; i < milliseconds; ++i) clock.now();
  };
  // Thread 1 is held up until thread 0 has gone to sleep at the barrier (the run's second look at the clock),
  // and for long after.
  const auto run_held_up = [&] {
    const int64_t before = clock.reads();
    pool.run([&](Worker& worker) {
      if (worker.index() == 0) return;
      while (clock.reads() < before + 2) std::this_thread::yield();
      let_pass(100);
    });
  };
  for (int i = 0; i < 3; ++i) {
    run_held_up();
    EXPECT_EQ(pool.threads_used(), 2);
  }
  int calls = 0;
  pool.run([&](Worker& worker) { calls += 1 + worker.index() + 10 * worker.count(); });
  EXPECT_EQ(pool.threads_used(), 1);
  EXPECT_EQ(calls, 11);
  let_pass(60);
  std::atomic<int> both{0};
  pool.run([&](Worker&) { ++both; });
  EXPECT_EQ(both, 2);
}

TEST(Pool, ThreadsForEveryCoreKeepToOneEachButForTheCaller) {
  const std::vector<int> all = sys::read_allowed_cores();
  Pool pool(static_cast<int>(all.size()));
  pool.run([&](Worker& worker) {
    const auto index = static_cast<size_t>(worker.index());
    EXPECT_EQ(sys::read_allowed_cores(), index == 0 ? all : std::vector<int>{all[index]});
  });
}

TEST(Pool, AnotherNumberOfThreadsGoesWhereTheSystemLetsThem) {
  const std::vector<int> all = sys::read_allowed_cores();
  for (const size_t threads : {all.size() + 1, all.size() - 1}) {
    if (threads == 0) continue;
    Pool pool(static_cast<int>(threads));
    pool.run([&](Worker&) { EXPECT_EQ(sys::read_allowed_cores(), all); });
  }
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
