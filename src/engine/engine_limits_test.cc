// What an engine does when something is too long, too many, no longer wanted, or about to end.
#include <gtest/gtest.h>

#include <future>
#include <random>
#include <thread>
#include <utility>

#include "engine/engine.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

using testing::complete;
using testing::GatheredAnswer;
using testing::sample;
using testing::TinyEngine;
using Tokens = std::vector<int32_t>;

Tokens some_tokens(size_t count) {
  Tokens out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>(3 + i * 37 % 256);
  return out;
}

// A job that goes on to the end of the context unless someone ends it.
chat::Request endless(size_t prompt_tokens) {
  chat::Request request = sample(some_tokens(prompt_tokens), 1, 1);
  request.tokens_max.reset();
  request.ignore_eos = true;
  return request;
}

// Bytes of one key-value page of the default tiny model: layers, KV heads, keys and values, positions, head,
// half.
constexpr uint64_t kPageBytes = 2 * 2 * 2 * 64 * 16 * 2;

TEST(EngineLimits, WritesAtMostTheTokensAskedFor) {
  TinyEngine tiny;
  for (const int most : {1, 2, 17}) {
    chat::Request request = sample(some_tokens(5), most, 1);
    request.ignore_eos = true;
    const auto answer = tiny.answer(request);
    EXPECT_EQ(answer->choice().finished->usage.completion_tokens, most);
    EXPECT_EQ(answer->choice().finished->reason, chat::FinishReason::kLength);
  }
}

TEST(EngineLimits, EndsWithLengthWhenTheContextIsFull) {
  TinyEngine tiny;
  const auto answer = tiny.answer(endless(500));
  EXPECT_EQ(answer->choice().finished->reason, chat::FinishReason::kLength);
  EXPECT_EQ(answer->choice().finished->usage.completion_tokens, 12);
  const auto last = tiny.answer(endless(511));
  EXPECT_EQ(last->choice().finished->usage.completion_tokens, 1);
}

TEST(EngineLimits, RefusesAPromptThatFillsTheContextWithBothNumbers) {
  TinyEngine tiny;
  for (const size_t tokens : {512u, 3000u}) {
    const auto answer = tiny.answer(endless(tokens));
    ASSERT_TRUE(answer->error());
    EXPECT_EQ(answer->error()->code, Code::kLimit);
    EXPECT_NE(answer->error()->what.find(std::to_string(tokens)), std::string::npos);
    EXPECT_NE(answer->error()->what.find("512"), std::string::npos);
    EXPECT_EQ(answer->started(), 0);
  }
  TinyEngine shorter({}, {.threads = 1, .context_max = 100});
  EXPECT_EQ(shorter->card().context_length, 100);
  EXPECT_TRUE(shorter.answer(endless(100))->error());
  EXPECT_FALSE(shorter.answer(endless(99))->error());
}

TEST(EngineLimits, ACancelledAnswerFreesItsPagesAndSaysNoMore) {
  TinyEngine tiny;
  chat::CancelToken cancel;
  auto sink = std::make_shared<GatheredAnswer>();
  size_t after = 0;  // on the leader's thread alone until settled
  sink->on_each = [&, deltas = 0](const chat::Event& event) mutable {
    if (cancel.is_cancelled()) ++after;
    if (std::holds_alternative<chat::TextDelta>(event) && ++deltas == 4) cancel.cancel();
  };
  ASSERT_TRUE(tiny->submit({endless(40), sink, cancel}));
  sink->wait_for_events(5);
  const EngineStats stats = tiny.settled_stats();
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.waiting, 0);
  EXPECT_EQ(stats.kv_bytes_used, 0u);
  EXPECT_EQ(after, 0u);
}

// In a step, each of two answers is given a token; the one that is cancelled in step n is not in step n + 1.
TEST(EngineLimits, ACancelledAnswerLeavesTheBatchInTheNextStep) {
  TinyEngine tiny({}, {.threads = 1});
  chat::CancelToken cancel, stop;
  auto leaver = std::make_shared<GatheredAnswer>(), stayer = std::make_shared<GatheredAnswer>();
  std::promise<void> both_submitted;
  uint64_t left_at = 0;      // steps that were over; on the leader's thread alone until settled
  std::vector<int> running;  // after each step from then on
  leaver->on_each = [&, deltas = 0](const chat::Event&) mutable {
    if (++deltas < 6 || left_at > 0) return;
    left_at = tiny->stats().steps_total;
    cancel.cancel();
  };
  stayer->on_each = [&, is_first = true](const chat::Event&) mutable {
    // It must not come to its end before the other has begun.
    if (std::exchange(is_first, false)) both_submitted.get_future().wait();
    const EngineStats stats = tiny->stats();
    if (left_at > 0 && stats.steps_total > left_at + 1) running.push_back(stats.running);
    if (running.size() == 3) stop.cancel();
  };
  ASSERT_TRUE(tiny->submit({endless(5), stayer, stop}));
  ASSERT_TRUE(tiny->submit({endless(40), leaver, cancel}));
  // The preparer works in order: when it has refused this one, the scheduler has both.
  tiny.submit(endless(512))->wait();
  both_submitted.set_value();
  while (tiny.settled_stats().running > 0) {
  }
  EXPECT_TRUE(stop.is_cancelled());
  EXPECT_EQ(running, (std::vector<int>{1, 1, 1}));
}

