#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "base/text.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

using testing::complete;
using testing::GatheredAnswer;
using testing::kTinyEnd;
using testing::kTinyFirstByte;
using testing::sample;
using testing::TinyEngine;
using testing::TinyModelOptions;
using Tokens = std::vector<int32_t>;

Tokens random_tokens(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  Tokens out(count);
  for (int32_t& t : out) t = static_cast<int32_t>(3 + random() % 256);
  return out;
}

int32_t best(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<KernelKind> kernels_here() {
  std::vector<KernelKind> out{KernelKind::kScalar};
  for (const KernelKind kind : {KernelKind::kAvx2, KernelKind::kAvx512}) {
    if (kernel_name_for(kind)) out.push_back(kind);
  }
  return out;
}

// ---- the numbers
// ----------------------------------------------------------------------------------------------------

struct Shape {
  const char* name;
  TinyModelOptions model;
};
std::vector<Shape> shapes() {
  return {
      {"llama q8_0", {}},
      {"llama q4_1, heads of 32",
       {.format = Format::kQ4_1, .width = 128, .feed_forward = 160, .kv_heads = 1}},
      {"llama q6_k, heads of 64", {.format = Format::kQ6_K, .layers = 1, .width = 256, .feed_forward = 256}},
      {"gemma3 q5_0, window of 70",
       {.architecture = "gemma3", .format = Format::kQ5_0, .sliding_window = 70}},
      {"qwen2 q4_0", {.architecture = "qwen2", .format = Format::kQ4_0}},
      {"qwen3 f16", {.architecture = "qwen3", .format = Format::kF16}},
      {"qwen3moe q8_0, 5 experts", {.architecture = "qwen3moe"}},
      {"qwen3moe q4_k, 19 experts",
       {.architecture = "qwen3moe",
        .format = Format::kQ4_K,
        .layers = 1,
        .width = 256,
        .feed_forward = 256,
        .experts = 19,
        .experts_used = 4}},
      {"qwen3moe bf16, all experts",
       {.architecture = "qwen3moe", .format = Format::kBF16, .layers = 1, .experts = 3, .experts_used = 3}}};
}

// The bits of an answer do not depend on kernels, threads, batch or chunks.
TEST(Engine, EvaluatesToTheSameBitsHoweverItIsComputed) {
  const Tokens longer = random_tokens(150, 1), shorter = random_tokens(9, 2);
  for (const Shape& shape : shapes()) {
    for (const Arithmetic arithmetic : {Arithmetic::kInt8, Arithmetic::kFloat32}) {
      std::vector<float> expected, expected_shorter;
      for (const KernelKind kind : kernels_here()) {
        for (const int threads : {1, 2, 3}) {
          if (kind == KernelKind::kScalar && threads != 2)
            continue;  // slow, and the plan of work is the same
          SCOPED_TRACE(std::string(shape.name) + ", kernels " + std::to_string(static_cast<int>(kind)) +
                       ", threads " + std::to_string(threads) +
                       (arithmetic == Arithmetic::kInt8 ? ", int8" : ", float"));
          TinyEngine tiny(shape.model, {.threads = threads, .kernels = kind, .arithmetic = arithmetic});
          const std::vector<float> alone = tiny.logits_after(longer);
          if (expected.empty()) {
            expected = alone;
            expected_shorter = tiny.logits_after(shorter);
          }
          EXPECT_TRUE(same_bits(alone, expected));
          const auto batch = tiny->evaluate({shorter, longer, shorter}, false);
          ASSERT_TRUE(batch);
          EXPECT_TRUE(same_bits((*batch)[0][0].values, expected_shorter));
          EXPECT_TRUE(same_bits((*batch)[1][0].values, expected));
          EXPECT_TRUE(same_bits((*batch)[2][0].values, expected_shorter));
        }
      }
    }
  }
}

TEST(Engine, EvaluatesEachPositionAsIfItWereTheLast) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(shape.name);
    TinyEngine tiny(shape.model), small_steps(shape.model, {.threads = 2, .step_tokens_max = 7});
    const Tokens tokens = random_tokens(140, 3);
    const auto all = tiny->evaluate({tokens}, true);
    const auto chunked = small_steps->evaluate({tokens}, true);
    ASSERT_TRUE(all && chunked);
    ASSERT_EQ((*all)[0].size(), tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i)
      ASSERT_TRUE(same_bits((*all)[0][i].values, (*chunked)[0][i].values)) << i;
    for (const size_t i : {0u, 1u, 62u, 63u, 64u, 127u, 128u, 139u}) {
      const Tokens prefix(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(i + 1));
      EXPECT_TRUE(same_bits(tiny.logits_after(prefix), (*all)[0][i].values)) << i;
    }
  }
}

TEST(Engine, RefusesTokensThatCannotBeEvaluated) {
  TinyEngine tiny;
  EXPECT_FALSE(tiny->evaluate({{}}, false));
  EXPECT_FALSE(tiny->evaluate({{-1}}, false));
  EXPECT_FALSE(tiny->evaluate({{static_cast<int32_t>(testing::tiny_vocabulary_size())}}, false));
  EXPECT_FALSE(tiny->evaluate({random_tokens(513, 1)}, false));
  EXPECT_TRUE(tiny->evaluate({random_tokens(512, 1)}, false));
}

