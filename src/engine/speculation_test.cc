// Drafted tokens change how many steps an answer takes, and nothing of what it says.
#include <gtest/gtest.h>

#include <random>

#include "engine/engine.h"
#include "testing/same_answer.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

using testing::complete;
using testing::expect_same_answer;
using testing::GatheredAnswer;
using testing::kTinyEnd;
using testing::sample;
using testing::TinyEngine;
using Tokens = std::vector<int32_t>;

EngineOptions with_speculation(bool speculation) {
  return {.threads = 2, .speculation = speculation};
}

// A random answer out of two or three different tokens repeats itself all the time; other settings at random.
chat::Request random_request(std::mt19937_64& random) {
  const auto one_of = [&](uint64_t n) { return static_cast<int>(random() % n); };
  Tokens prompt(static_cast<size_t>(3 + one_of(150)));
  for (int32_t& t : prompt) t = 40 + one_of(3);
  chat::Request request = sample(std::move(prompt), 1 + one_of(120), static_cast<int64_t>(random() % 1000));
  if (one_of(3) == 0) request.sampling.temperature = 0;
  const int kinds = 2 + one_of(2);
  for (int k = 0; k < kinds; ++k) request.sampling.logit_bias.emplace_back(40 + k, 30 + one_of(2));
  if (one_of(4) == 0) request.sampling.logit_bias.emplace_back(kTinyEnd, 27);
  if (one_of(4) == 0) request.sampling.repetition_penalty = 1.1;
  if (one_of(4) == 0) request.sampling.frequency_penalty = 0.1;
  if (one_of(4) == 0) request.sampling.top_k = 2;
  if (one_of(4) == 0) request.stop = {"%%&%%&"};
  if (one_of(3) == 0) request.choices = 2;
  if (one_of(2) == 0) {
    request.logprobs = true;
    request.top_logprobs = 2;
    request.echo = one_of(3) == 0;
  }
  request.ignore_eos = one_of(3) == 0;
  return request;
}

TEST(Speculation, AnAnswerIsTheSameWithAndWithout) {
  TinyEngine drafting({}, with_speculation(true)), plain({}, with_speculation(false));
  std::mt19937_64 random(11);
  constexpr uint64_t kRequests = 120;
  for (uint64_t i = 0; i < kRequests; ++i) {
    SCOPED_TRACE(i);
    const chat::Request request = random_request(random);
    expect_same_answer(*drafting.answer(request), *plain.answer(request));
    if (HasFatalFailure()) return;
  }
  const EngineStats stats = drafting.settled_stats();
  EXPECT_GT(stats.accepted_tokens_total, kRequests * 4);
  EXPECT_GT(stats.drafted_tokens_total, stats.accepted_tokens_total);  // and some were refused
  EXPECT_EQ(plain.settled_stats().drafted_tokens_total, 0u);
}

TEST(Speculation, AnAnswerIsTheSameInCompany) {
  TinyEngine drafting({}, with_speculation(true)), plain({}, with_speculation(false));
  std::mt19937_64 random(12);
  for (int round = 0; round < 6; ++round) {
    std::vector<chat::Request> requests;
    std::vector<std::shared_ptr<GatheredAnswer>> answers;
    for (int i = 0; i < 12; ++i) requests.push_back(random_request(random));
    for (const auto& request : requests) answers.push_back(drafting.submit(request));
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      answers[i]->wait(requests[i].choices);
      expect_same_answer(*answers[i], *plain.answer(requests[i]));
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(drafting.settled_stats().accepted_tokens_total, 20u);
}

TEST(Speculation, TakesFewerSteps) {
  TinyEngine drafting({}, with_speculation(true)), plain({}, with_speculation(false));
  chat::Request request = complete(Tokens{40, 41, 42}, 200);
  request.sampling.logit_bias = {{40, 50}};
  expect_same_answer(*drafting.answer(request), *plain.answer(request));
  EXPECT_LT(drafting.settled_stats().steps_total * 4, plain.settled_stats().steps_total);
}

// Drafts take no page that was not promised, and leave none behind: the same small memory is enough, round
// after round, and what an answer leaves in the tree serves the one that continues it.
TEST(Speculation, KeepsWithinThePromisedMemory) {
  const uint64_t page = 2 * 2 * 2 * 64 * 16 * 2;
  EngineOptions options = with_speculation(true);
  options.kv_bytes_max = 6 * page;
  TinyEngine tiny({}, options), plain({}, with_speculation(false));
  Tokens prompt{40, 41, 42};
  for (int round = 0; round < 4; ++round) {
    chat::Request request = complete(prompt, 70);
    request.ignore_eos = true;
    request.sampling.logit_bias = {{40, 50}};
    if (round == 3) request.tokens_max.reset();
    if (round == 3) request.ignore_eos = false, request.stop = {std::string(60, '%')};
    const auto answer = tiny.answer(request);
    expect_same_answer(*answer, *plain.answer(request));
    if (round > 0) {
      EXPECT_GE(answer->choice().finished->usage.cached_tokens, static_cast<int>(prompt.size()) - 4);
    }
    prompt.insert(prompt.end(), 70, 40);
  }
  EXPECT_GT(tiny.settled_stats().accepted_tokens_total, 100u);
  EXPECT_EQ(tiny.settled_stats().kv_bytes_used, 0u);
}

}  // namespace
}  // namespace cresset::engine