// An answer whose reader is behind is not computed, takes no memory that others need, and ends as if nothing
// had happened.
TEST(EngineLimits, AHeldAnswerLeavesTheBatchAndGoesOnWithTheSameTokens) {
  TinyEngine tiny({}, {.threads = 1, .kv_bytes_max = 3 * kPageBytes});
  const chat::Request request = sample(some_tokens(70), 60, 9);
  const std::string expected = tiny.answer(request)->text();
  chat::HoldToken hold;
  auto held = std::make_shared<GatheredAnswer>();
  held->on_each = [&, deltas = 0](const chat::Event& event) mutable {
    if (std::holds_alternative<chat::TextDelta>(event) && ++deltas == 4) hold.set(true);
  };
  ASSERT_TRUE(tiny->submit({request, held, {}, hold}));
  held->wait_for_events(5);
  EngineStats stats = tiny.settled_stats();
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.held, 1);
  EXPECT_EQ(stats.kv_bytes_used, 0u);
  const size_t events = held->events();
  // Others have the whole memory, and the batch.
  EXPECT_FALSE(tiny.answer(complete(some_tokens(100), 90))->error());
  EXPECT_EQ(held->events(), events);
  hold.set(false);
  held->wait();
  EXPECT_EQ(held->text(), expected);
  EXPECT_EQ(held->out_of_order(), 0);
}

TEST(EngineLimits, AHeldAnswerWhoseReaderLeavesIsDropped) {
  TinyEngine tiny({}, {.threads = 1});
  chat::HoldToken hold;
  chat::CancelToken cancel;
  hold.set(true);
  auto held = std::make_shared<GatheredAnswer>();
  ASSERT_TRUE(tiny->submit({endless(10), held, cancel, hold}));
  held->wait_for_events(2);
  EXPECT_EQ(tiny.settled_stats().held, 1);
  cancel.cancel();
  EXPECT_EQ(tiny.settled_stats().held, 0);
}

// Holds the leader inside the first event of an endless answer, so that what is submitted meanwhile waits.
class HeldEngine {
 public:
  explicit HeldEngine(TinyEngine& tiny) : tiny_(tiny) {
    first_->on_each = [this, is_first = true](const chat::Event&) mutable {
      if (!std::exchange(is_first, false)) return;
      entered_.set_value();
      released_.get_future().wait();
    };
    EXPECT_TRUE(tiny_->submit({endless(5), first_, cancel}));
    entered_.get_future().wait();
  }
  std::shared_ptr<GatheredAnswer> submit(std::string tenant,
                                         chat::Priority priority = chat::Priority::kNormal) {
    chat::Request request = complete(some_tokens(5), 2);
    request.tenant = std::move(tenant);
    request.priority = priority;
    request.ignore_eos = true;
    auto answer = tiny_.submit(request);
    answer->on_each = [this, told = answer.get()](const chat::Event& event) {
      if (std::holds_alternative<chat::Started>(event)) order.push_back(told);
    };
    // The preparer works in order: when it has refused this one, the scheduler has the other.
    tiny_.submit(endless(512))->wait();
    return answer;
  }
  void release() { released_.set_value(); }

  chat::CancelToken cancel;
  std::vector<const GatheredAnswer*> order;  // in which answers started

 private:
  TinyEngine& tiny_;
  std::shared_ptr<GatheredAnswer> first_ = std::make_shared<GatheredAnswer>();
  std::promise<void> entered_, released_;
};

TEST(EngineLimits, AQueueThatIsFullRefusesTheLast) {
  TinyEngine tiny({}, {.threads = 1, .sequences_max = 1, .queue_max = 2});
  HeldEngine held(tiny);
  std::vector<std::shared_ptr<GatheredAnswer>> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(held.submit("a"));
  held.release();
  answers[2]->wait();
  ASSERT_TRUE(answers[2]->error());
  EXPECT_EQ(answers[2]->error()->code, Code::kUnavailable);
  EXPECT_NE(answers[2]->error()->what.find("2 requests wait, this one would be number 3"), std::string::npos)
      << answers[2]->error()->what;
  held.cancel.cancel();
  for (int i = 0; i < 2; ++i) {
    answers[static_cast<size_t>(i)]->wait();
    EXPECT_FALSE(answers[static_cast<size_t>(i)]->error());
  }
}