// ---- answers
// ----------------------------------------------------------------------------------------------------------

TEST(Engine, GreedyAnswersAreTheMostProbableTokenEachTime) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(shape.name);
    TinyEngine tiny(shape.model);
    Tokens tokens = random_tokens(70, 4);
    chat::Request request = complete(tokens, 12);
    request.logprobs = true;
    const auto answer = tiny.answer(request);
    ASSERT_FALSE(answer->error());
    ASSERT_TRUE(answer->choice().finished);
    for (const chat::TokenReport& report : answer->choice().tokens) {
      ASSERT_EQ(report.chosen.token, best(tiny.logits_after(tokens)));
      tokens.push_back(report.chosen.token);
    }
    if (answer->choice().finished->reason == chat::FinishReason::kLength) {
      EXPECT_EQ(tokens.size(), 82u);
    }
  }
}

TEST(Engine, ReportsTheLogSoftmaxOfTheLogits) {
  TinyEngine tiny;
  Tokens tokens = random_tokens(20, 5);
  chat::Request request = sample(tokens, 8, 3);
  request.logprobs = true;
  request.top_logprobs = 3;
  request.ignore_eos = true;
  const auto answer = tiny.answer(request);
  ASSERT_EQ(answer->choice().tokens.size(), 8u);
  for (const chat::TokenReport& report : answer->choice().tokens) {
    const std::vector<float> logits = tiny.logits_after(tokens);
    double sum = 0;
    for (const float v : logits) sum += std::exp(static_cast<double>(v));
    EXPECT_NEAR(report.chosen.logprob,
                static_cast<double>(logits[static_cast<size_t>(report.chosen.token)]) - std::log(sum), 1e-5);
    ASSERT_EQ(report.top.size(), 3u);
    EXPECT_EQ(report.top[0].token, best(logits));
    EXPECT_GE(report.top[0].logprob, report.top[1].logprob);
    EXPECT_GE(report.top[1].logprob, report.top[2].logprob);
    tokens.push_back(report.chosen.token);
  }
}

TEST(Engine, EchoesThePromptWithTheProbabilityOfEachToken) {
  TinyEngine tiny;
  const Tokens prompt = tiny->tokenize("the quick brown fox jumps over it", false);
  ASSERT_GT(prompt.size(), 20u);
  chat::Request request = complete(prompt, 2);
  request.echo = request.logprobs = request.ignore_eos = true;
  const auto answer = tiny.answer(request);
  EXPECT_EQ(answer->text().substr(0, 33), "the quick brown fox jumps over it");
  const auto all = tiny->evaluate({prompt}, true);
  ASSERT_TRUE(all);
  ASSERT_EQ(answer->choice().tokens.size(), prompt.size() + 2);
  EXPECT_TRUE(std::isnan(answer->choice().tokens[0].chosen.logprob));
  for (size_t i = 1; i < prompt.size(); ++i) {
    const std::vector<float>& logits = (*all)[0][i - 1].values;
    double sum = 0;
    for (const float v : logits) sum += std::exp(static_cast<double>(v));
    ASSERT_EQ(answer->choice().tokens[i].chosen.token, prompt[i]);
    EXPECT_NEAR(answer->choice().tokens[i].chosen.logprob,
                static_cast<double>(logits[static_cast<size_t>(prompt[i])]) - std::log(sum), 1e-5);
  }
}

