// What sequences share: a prompt's beginning is computed once, answers stay the same to the bit, tenants see
// nothing of each other, and memory stays within its budget.
#include <gtest/gtest.h>

#include <future>
#include <random>
#include <utility>

#include "engine/engine.h"
#include "testing/paths.h"
#include "testing/real_model.h"
#include "testing/same_answer.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

using testing::complete;
using testing::expect_same_answer;
using testing::GatheredAnswer;
using testing::sample;
using testing::TinyEngine;
using Tokens = std::vector<int32_t>;

// Bytes of one key-value page of the default tiny model: layers, KV heads, keys and values, positions, head,
// half.
constexpr uint64_t kPageBytes = 2 * 2 * 2 * 64 * 16 * 2;

Tokens random_tokens(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Tokens out(count);
  for (int32_t& t : out) t = static_cast<int32_t>(3 + random() % 256);
  return out;
}
Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Greedy, to the last token, with everything that depends on the logits.
chat::Request reported(Tokens prompt, int tokens_max, std::string tenant = {}) {
  chat::Request request = complete(std::move(prompt), tokens_max);
  request.ignore_eos = true;
  request.logprobs = true;
  request.top_logprobs = 20;
  request.tenant = std::move(tenant);
  return request;
}

int cached_tokens(const GatheredAnswer& answer, int choice = 0) {
  return answer.choice(choice).finished->usage.cached_tokens;
}

std::shared_ptr<GatheredAnswer> answer_cold(const chat::Request& request) {
  TinyEngine fresh;
  return fresh.answer(request);
}

// Holds the leader inside an answer's first event until it is let go, so that what is submitted meanwhile
// arrives in one instant.
class HeldLeader {
 public:
  explicit HeldLeader(TinyEngine& tiny) {
    auto sink = std::make_shared<GatheredAnswer>();
    sink->on_each = [this, is_first = true](const chat::Event&) mutable {
      if (!std::exchange(is_first, false)) return;
      entered_.set_value();
      released_.get_future().wait();
    };
    EXPECT_TRUE(tiny->submit({complete(Tokens{5}, 1), sink, {}}));
    entered_.get_future().wait();
    sink_ = sink;
  }
  void release() { released_.set_value(); }

 private:
  std::promise<void> entered_, released_;
  std::shared_ptr<GatheredAnswer> sink_;
};

TEST(Prefix, AWarmAnswerHasTheBitsOfAColdOne) {
  const Tokens prompt = random_tokens(300, 1);
  const auto cold = answer_cold(reported(prompt, 20));
  TinyEngine tiny;
  const auto first = tiny.answer(reported(prompt, 20)), second = tiny.answer(reported(prompt, 20));
  expect_same_answer(*first, *cold);
  expect_same_answer(*second, *cold);
  EXPECT_EQ(cached_tokens(*first), 0);
  EXPECT_EQ(cached_tokens(*second), 299);  // all but the last
  TinyEngine chunked({}, {.threads = 2, .step_tokens_max = 50});
  expect_same_answer(*chunked.answer(reported(prompt, 20)), *cold);
  expect_same_answer(*chunked.answer(reported(prompt, 20)), *cold);
}

TEST(Prefix, SharesAtAnyLengthWithoutTouchingTheAnswer) {
  TinyEngine tiny;
  const Tokens longest = random_tokens(260, 2);
  static_cast<void>(tiny.answer(reported(longest, 1)));
  for (const size_t length : {1u, 2u, 5u, 63u, 64u, 65u, 66u, 100u, 127u, 128u, 129u, 192u, 259u}) {
    SCOPED_TRACE(length);
    const Tokens prompt(longest.begin(), longest.begin() + static_cast<std::ptrdiff_t>(length));
    const auto warm = tiny.answer(reported(prompt, 3));
    expect_same_answer(*warm, *answer_cold(reported(prompt, 3)));
    EXPECT_LT(cached_tokens(*warm), static_cast<int>(length));
    EXPECT_GE(cached_tokens(*warm), static_cast<int>(length) - 4);
  }
}

