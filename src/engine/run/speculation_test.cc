#include "engine/run/speculation.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace cresset::engine {
namespace {

using Chances = std::vector<std::vector<double>>;

// A machine on which a step takes base + each further row's time.
struct Machine {
  double base_s = 0.004, row_s = 0.0004;
  double step_s(size_t drafted) const { return base_s + row_s * static_cast<double>(drafted); }
};

// Lets it see plain steps, and how long drafts take.
Speculation trained(const Machine& machine, size_t sequences) {
  Speculation speculation;
  for (int i = 0; i < 4; ++i) speculation.learn(sequences, 0, machine.step_s(0));
  for (int i = 0; i < 30; ++i) speculation.learn(sequences, 8, machine.step_s(8));
  speculation.learn(sequences, 0, machine.step_s(0));
  return speculation;
}

TEST(Speculation, DraftsNothingBeforeAPlainStepIsMeasured) {
  Speculation speculation;
  const Chances sure{{0.99, 0.99}};
  EXPECT_EQ(speculation.plan(sure, 32), std::vector<size_t>{0});
  speculation.learn(1, 0, 0.004);
  speculation.learn(1, 0, 0.004);
  EXPECT_EQ(speculation.plan(sure, 32), std::vector<size_t>{2});
  const Chances two{{0.99}, {0.99}};  // another number of sequences
  EXPECT_EQ(speculation.plan(two, 32), (std::vector<size_t>{0, 0}));
}

TEST(Speculation, MeasuresAPlainStepAgainNowAndThen) {
  const Machine machine;
  Speculation speculation = trained(machine, 1);
  const Chances sure{{0.99, 0.99, 0.99}};
  size_t plain = 0, steps = 330;
  for (size_t i = 0; i < steps; ++i) {
    const size_t drafted = speculation.plan(sure, 32)[0];
    if (drafted == 0) ++plain;
    speculation.learn(1, drafted, machine.step_s(drafted));
  }
  EXPECT_GE(plain, 8u);
  EXPECT_LE(plain, 12u);
}

TEST(Speculation, LongerDraftsWhereTheyAreSurerAndRowsCheaper) {
  const std::vector<double> sure(30, 0.95), doubtful(30, 0.5), hopeless(30, 0.05);
  const Chances offered[] = {{sure}, {doubtful}, {hopeless}};
  Speculation cheap = trained({0.004, 0.0001}, 1), dear = trained({0.004, 0.0012}, 1);
  EXPECT_GT(cheap.plan(offered[0], 64)[0], 15u);
  EXPECT_GT(cheap.plan(offered[0], 64)[0], dear.plan(offered[0], 64)[0]);
  EXPECT_GT(cheap.plan(offered[0], 64)[0], cheap.plan(offered[1], 64)[0]);
  EXPECT_EQ(dear.plan(offered[2], 64)[0], 0u);
  EXPECT_EQ(cheap.plan(offered[0], 5)[0], 5u);
}

// No other choice of lengths has more tokens a second by the same measurements.
TEST(Speculation, NoOtherLengthsAreBetter) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> any(0.02, 0.98);
  for (int round = 0; round < 300; ++round) {
    const Machine machine{0.004, 0.004 * std::uniform_real_distribution<double>(0.03, 0.6)(random)};
    Speculation speculation = trained(machine, 2);
    Chances chances(2);
    for (auto& c : chances) {
      c.resize(random() % 5);
      for (double& p : c) p = any(random);
    }
    const auto rate = [&](size_t a, size_t b) {
      double tokens = 2, p = 1;
      for (size_t i = 0; i < a; ++i) tokens += (p *= chances[0][i]);
      p = 1;
      for (size_t i = 0; i < b; ++i) tokens += (p *= chances[1][i]);
      return tokens / machine.step_s(a + b);
    };
    double best = 0;
    for (size_t a = 0; a <= chances[0].size(); ++a) {
      for (size_t b = 0; b <= chances[1].size(); ++b) best = std::max(best, rate(a, b));
    }
    const auto plan = speculation.plan(chances, 32);
    EXPECT_GE(rate(plan[0], plan[1]), best * 0.99);  // what it has learned is not exact
  }
}

// The course of a text: each step says whether drafts come true, the machine how long a step takes.
double tokens_a_second(double truth, const Machine& machine, std::mt19937_64& random) {
  Speculation speculation;
  DraftRecord record;
  std::bernoulli_distribution comes_true(truth);
  double tokens = 0, seconds = 0;
  for (int step = 0; step < 2000; ++step) {
    Chances chances(1);
    const size_t agreed = 3;
    for (size_t i = 0; i < 16; ++i) chances[0].push_back(record.chance(agreed + i));
    const size_t drafted = speculation.plan(chances, 32)[0];
    size_t accepted = 0;
    while (accepted < drafted && comes_true(random)) ++accepted;
    if (drafted > 0) {
      record.learn(agreed, drafted, accepted);
    } else {
      record.fade();
    }
    tokens += 1 + static_cast<double>(accepted);
    seconds += machine.step_s(drafted);
    speculation.learn(1, drafted, machine.step_s(drafted));
  }
  return tokens / seconds;
}

TEST(Speculation, CostsNextToNothingWhereItDoesNotHelp) {
  std::mt19937_64 random(5);
  const Machine machine{0.004, 0.001};
  const double plain = 1 / machine.base_s;
  EXPECT_GE(tokens_a_second(0, machine, random), 0.98 * plain);
  EXPECT_GE(tokens_a_second(0.05, machine, random), 0.98 * plain);
  EXPECT_GE(tokens_a_second(0.9, machine, random), 1.8 * plain);
}

TEST(DraftRecord, LearnsByHowLongTheTextAgreed) {
  DraftRecord record;
  EXPECT_LT(record.chance(3), record.chance(30));
  for (int i = 0; i < 50; ++i) record.learn(3, 1, 0);
  EXPECT_LT(record.chance(3), 0.1);
  EXPECT_GT(record.chance(30), 0.9);  // untouched
  for (int i = 0; i < 2000; ++i) record.fade();
  EXPECT_GT(record.chance(3), 0.3);
  for (int i = 0; i < 50; ++i) record.learn(3, 1, 1);
  EXPECT_GT(record.chance(3), 0.9);
}

// Tokens after the first that failed were not tried.
TEST(DraftRecord, CountsWhatWasTriedOnly) {
  DraftRecord record, other;
  record.learn(20, 10, 0);
  other.learn(20, 1, 0);
  EXPECT_EQ(record.chance(20), other.chance(20));
}

}  // namespace
}  // namespace cresset::engine