TEST(EngineLimits, WithoutAQueueOnlyWhatCanStartIsTaken) {
  TinyEngine tiny({}, {.threads = 1, .sequences_max = 1, .queue_max = 0});
  EXPECT_FALSE(tiny.answer(complete(some_tokens(5), 2))->error());
  HeldEngine held(tiny);
  // At most one more may be on its way at all.
  Status status;
  auto sink = std::make_shared<GatheredAnswer>();
  ASSERT_TRUE(tiny->submit({complete(some_tokens(5), 2), sink, {}}));
  held.release();
  sink->wait();
  EXPECT_TRUE(sink->error());
  held.cancel.cancel();
}

TEST(EngineLimits, AQueueThatOneTenantFilledMakesRoomForAnother) {
  TinyEngine tiny({}, {.threads = 1, .sequences_max = 1, .queue_max = 4});
  HeldEngine held(tiny);
  std::vector<std::shared_ptr<GatheredAnswer>> greedy;
  for (int i = 0; i < 4; ++i) greedy.push_back(held.submit("greedy"));
  const auto modest = held.submit("modest");
  held.release();
  greedy[3]->wait();
  ASSERT_TRUE(greedy[3]->error());
  EXPECT_NE(greedy[3]->error()->what.find("its share of the queue is 2 of 4"), std::string::npos)
      << greedy[3]->error()->what;
  held.cancel.cancel();
  modest->wait();
  EXPECT_FALSE(modest->error());
  for (int i = 0; i < 3; ++i) {
    greedy[static_cast<size_t>(i)]->wait();
    EXPECT_FALSE(greedy[static_cast<size_t>(i)]->error());
  }
}

TEST(EngineLimits, AHigherPriorityIsComputedFirst) {
  TinyEngine tiny({}, {.threads = 1, .sequences_max = 1, .queue_max = 8});
  HeldEngine held(tiny);
  const auto batch = held.submit("a", chat::Priority::kBatch);
  const auto normal = held.submit("b");
  const auto urgent = held.submit("c", chat::Priority::kInteractive);
  held.cancel.cancel();
  held.release();
  for (const auto& answer : {batch, normal, urgent}) answer->wait();
  static_cast<void>(tiny.settled_stats());
  EXPECT_EQ(held.order, (std::vector<const GatheredAnswer*>{urgent.get(), normal.get(), batch.get()}));
}

TEST(EngineLimits, ARequestBeyondTheKeyValueBudgetFails) {
  TinyEngine tiny({}, {.threads = 1, .kv_bytes_max = 2 * kPageBytes});
  const auto answer = tiny.answer(complete(some_tokens(100), 100));
  ASSERT_TRUE(answer->error());
  EXPECT_EQ(answer->error()->code, Code::kLimit);
  EXPECT_FALSE(tiny.answer(complete(some_tokens(100), 20))->error());
}

// The second prompt of a job is too large while the first is already being answered: after Failed nothing
// follows.
TEST(EngineLimits, AnAnswerThatFailsHalfWaySaysNothingMore) {
  TinyEngine tiny({}, {.threads = 1, .kv_bytes_max = 2 * kPageBytes});
  chat::Request request = complete(some_tokens(10), 60);
  request.prompts.emplace_back(some_tokens(100));
  const auto answer = tiny.submit(request);
  answer->wait(2);
  EXPECT_TRUE(answer->error());
  EXPECT_EQ(tiny.settled_stats().kv_bytes_used, 0u);
  EXPECT_EQ(answer->out_of_order(), 0);
}

TEST(EngineLimits, AThirdSequenceWaitsForThePagesOfTheFirstTwo) {
  TinyEngine tiny({}, {.threads = 2, .kv_bytes_max = 2 * kPageBytes});
  std::vector<std::string> alone;
  for (int i = 0; i < 3; ++i) alone.push_back(tiny.answer(sample(some_tokens(10), 50, i))->text());
  std::vector<std::shared_ptr<GatheredAnswer>> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(tiny.submit(sample(some_tokens(10), 50, i)));
  for (int i = 0; i < 3; ++i) {
    answers[static_cast<size_t>(i)]->wait();
    EXPECT_EQ(answers[static_cast<size_t>(i)]->text(), alone[static_cast<size_t>(i)]);
  }
  EXPECT_LE(tiny->stats().kv_bytes_used, 2 * kPageBytes);
}