TEST(Prefix, SixteenAtOnceComputeTheirSystemPromptOnce) {
  const Tokens system = random_tokens(200, 3);
  TinyEngine tiny;
  std::vector<std::shared_ptr<GatheredAnswer>> answers;
  std::vector<chat::Request> requests;
  HeldLeader held(tiny);
  for (uint64_t i = 0; i < 16; ++i) {
    requests.push_back(reported(joined(system, random_tokens(70, 100 + i)), 8));
    answers.push_back(tiny.submit(requests.back()));
  }
  held.release();
  int cached = 0;
  for (size_t i = 0; i < 16; ++i) {
    answers[i]->wait();
    expect_same_answer(*answers[i], *answer_cold(requests[i]));
    cached += cached_tokens(*answers[i]);
  }
  const EngineStats stats = tiny.settled_stats();
  EXPECT_EQ(stats.prompt_tokens_total + stats.prefix_hits_total, 16 * 270 + 1u);
  EXPECT_EQ(stats.prefix_hits_total, static_cast<uint64_t>(cached));
  EXPECT_EQ(stats.prefix_queries_total, 16 * 270 + 1u);
  EXPECT_GE(cached, 15 * 200);
}

TEST(Prefix, AChatNeverComputesItsHistoryAgain) {
  TinyEngine tiny;
  Tokens history = random_tokens(100, 4);
  int computed_most = 0;
  for (uint64_t turn = 0; turn < 8; ++turn) {
    const Tokens asked = joined(history, random_tokens(20, 50 + turn));
    const auto answer = tiny.answer(reported(asked, 15));
    expect_same_answer(*answer, *answer_cold(reported(asked, 15)));
    if (turn > 0)
      computed_most = std::max(computed_most, static_cast<int>(asked.size()) - cached_tokens(*answer));
    history = asked;
    for (const auto& report : answer->choice().tokens) history.push_back(report.chosen.token);
  }
  EXPECT_LE(computed_most, 21);  // the question, and the answer's last token, which was never fed back
}

TEST(Prefix, BranchesAndEditsComputeFromWhereTheyDiffer) {
  TinyEngine tiny;
  const Tokens base = random_tokens(300, 5);
  static_cast<void>(tiny.answer(reported(base, 4)));
  for (const size_t edit : {10u, 64u, 100u, 127u, 200u, 299u}) {
    SCOPED_TRACE(edit);
    Tokens edited = base;
    edited[edit] = edited[edit] == 9 ? 8 : 9;
    const auto answer = tiny.answer(reported(edited, 4));
    expect_same_answer(*answer, *answer_cold(reported(edited, 4)));
    EXPECT_LE(cached_tokens(*answer), static_cast<int>(edit));
    EXPECT_GE(cached_tokens(*answer), static_cast<int>(edit) - 3);
  }
  const auto again = tiny.answer(reported(base, 4));
  expect_same_answer(*again, *answer_cold(reported(base, 4)));
  EXPECT_GE(cached_tokens(*again), 256);
}

TEST(Prefix, ATenantSeesNothingOfAnother) {
  TinyEngine tiny;
  const Tokens prompt = random_tokens(200, 6);
  EXPECT_EQ(cached_tokens(*tiny.answer(reported(prompt, 2, "alice"))), 0);
  EXPECT_EQ(cached_tokens(*tiny.answer(reported(prompt, 2, "bob"))), 0);
  EXPECT_EQ(cached_tokens(*tiny.answer(reported(prompt, 2))), 0);
  EXPECT_EQ(cached_tokens(*tiny.answer(reported(prompt, 2, "alice"))), 199);
  EXPECT_EQ(cached_tokens(*tiny.answer(reported(prompt, 2, "bob"))), 199);
}

TEST(Prefix, CountsAPromptOnceWhateverItsChoices) {
  TinyEngine tiny;
  chat::Request request = reported(random_tokens(200, 7), 3);
  request.choices = 3;
  const auto cold = tiny.answer(request);
  EXPECT_EQ(cached_tokens(*cold, 2), 0);
  expect_same_answer(*cold, *answer_cold(request));
  const auto warm = tiny.answer(request);
  expect_same_answer(*warm, *cold);
  EXPECT_EQ(cached_tokens(*warm, 2), 199);
}