TEST(Engine, TheSameSeedGivesTheSameTextAloneAndInCompany) {
  TinyEngine tiny({}, {.threads = 2, .step_tokens_max = 48});
  std::vector<chat::Request> requests;
  std::vector<std::string> alone;
  std::mt19937_64 random(11);
  for (int i = 0; i < 16; ++i) {
    requests.push_back(sample(random_tokens(1 + random() % 90, static_cast<uint64_t>(i)),
                              static_cast<int>(5 + random() % 30), i));
    alone.push_back(tiny.answer(requests.back())->text());
  }
  // All together, a few at a time, in an order that the seed decides.
  std::vector<size_t> order(16);
  for (size_t i = 0; i < 16; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::vector<std::shared_ptr<GatheredAnswer>> answers(16);
  for (const size_t i : order) {
    answers[i] = tiny.submit(requests[i]);
    if (random() % 3 == 0) answers[i]->wait_for_events(1 + random() % 3);
  }
  for (size_t i = 0; i < 16; ++i) {
    answers[i]->wait();
    EXPECT_EQ(answers[i]->text(), alone[i]) << i;
    EXPECT_EQ(answers[i]->out_of_order(), 0);
  }
}

TEST(Engine, ChoicesDifferFromEachOtherAndComeAgain) {
  TinyEngine tiny;
  chat::Request request = sample(std::string("the"), 20, 5);
  request.choices = 3;
  request.ignore_eos = true;
  const auto first = tiny.answer(request), second = tiny.answer(request);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(first->text(c), second->text(c));
  EXPECT_NE(first->text(0), first->text(1));
  EXPECT_NE(first->text(1), first->text(2));
  EXPECT_EQ(first->started(), 1);
}

TEST(Engine, SeveralPromptsStartOnceAndCountAllTheirTokens) {
  TinyEngine tiny;
  chat::Request request = complete(random_tokens(10, 1), 3);
  request.prompts.emplace_back(random_tokens(20, 2));
  request.choices = 2;
  const auto answer = tiny.answer(request);
  EXPECT_EQ(answer->started(), 1);
  EXPECT_EQ(answer->prompt_tokens(), 30);
  EXPECT_EQ(answer->out_of_order(), 0);
  EXPECT_EQ(answer->choice(1).finished->usage.prompt_tokens, 10);
  EXPECT_EQ(answer->choice(2).finished->usage.prompt_tokens, 20);
  EXPECT_EQ(answer->text(0), tiny.answer(complete(random_tokens(10, 1), 3))->text());
  EXPECT_EQ(answer->text(3), tiny.answer(complete(random_tokens(20, 2), 3))->text());
}

// ---- text
// ---------------------------------------------------------------------------------------------------------------

TEST(Engine, NeverSplitsACharacterOverDeltas) {
  TinyEngine tiny;
  chat::Request request = sample(std::string("the"), 400, 1);
  // The three bytes of one character are made likely, so that it is whole now and then and broken in between.
  for (const unsigned byte : {0xE3u, 0x81u, 0x82u}) {
    request.sampling.logit_bias.emplace_back(kTinyFirstByte + static_cast<int32_t>(byte), 120.0);
  }
  request.sampling.temperature = 20.0;
  request.ignore_eos = true;
  const auto answer = tiny.answer(request);
  bool has_whole = false, has_broken = false;
  for (const std::string& delta : answer->choice().deltas) {
    EXPECT_TRUE(is_utf8(delta));
    has_whole = has_whole || delta.find("\xe3\x81\x82") != std::string::npos;
    has_broken = has_broken || delta.find("\xef\xbf\xbd") != std::string::npos;
  }
  EXPECT_TRUE(has_whole);
  EXPECT_TRUE(has_broken);
}

TEST(Engine, StopsAtATextThatSpansTokens) {
  TinyEngine tiny;
  chat::Request request = sample(std::string("the"), 60, 21);
  request.ignore_eos = true;
  for (int b = 'a'; b <= 'z'; ++b) request.sampling.logit_bias.emplace_back(kTinyFirstByte + b, 30.0);
  const std::string whole = tiny.answer(request)->text();
  ASSERT_GE(whole.size(), 60u);
  const std::string stop = whole.substr(30, 5);  // five tokens of one byte each
  request.stop = {"\x01never", stop};
  const auto answer = tiny.answer(request);
  EXPECT_EQ(answer->text(), whole.substr(0, whole.find(stop)));
  EXPECT_EQ(answer->choice().finished->reason, chat::FinishReason::kStop);
}

TEST(Engine, EndsAtTheEndTokenUnlessToldOtherwise) {
  TinyEngine tiny;
  chat::Request request = complete(std::string("the"), 20);
  request.sampling.logit_bias = {{kTinyEnd, 100.0}};
  const auto at_once = tiny.answer(request);
  EXPECT_EQ(at_once->text(), "");
  EXPECT_EQ(at_once->choice().finished->reason, chat::FinishReason::kStop);
  EXPECT_EQ(at_once->choice().finished->usage.completion_tokens, 0);
  request.tokens_min = 5;
  EXPECT_EQ(tiny.answer(request)->choice().finished->usage.completion_tokens, 5);
  request.tokens_min = 0;
  request.ignore_eos = true;
  const auto never = tiny.answer(request);
  EXPECT_EQ(never->choice().finished->reason, chat::FinishReason::kLength);
  EXPECT_EQ(never->choice().finished->usage.completion_tokens, 20);
}

TEST(Engine, BiasAndPenaltiesSteerTheAnswer) {
  TinyEngine tiny;
  chat::Request request = complete(std::string("the"), 6);
  request.sampling.logit_bias = {{kTinyFirstByte + 'Q', 100.0}};
  EXPECT_EQ(tiny.answer(request)->text(), "QQQQQQ");
  request.sampling.logit_bias[0].second = 40.0;
  request.sampling.repetition_penalty = 1000.0;
  const std::string penalised = tiny.answer(request)->text();
  EXPECT_EQ(std::count(penalised.begin(), penalised.end(), 'Q'), 1);
  // What greedy would say first is banned.
  chat::Request banned = complete(random_tokens(9, 6), 1);
  banned.logprobs = true;
  const int32_t first = best(tiny.logits_after(random_tokens(9, 6)));
  banned.sampling.logit_bias = {{first, -100.0}};
  const auto other = tiny.answer(banned);
  for (const auto& report : other->choice().tokens) EXPECT_NE(report.chosen.token, first);
}

}  // namespace
}  // namespace cresset::engine
