// The rules of the queue, alone: who is next, who leaves, when to come back.
#include "engine/run/queue.h"

#include <gtest/gtest.h>

namespace cresset::engine {
namespace {

using chat::Priority;
using std::chrono::seconds;

const int kJobs[16] = {};

Waiter waiter(std::string_view tenant, int since_s = 0, Priority priority = Priority::kNormal) {
  Waiter w;
  w.tenant = tenant;
  w.priority = priority;
  w.since = seconds(since_s);
  return w;
}

// Each of `tenants` a job of its own, or as many sequences of one as its letter stands side by side in upper
// case.
std::vector<Waiter> queue_of(std::string_view tenants) {
  std::vector<Waiter> out;
  for (size_t i = 0; i < tenants.size(); ++i) {
    Waiter w = waiter(tenants.substr(i, 1), static_cast<int>(i));
    const bool is_same = i > 0 && tenants[i] == tenants[i - 1] && tenants[i] < 'a';
    w.job = is_same ? out.back().job : &kJobs[i];
    out.push_back(w);
  }
  return out;
}

std::vector<size_t> positions(const std::vector<Leaver>& leaving) {
  std::vector<size_t> out;
  for (const Leaver& l : leaving) out.push_back(l.position);
  return out;
}

TEST(Queue, WhoCameFirstIsNext) {
  EXPECT_EQ(choose_next(queue_of("aaa"), {}, seconds(5)), 0u);
  EXPECT_EQ(choose_next(queue_of("abc"), {{"a", 2}, {"b", 2}, {"c", 2}}, seconds(5)), 0u);
}

TEST(Queue, TheTenantWithTheFewestRunningIsNext) {
  EXPECT_EQ(choose_next(queue_of("aabc"), {{"a", 3}, {"b", 1}, {"c", 1}}, seconds(5)), 2u);
  EXPECT_EQ(choose_next(queue_of("aabc"), {{"a", 3}, {"b", 1}}, seconds(5)), 3u);
}

TEST(Queue, AHigherClassIsNextWhateverRunsOfIt) {
  const std::vector<Waiter> waiting{waiter("a", 0, Priority::kBatch), waiter("b", 0, Priority::kNormal),
                                    waiter("c", 0, Priority::kInteractive)};
  EXPECT_EQ(choose_next(waiting, {{"c", 50}}, seconds(1)), 2u);
  EXPECT_EQ(choose_next({waiting.data(), 2}, {{"b", 50}}, seconds(1)), 1u);
}

TEST(Queue, WhoeverWasPutBackGoesBeforeAllClasses) {
  std::vector<Waiter> waiting{waiter("a", 0, Priority::kBatch), waiter("b", 0, Priority::kInteractive)};
  waiting[0].is_put_back = true;
  EXPECT_EQ(choose_next(waiting, {{"a", 9}}, seconds(1)), 0u);
}

TEST(Queue, NoClassWaitsForEver) {
  // An endless row of interactive requests of a tenant that always has some running: the batch one is of
  // their class after twice the ageing, and its tenant has none running.
  const auto next_at = [](int now_s) {
    const std::vector<Waiter> waiting{waiter("batch", 0, Priority::kBatch),
                                      waiter("busy", now_s, Priority::kInteractive)};
    return choose_next(waiting, {{"busy", 4}}, seconds(now_s));
  };
  EXPECT_EQ(next_at(10), 1u);
  EXPECT_EQ(next_at(59), 1u);
  EXPECT_EQ(next_at(61), 0u);
  // Of the same tenant, it is the older one.
  const std::vector<Waiter> own{waiter("a", 0, Priority::kBatch), waiter("a", 60, Priority::kInteractive)};
  EXPECT_EQ(choose_next(own, {{"a", 4}}, seconds(61)), 0u);
}

TEST(Queue, NobodyLeavesWhileThereIsRoom) {
  EXPECT_TRUE(choose_leaving(queue_of("aab"), 3).empty());
  EXPECT_TRUE(choose_leaving({}, 0).empty());
}

TEST(Queue, OneTenantMayHaveAllOfItAndThenItIsFull) {
  const auto leaving = choose_leaving(queue_of("aaaaa"), 3);
  EXPECT_EQ(positions(leaving), (std::vector<size_t>{5, 4}));
  EXPECT_FALSE(leaving[0].is_over_share);
}

TEST(Queue, TheTenantWithTheMostMakesRoomForOthers) {
  const auto leaving = choose_leaving(queue_of("aaaabc"), 4);
  EXPECT_EQ(positions(leaving), (std::vector<size_t>{4, 3}));
  for (const Leaver& l : leaving) EXPECT_TRUE(l.is_over_share);
  EXPECT_EQ(leaving[0].of_tenant, 4u);
  EXPECT_EQ(leaving[0].share, 1u);
}

TEST(Queue, AmongEqualsTheLastToComeFindsItFull) {
  const auto leaving = choose_leaving(queue_of("abcd"), 3);
  EXPECT_EQ(positions(leaving), (std::vector<size_t>{4}));
  EXPECT_FALSE(leaving[0].is_over_share);
}

TEST(Queue, AJobLeavesWholeOrNotAtAll) {
  auto waiting = queue_of("AAABBB");  // two jobs of three
  EXPECT_EQ(positions(choose_leaving(waiting, 5)), (std::vector<size_t>{4}));
  EXPECT_EQ(positions(choose_leaving(waiting, 2)), (std::vector<size_t>{4, 1}));
  for (size_t i = 3; i < 6; ++i) waiting[i].has_begun = true;
  EXPECT_EQ(positions(choose_leaving(waiting, 5)), (std::vector<size_t>{1}));
  for (Waiter& w : waiting) w.has_begun = true;
  EXPECT_TRUE(choose_leaving(waiting, 1).empty());
}

TEST(Queue, SaysWhenToComeBackFromHowFastSequencesEnd) {
  EndRate rate;
  EXPECT_EQ(rate.seconds_for(1), 10);
  rate.add(8, 0);
  rate.add(0, 4);  // four in eight seconds
  EXPECT_EQ(rate.seconds_for(1), 2);
  EXPECT_EQ(rate.seconds_for(5), 10);
  rate.add(8, 0);  // and none since
  EXPECT_EQ(rate.seconds_for(1), 4);
  for (int i = 0; i < 100; ++i) rate.add(0.125, 1);  // the last count, not those of long ago
  EXPECT_EQ(rate.seconds_for(1), 1);
  EXPECT_EQ(rate.seconds_for(48), 6);
  rate.add(1e6, 0);
  EXPECT_EQ(rate.seconds_for(1), 600);
}

TEST(Queue, ARefusalNamesTheNumbersAndTheTime) {
  EndRate rate;
  rate.add(10, 10);
  const chat::Failed over = refusal({nullptr, 9, 6, 2, true}, 8, 4, rate);
  EXPECT_EQ(over.status, 429);
  EXPECT_EQ(over.retry_after_s, 16);
  EXPECT_EQ(over.error.what,
            "6 requests of this key wait, its share of the queue is 2 of 8; try again in 16 s");
  const chat::Failed full = refusal({nullptr, 9, 9, 8, false}, 8, 1, rate);
  EXPECT_EQ(full.status, 0);
  EXPECT_EQ(full.error.code, Code::kUnavailable);
  EXPECT_EQ(full.error.what,
            "the queue is full: 8 requests wait, this one would be number 9; try again in 1 s");
}

}  // namespace
}  // namespace cresset::engine