TEST(Prefix, APromptWithReportsIsComputedWhole) {
  TinyEngine tiny;
  chat::Request request = reported(random_tokens(150, 8), 3);
  const auto plain = tiny.answer(request);
  request.echo = true;
  const auto echoed = tiny.answer(request);
  EXPECT_EQ(cached_tokens(*echoed), 0);
  expect_same_answer(*echoed, *answer_cold(request));
}

// The sequence whose pages the others wait for is cancelled while it computes them.
TEST(Prefix, WhoWaitsForACancelledSequenceGoesOnItself) {
  const Tokens system = random_tokens(400, 9);
  for (int round = 0; round < 4; ++round) {
    TinyEngine tiny({}, {.threads = 2, .step_tokens_max = 50});
    HeldLeader held(tiny);
    chat::CancelToken cancel;
    auto first = tiny.submit(reported(joined(system, random_tokens(30, 200)), 8), cancel);
    const chat::Request request = reported(joined(system, random_tokens(30, 201)), 8);
    auto other = tiny.submit(request), same = tiny.submit(request);
    held.release();
    if (round % 2 == 0) static_cast<void>(tiny.settled_stats());
    cancel.cancel();
    other->wait();
    same->wait();
    expect_same_answer(*other, *answer_cold(request));
    expect_same_answer(*same, *answer_cold(request));
    EXPECT_EQ(tiny.settled_stats().kv_bytes_used, 0u);
  }
}

TEST(Prefix, UnderPressureAnswersStayTheSameAndTheBudgetHolds) {
  TinyEngine tiny({}, {.threads = 2, .kv_bytes_max = 9 * kPageBytes});
  std::vector<chat::Request> requests;
  std::vector<std::shared_ptr<GatheredAnswer>> answers;
  for (uint64_t i = 0; i < 24; ++i) {
    Tokens prompt = joined(random_tokens(130, 300 + i % 3), random_tokens(10 + i * 5, 400 + i));
    requests.push_back(reported(std::move(prompt), 30, i % 4 == 0 ? "other" : ""));
    answers.push_back(tiny.submit(requests.back()));
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i]->wait();
    expect_same_answer(*answers[i], *answer_cold(requests[i]));
    const EngineStats stats = tiny->stats();
    EXPECT_LE(stats.kv_bytes_used + stats.kv_bytes_cached, stats.kv_bytes_max);
  }
  const EngineStats stats = tiny.settled_stats();
  EXPECT_EQ(stats.kv_bytes_used, 0u);
  EXPECT_EQ(stats.preemptions_total, 0u);  // each said how long its answer may be
  EXPECT_GT(stats.prefix_hits_total, 0u);
}

TEST(Prefix, OpenEndedAnswersArePutBackForMemoryAndComeOutTheSame) {
  TinyEngine tiny({}, {.threads = 2, .kv_bytes_max = 10 * kPageBytes});
  std::vector<chat::Request> requests;
  std::vector<std::shared_ptr<GatheredAnswer>> answers;
  HeldLeader held(tiny);
  for (uint64_t i = 0; i < 4; ++i) {
    chat::Request request = reported(random_tokens(40, 500 + i), 0);
    request.tokens_max.reset();  // to the end of the context: 8 pages each, of 10
    requests.push_back(request);
    answers.push_back(tiny.submit(request));
  }
  held.release();
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i]->wait();
    expect_same_answer(*answers[i], *answer_cold(requests[i]));
  }
  const EngineStats stats = tiny.settled_stats();
  EXPECT_GT(stats.preemptions_total, 0u);
  EXPECT_EQ(stats.kv_bytes_used, 0u);
}

