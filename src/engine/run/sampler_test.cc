#include "engine/run/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

namespace cresset::engine {
namespace {

// Between -spread and spread.
std::vector<float> random_logits(size_t n, uint64_t seed, float spread = 4.0f) {
  std::mt19937_64 random(seed);
  std::vector<float> out(n);
  for (float& v : out) v = (static_cast<float>(random() % 8000) / 4000.0f - 1.0f) * spread;
  return out;
}

Token choose(Sampler& sampler, std::vector<float> logits, std::vector<Token> banned = {}) {
  return sampler.choose(logits, banned);
}

chat::Sampling with(double temperature) {
  chat::Sampling s;
  s.temperature = temperature;
  s.top_p = 1.0;
  return s;
}

// The probabilities that a request asks for: sorted, cut, normalised. The plain way.
std::vector<double> reference(const std::vector<float>& logits, const chat::Sampling& s) {
  const size_t n = logits.size();
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  std::vector<double> p(n);
  const double top = static_cast<double>(logits[order[0]]);
  for (size_t i = 0; i < n; ++i) p[i] = std::exp((static_cast<double>(logits[i]) - top) / *s.temperature);
  if (s.top_k && *s.top_k > 0) {
    for (size_t i = static_cast<size_t>(*s.top_k); i < n; ++i) p[order[i]] = 0;
  }
  double all = std::accumulate(p.begin(), p.end(), 0.0), sum = 0;
  for (const size_t i : order) {
    if (sum >= s.top_p.value_or(1) * all && *s.top_p < 1) p[i] = 0;
    sum += p[i];
  }
  for (double& v : p) {
    if (v < s.min_p.value_or(0)) v = 0;
  }
  all = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= all;
  return p;
}

// Pearson's statistic over the tokens that are expected at least five times; the rest together.
double chi_square(const std::vector<int>& counts, const std::vector<double>& p, int draws, int& freedom) {
  double statistic = 0, rest_expected = 0, rest_seen = 0;
  freedom = -1;
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * draws;
    if (expected < 5) {
      rest_expected += expected;
      rest_seen += counts[i];
      continue;
    }
    statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    ++freedom;
  }
  if (rest_expected > 1) {
    statistic += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++freedom;
  }
  return statistic;
}

struct Case {
  const char* name;
  double temperature;
  int top_k;
  double top_p, min_p;
};

class SamplerDraws : public ::testing::TestWithParam<Case> {};

TEST_P(SamplerDraws, FollowTheDistributionThatWasAskedFor) {
  const Case& c = GetParam();
  chat::Sampling s = with(c.temperature);
  s.top_k = c.top_k;
  s.top_p = c.top_p;
  s.min_p = c.min_p;
  const std::vector<float> logits = random_logits(300, 7);
  const std::vector<double> p = reference(logits, s);
  constexpr int kDraws = 20'000;
  Sampler sampler(s, 99, 0, *kScalarKernels);
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(choose(sampler, logits))];
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " was cut off";
    }
  }
  int freedom = 0;
  const double statistic = chi_square(counts, p, kDraws, freedom);
  // Mean `freedom`, deviation sqrt(2 freedom): five deviations.
  EXPECT_LT(statistic, freedom + 5 * std::sqrt(2.0 * std::max(1, freedom))) << "freedom " << freedom;
}

INSTANTIATE_TEST_SUITE_P(
    All, SamplerDraws,
    ::testing::Values(Case{"plain", 1, 0, 1, 0}, Case{"hot", 2, 0, 1, 0}, Case{"cold", 0.3, 0, 1, 0},
                      Case{"topk", 1, 10, 1, 0}, Case{"topk_one", 1, 1, 1, 0}, Case{"topp", 1, 0, 0.6, 0},
                      Case{"topp_wide", 1, 0, 0.97, 0}, Case{"minp", 1, 0, 1, 0.2},
                      Case{"topk_topp", 1, 40, 0.8, 0}, Case{"topk_topp_minp", 1.5, 100, 0.9, 0.1},
                      Case{"topp_minp", 1, 0, 0.9, 0.3}, Case{"topk_above_all", 1, 1000, 1, 0}),
    [](const auto& it) { return std::string(it.param.name); });

// The set that can be drawn is exactly the reference's, over many rows and settings.
TEST(Sampler, KeepsExactlyTheTokensThatTheLimitsKeep) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 100; ++round) {
    chat::Sampling s = with(0.5 + static_cast<double>(random() % 100) / 50.0);
    s.top_k = static_cast<int>(random() % 12);
    s.top_p = random() % 2 == 0 ? 1.0 : 0.3 + static_cast<double>(random() % 60) / 100.0;
    s.min_p = random() % 2 == 0 ? 0.0 : static_cast<double>(random() % 50) / 100.0;
    // Few tokens, or many of which most are far below the others.
    const std::vector<float> logits =
        round < 60 ? random_logits(20, random())
                   : random_logits(300, random(), 4.0f + static_cast<float>(round) / 4);
    const std::vector<double> p = reference(logits, s);
    std::set<Token> kept, drawn;
    for (size_t i = 0; i < p.size(); ++i) {
      if (p[i] > 0.004) kept.insert(static_cast<Token>(i));  // so likely that 4,000 draws meet it
    }
    Sampler sampler(s, random(), 0, *kScalarKernels);
    for (int i = 0; i < 4000; ++i) {
      const Token t = choose(sampler, logits);
      ASSERT_GT(p[static_cast<size_t>(t)], 0) << "round " << round << " token " << t;
      drawn.insert(t);
    }
    for (const Token t : kept) ASSERT_TRUE(drawn.contains(t)) << "round " << round << " token " << t;
  }
}

