#include "engine/run/step_pace.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cresset::engine {
namespace {

// A machine on which a plain decode step takes `base` and `each` a sequence, and a prompt token `prompt`.
struct Machine {
  double base, each, prompt;
  double step_s(size_t decodes, size_t tokens) const {
    return (decodes > 0 || tokens > 0 ? base : 0) + each * static_cast<double>(decodes) +
           prompt * static_cast<double>(tokens);
  }
};

TEST(StepPace, HoldsAStepBesideStreamsToItsTime) {
  for (const Machine& machine : {Machine{0.006, 0.0004, 0.0005}, Machine{0.02, 0.001, 0.003}}) {
    StepPace pace({});
    for (int i = 0; i < 5; ++i) pace.learn(1, 0, machine.step_s(1, 0));
    for (int i = 0; i < 5; ++i) pace.learn(15, 0, machine.step_s(15, 0));
    double longest = 0;
    for (int i = 0; i < 50; ++i) {
      const size_t tokens = pace.prompt_tokens(15);
      const double seconds = machine.step_s(15, tokens);
      pace.learn(15, tokens, seconds);
      if (i > 0) longest = std::max(longest, seconds);
    }
    EXPECT_LE(longest, 0.25);
    EXPECT_GE(machine.step_s(15, pace.prompt_tokens(15)), 0.08);  // and uses it
  }
}

TEST(StepPace, FollowsAPromptThatGetsDearerWithItsDepth) {
  StepPace pace({});
  for (int i = 0; i < 5; ++i) pace.learn(15, 0, 0.012);
  double longest = 0;
  for (size_t done = 0; done < 16384;) {
    const size_t tokens = pace.prompt_tokens(15);
    const double each = 0.0005 + 0.002 * static_cast<double>(done) / 16384;
    const double seconds = 0.012 + each * static_cast<double>(tokens);
    pace.learn(15, tokens, seconds);
    longest = std::max(longest, seconds);
    done += tokens;
  }
  EXPECT_LE(longest, 0.2);
}

TEST(StepPace, OfASlowModelAStepTakesNoMoreThanThreePlainOnes) {
  const Machine machine{0.3, 0.01, 0.02};
  StepPace pace({});
  for (int i = 0; i < 5; ++i) pace.learn(1, 0, machine.step_s(1, 0));
  pace.learn(0, 64, machine.step_s(0, 64));
  for (int i = 0; i < 20; ++i) {
    const size_t tokens = pace.prompt_tokens(1);
    const double seconds = machine.step_s(1, tokens);
    EXPECT_LE(seconds, 3 * machine.step_s(1, 0) * 1.05);
    pace.learn(1, tokens, seconds);
  }
}

TEST(StepPace, StaysWithinItsBoundsWhateverTheClockSays) {
  StepPace pace({.tokens_max = 100});
  EXPECT_EQ(pace.prompt_tokens(0), 64u);
  pace.learn(0, 64, 0);  // a clock that stands still
  EXPECT_EQ(pace.prompt_tokens(0), 100u);
  EXPECT_EQ(pace.prompt_tokens(3), 100u);
  pace.learn(3, 100, 1e9);
  EXPECT_EQ(pace.prompt_tokens(3), 16u);
  StepPace tiny({.tokens_max = 7});
  EXPECT_EQ(tiny.prompt_tokens(0), 7u);
  tiny.learn(0, 7, 1e9);
  EXPECT_EQ(tiny.prompt_tokens(1), 7u);
}

}  // namespace
}  // namespace cresset::engine