TEST(Prefix, AnOpenEndedAnswerEndsWhereItsMemoryDoes) {
  TinyEngine tiny({}, {.threads = 1, .kv_bytes_max = 2 * kPageBytes});
  chat::Request request = reported(random_tokens(100, 12), 0);
  request.tokens_max.reset();
  const auto answer = tiny.answer(request);
  ASSERT_FALSE(answer->error());
  EXPECT_EQ(answer->choice().finished->reason, chat::FinishReason::kLength);
  EXPECT_EQ(answer->choice().finished->usage.completion_tokens, 29);
  request.prompts = {random_tokens(129, 13)};
  EXPECT_TRUE(tiny.answer(request)->error());
}

// Random prompts that share, at random times, with cancellations: every answer is the cold one.
TEST(Prefix, AnyMixtureAnswersAsIfAlone) {
  std::mt19937_64 random(11);
  const std::vector<Tokens> roots = {random_tokens(180, 600), random_tokens(70, 601)};
  for (int round = 0; round < 4; ++round) {
    TinyEngine tiny({}, {.threads = 1 + round % 2,
                         .kv_bytes_max = (9 + random() % 30) * kPageBytes,
                         .step_tokens_max = round % 2 == 0 ? 40 : 300});
    std::vector<chat::Request> requests;
    std::vector<std::shared_ptr<GatheredAnswer>> answers;
    for (int i = 0; i < 25; ++i) {
      Tokens prompt = roots[random() % 2];
      prompt.resize(1 + random() % prompt.size());
      requests.push_back(reported(joined(prompt, random_tokens(1 + random() % 90, random() % 4)),
                                  1 + static_cast<int>(random() % 60)));
      requests.back().tenant = random() % 5 == 0 ? "other" : "";
      if (random() % 4 == 0) requests.back().tokens_max.reset();
      chat::CancelToken cancel;
      answers.push_back(tiny.submit(requests.back(), cancel));
      if (random() % 3 == 0) {
        if (random() % 2 == 0) answers.back()->wait_for_events(1 + random() % 4);
        cancel.cancel();
        answers.pop_back();
        requests.pop_back();
      }
    }
    for (size_t i = 0; i < answers.size(); ++i) {
      answers[i]->wait();
      expect_same_answer(*answers[i], *answer_cold(requests[i]));
    }
    EXPECT_EQ(tiny.settled_stats().kv_bytes_used, 0u);
  }
}

// The same of a real model, past a chunk of attention and with sliding windows.
class RealPrefix : public ::testing::TestWithParam<std::string (*)()> {};
INSTANTIATE_TEST_SUITE_P(Models, RealPrefix,
                         ::testing::Values(testing::default_model_path, testing::gemma_model_path));

TEST_P(RealPrefix, AWarmAnswerHasTheBitsOfAColdOne) {
  const std::string path = GetParam()();
  if (path.empty()) GTEST_SKIP() << "no model file";
  const auto env = sys::make_posix_env();
  constexpr size_t kTokens = testing::kIsSanitized ? 150 : 700;
  std::shared_ptr<GatheredAnswer> cold;
  for (const int threads : {2, 1}) {
    const auto engine = Engine::open(*env, path, {.threads = threads});
    ASSERT_TRUE(engine) << engine.error().message();
    Tokens ids = (*engine)->tokenize(testing::read_prose("english"), false);
    ids.resize(kTokens);
    for (const size_t shared : {size_t{0}, kTokens - 1, kTokens - 40}) {
      Tokens before = ids;
      if (shared > 0 && shared < kTokens - 1) {
        before[shared] = before[shared] + 1;
        auto branch = std::make_shared<GatheredAnswer>();
        ASSERT_TRUE((*engine)->submit({reported(before, 2), branch, {}}));
        branch->wait();
      }
      auto answer = std::make_shared<GatheredAnswer>();
      ASSERT_TRUE((*engine)->submit({reported(ids, 6), answer, {}}));
      answer->wait();
      if (cold == nullptr) cold = answer;
      expect_same_answer(*answer, *cold);
      if (shared == 0) {
        EXPECT_EQ(cached_tokens(*answer), 0);
      } else {
        EXPECT_GE(cached_tokens(*answer), static_cast<int>(kTokens - 64));
      }
    }
  }
}

}  // namespace
}  // namespace cresset::engine