TEST(Sampler, GreedyTakesTheMaximumAndOfEqualsTheLowestId) {
  Sampler sampler(with(0), 1, 0, *kScalarKernels);
  EXPECT_EQ(choose(sampler, {1, 3, 2, 3}), 1);
  EXPECT_EQ(choose(sampler, {-5, -5, -5}), 0);
  EXPECT_EQ(choose(sampler, {1, 3, 2, 3}, {1}), 3);
}

// Colder than any use: still the most probable, never a token out of nowhere.
TEST(Sampler, AVanishingTemperatureIsGreedy) {
  for (const double temperature : {1e-3, 1e-12, 1e-45, 1e-300}) {
    for (const double top_p : {1.0, 0.9}) {
      chat::Sampling s = with(temperature);
      s.top_p = top_p;
      Sampler sampler(s, 5, 0, *kScalarKernels);
      for (int i = 0; i < 20; ++i) ASSERT_EQ(choose(sampler, {1, 2, 9, 3, -4}), 2) << temperature;
    }
  }
}

TEST(Sampler, BannedTokensAndLowBiasAreNeverDrawn) {
  chat::Sampling s = with(2.0);
  s.logit_bias = {{4, -100.0}, {900, 5.0}, {-1, 5.0}};  // ids outside the vocabulary change nothing
  Sampler sampler(s, 5, 0, *kScalarKernels);
  for (int i = 0; i < 5000; ++i) {
    const Token t = choose(sampler, {5, 1, 1, 1, 5, 1}, {0});
    ASSERT_NE(t, 0);
    ASSERT_NE(t, 4);
  }
  s.logit_bias = {{3, 100.0}};
  Sampler forced(s, 5, 0, *kScalarKernels);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(choose(forced, {5, 1, 1, 1, 5, 1}), 3);
}

// OpenAI's formula: logit - presence - frequency * count, over the answer; the repetition penalty of Keskar
// et al. (CTRL, arXiv 1909.05858) divides what is positive and multiplies what is negative, over prompt and
// answer.
TEST(Sampler, PenaltiesAreWhatTheirDefinitionsSay) {
  const auto penalised = [](const chat::Sampling& s) {
    Sampler sampler(s, 1, 0, *kScalarKernels);
    const std::vector<Token> prompt{0, 1};
    sampler.see_prompt(prompt);
    for (const Token t : {2, 2, 3}) sampler.accept(t);
    std::vector<float> logits{4, -4, 4, -4, 4};
    sampler.choose(logits, {});
    return logits;
  };
  chat::Sampling s = with(0);
  EXPECT_EQ(penalised(s), (std::vector<float>{4, -4, 4, -4, 4}));
  s.repetition_penalty = 2.0;
  EXPECT_EQ(penalised(s), (std::vector<float>{2, -8, 2, -8, 4}));
  s.repetition_penalty = 1.0;
  s.presence_penalty = 0.5;
  EXPECT_EQ(penalised(s), (std::vector<float>{4, -4, 3.5, -4.5, 4}));
  s.frequency_penalty = 0.25;
  EXPECT_EQ(penalised(s), (std::vector<float>{4, -4, 3, -4.75, 4}));
}

TEST(Sampler, DrawsDependOnSeedAndChoiceAlone) {
  const std::vector<float> logits = random_logits(200, 2);
  const auto draws = [&](uint64_t seed, int choice) {
    Sampler sampler(with(1), seed, choice, *kScalarKernels);
    std::vector<Token> out;
    for (int i = 0; i < 20; ++i) out.push_back(choose(sampler, logits));
    return out;
  };
  EXPECT_EQ(draws(1, 0), draws(1, 0));
  EXPECT_NE(draws(1, 0), draws(2, 0));
  EXPECT_NE(draws(1, 0), draws(1, 1));
}

TEST(Sampler, ReportsTheLogSoftmaxAndTheMostProbable) {
  const std::vector<float> logits = random_logits(300, 5);
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v));
  const Sampler sampler(with(1), 1, 0, *kScalarKernels);
  const chat::TokenReport report = sampler.report(logits, 17, 20);
  EXPECT_EQ(report.chosen.token, 17);
  EXPECT_NEAR(report.chosen.logprob, static_cast<double>(logits[17]) - std::log(sum), 1e-5);
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  ASSERT_EQ(report.top.size(), 20u);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(report.top[i].token, static_cast<Token>(order[i]));
  EXPECT_TRUE(sampler.report(logits, 17, 0).top.empty());
  EXPECT_EQ(sampler.report(std::vector<float>{1, 2}, 0, 20).top.size(), 2u);
}

}  // namespace
}  // namespace cresset::engine