TEST(EngineLimits, CountsTokensAndSteps) {
  TinyEngine tiny;
  chat::Request request = complete(some_tokens(30), 5);
  request.ignore_eos = true;
  tiny.answer(request);
  const chat::Request single = [&] {
    chat::Request r = complete(some_tokens(1), 2);
    r.ignore_eos = true;
    return r;
  }();
  tiny.answer(single);
  const EngineStats stats = tiny.settled_stats();
  EXPECT_EQ(stats.prompt_tokens_total, 31u);
  EXPECT_EQ(stats.generated_tokens_total, 7u);
  EXPECT_EQ(stats.steps_total, 7u);
  EXPECT_GT(stats.weights_bytes, 0u);
}

TEST(EngineLimits, EndsWithJobsRunningWaitingAndArriving) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 6; ++round) {
    TinyEngine tiny({}, {.threads = 1 + round % 3, .sequences_max = 3});
    std::vector<std::shared_ptr<GatheredAnswer>> answers;
    for (int i = 0; i < 8; ++i) answers.push_back(tiny.submit(endless(1 + random() % 60)));
    if (round % 2 == 0) answers[0]->wait_for_events(1 + random() % 4);
    tiny.close();
    const size_t events = answers[0]->events();
    EXPECT_EQ(answers[0]->events(), events);
  }
}

TEST(EngineLimits, ManyThreadsMaySubmitEvaluateAndCancelAtOnce) {
  TinyEngine tiny({}, {.threads = 2, .step_tokens_max = 32});
  const std::string expected = tiny.answer(sample(some_tokens(20), 10, 4))->text();
  const std::vector<float> logits = tiny.logits_after(some_tokens(33));
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(tiny.answer(sample(some_tokens(20), 10, 4))->text(), expected);
        chat::CancelToken cancel;
        auto dropped = tiny.submit(endless(static_cast<size_t>(3 + c)), cancel);
        if (c % 2 == 0) dropped->wait_for_events(2);
        cancel.cancel();
        EXPECT_EQ(tiny.logits_after(some_tokens(33)), logits);
        static_cast<void>(tiny->stats());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  const EngineStats stats = tiny.settled_stats();
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_EQ(stats.kv_bytes_used, 0u);
}

TEST(EngineLimits, OpensOnlyWhatThisMachineAndBudgetAllow) {
  testing::SimEnv env(1);
  env.put_file("/tiny.gguf", testing::tiny_model_text());
  const auto none = Engine::open(env, "/absent.gguf", {});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kNotFound);
  const auto starved = Engine::open(env, "/tiny.gguf", {.kv_bytes_max = kPageBytes - 1});
  ASSERT_FALSE(starved);
  EXPECT_NE(starved.error().what.find("kv_bytes_max"), std::string::npos);
  // The reference does not round what it keeps.
  const auto mixed =
      Engine::open(env, "/tiny.gguf", {.arithmetic = Arithmetic::kFloat32, .kv_format = KvFormat::kQ8_0});
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().code, Code::kInvalid);
}

TEST(EngineLimits, SmallerKeysAndValuesMakeRoomForMore) {
  // Two pages in bfloat16, six in 4 bits: 100 tokens and 100 to come need four.
  TinyEngine tiny({}, {.threads = 1, .kv_bytes_max = 2 * kPageBytes, .kv_format = KvFormat::kQ4});
  EXPECT_FALSE(tiny.answer(complete(some_tokens(100), 100))->error());
  EXPECT_GT(tiny->stats().kv_bytes_max, 3 * kPageBytes / 2);
}

TEST(EngineLimits, TheFingerprintChangesWhenAnswersMay) {
  TinyEngine one, same, other({.seed = 2}), reference({}, {.threads = 1, .arithmetic = Arithmetic::kFloat32});
  EXPECT_EQ(one->fingerprint(), same->fingerprint());
  EXPECT_NE(one->fingerprint(), reference->fingerprint());
  TinyEngine eight({}, {.threads = 1, .kv_format = KvFormat::kQ8_0}),
      four({}, {.threads = 1, .kv_format = KvFormat::kQ4});
  EXPECT_NE(one->fingerprint(), eight->fingerprint());
  EXPECT_NE(four->fingerprint(), eight->fingerprint());
  EXPECT_EQ(one->fingerprint().substr(0, 3), "fp_");
  // The same metadata with other weights is another model.
  EXPECT_NE(one->fingerprint(), other->fingerprint());
}

}  // namespace
}  // namespace cresset::engine
