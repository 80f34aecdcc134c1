#include "gateway/relay.h"

#include <gtest/gtest.h>

#include <thread>

#include "testing/fake_engine.h"
#include "testing/hand_clock.h"

namespace cresset::gateway {
namespace {

TEST(Relay, ABatchCostsOnePost) {
  testing::HandEnv env;
  testing::HandSchedule schedule(env);
  std::vector<size_t> batches;
  auto relay = std::make_shared<Relay>(
      schedule, [&](std::vector<RelayItem> items) { batches.push_back(items.size()); });
  for (int i = 0; i < 5; ++i) relay->on_event(testing::text("x"));
  EXPECT_EQ(schedule.run(), 1u);
  relay->on_event(testing::text("y"));
  EXPECT_EQ(schedule.run(), 1u);
  EXPECT_EQ(batches, (std::vector<size_t>{5, 1}));
}

TEST(Relay, ATurnOnTheLoopIsDeliveredAsItEnds) {
  testing::HandEnv env;
  testing::HandSchedule schedule(env);
  std::vector<size_t> batches;
  auto relay = std::make_shared<Relay>(
      schedule, [&](std::vector<RelayItem> items) { batches.push_back(items.size()); });
  relay->begin_turn();
  for (int i = 0; i < 3; ++i) relay->on_event(testing::text("x"));
  EXPECT_TRUE(batches.empty());
  relay->end_turn();
  EXPECT_EQ(batches, (std::vector<size_t>{3}));
  relay->begin_turn();
  relay->end_turn();
  // What waits for its post already keeps its place before a turn.
  relay->on_event(testing::text("y"));
  relay->begin_turn();
  relay->on_event(testing::text("z"));
  relay->end_turn();
  EXPECT_EQ(schedule.run(), 1u);
  EXPECT_EQ(batches, (std::vector<size_t>{3, 2}));
}

TEST(Relay, KeepsTheOrderAcrossThreads) {
  testing::HandEnv env;
  testing::HandSchedule schedule(env);
  constexpr int kEvents = 2000, kRelays = 4;
  std::vector<std::vector<std::string>> seen(kRelays);
  std::vector<std::thread> threads;
  for (size_t r = 0; r < kRelays; ++r) {
    auto relay = std::make_shared<Relay>(schedule, [&seen, r](std::vector<RelayItem> items) {
      for (const RelayItem& item : items)
        seen[r].push_back(std::get<chat::TextDelta>(std::get<chat::Event>(item)).text);
    });
    threads.emplace_back([relay] {
      for (int i = 0; i < kEvents; ++i) relay->on_event(testing::text(std::to_string(i)));
    });
  }
  const auto is_complete = [&] {
    for (const auto& s : seen) {
      if (s.size() < kEvents) return false;
    }
    return true;
  };
  while (!is_complete()) {
    schedule.run();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& s : seen) {
    for (int i = 0; i < kEvents; ++i) ASSERT_EQ(s[static_cast<size_t>(i)], std::to_string(i));
  }
}

}  // namespace
}  // namespace cresset::gateway
