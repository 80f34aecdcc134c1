#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "engine/engine.h"
#include "engine/model/profile.h"
#include "testing/ticking_env.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

using testing::TinyEngine;
using testing::TinyModelOptions;

TEST(Measure, PromptsAreCountedByTheirTokensAndTheirLogitsOnce) {
  TinyEngine engine({.layers = 1, .width = 64, .feed_forward = 96, .heads = 4, .kv_heads = 2});
  const auto one = engine->time_prefill(1, 0), two = engine->time_prefill(2, 0);
  ASSERT_TRUE(one && two);
  // Query and output 64 x 64, key and value 32 x 64, gate, up and down 96 x 64: two operations a weight.
  const double layer = 2.0 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64);
  EXPECT_DOUBLE_EQ(two->weight_operations - one->weight_operations, layer);
  EXPECT_DOUBLE_EQ(one->weight_operations - layer,
                   2.0 * 64 * static_cast<double>(testing::tiny_vocabulary_size()));
}

TEST(Measure, ABatchReadsTheWeightsOnceAStepAndEachSequencesOwnKeysAndValues) {
  TinyEngine engine({.layers = 2});
  const auto one = engine->time_decode(3, 10), four = engine->time_batch(4, 3, 10);
  ASSERT_TRUE(one && four);
  EXPECT_DOUBLE_EQ(four->weight_operations, 4 * one->weight_operations);
  const double weights = 3 * static_cast<double>(engine->stats().weights_bytes);
  EXPECT_DOUBLE_EQ(four->bytes_read - weights, 4 * (one->bytes_read - weights));
  // Two layers, two KV heads of 16, keys and values in two bytes; the steps see 11, 12 and 13 positions.
  EXPECT_DOUBLE_EQ(one->bytes_read - weights, 2.0 * 2 * 16 * 2 * 2 * (11 + 12 + 13));
}

TEST(Measure, AWindowBoundsWhatIsRead) {
  TinyEngine engine({.architecture = "gemma3", .layers = 2, .sliding_window = 8});
  const auto measured = engine->time_decode(1, 99), before = engine->time_decode(1, 98);
  ASSERT_TRUE(measured && before);
  // One position more, in the layer without a window alone.
  const double position = (measured->bytes_read - before->bytes_read);
  EXPECT_DOUBLE_EQ(measured->bytes_read - static_cast<double>(engine->stats().weights_bytes),
                   position * (100 + 8));
}

TEST(Measure, OfAMixtureTheChosenExpertsCount) {
  TinyEngine engine(
      {.architecture = "qwen3moe", .layers = 1, .feed_forward = 128, .experts = 5, .experts_used = 2});
  const auto one = engine->time_prefill(1, 0), two = engine->time_prefill(2, 0);
  ASSERT_TRUE(one && two);
  // As above, but for two of five experts and the router.
  const double layer = 2.0 * (2 * 64 * 64 + 2 * 32 * 64 + 5 * 64 + 2 * 3 * 128 * 64);
  EXPECT_NEAR(two->weight_operations - one->weight_operations, layer, 1e-6);
  // An expert in Q8_0: three matrices of 16 pieces of 16 x 32 weights, each with its 16 scales.
  const double experts = 5.0 * 3 * 16 * (16 * 32 + 16 * 2), position = 2 * 2 * 16 * 2;
  const double dense = static_cast<double>(engine->stats().weights_bytes) - experts;
  EXPECT_NEAR(one->bytes_read, dense + experts * 2 / 5 + position, 1e-6);
  EXPECT_NEAR(two->bytes_read, dense + experts * (1 - 0.6 * 0.6) + 2 * position, 1e-6);
}

TEST(Measure, WhatDoesNotFitIsRefusedAndNothingIsLeftBehind) {
  TinyEngine engine({.context = 64}, {.threads = 2, .step_tokens_max = 16});
  const auto code = [](const auto& result) { return result.error().code; };
  EXPECT_TRUE(engine->time_prefill(64, 0));  // in four passes
  EXPECT_TRUE(engine->time_batch(16, 2, 3));
  EXPECT_EQ(code(engine->time_prefill(65, 0)), Code::kLimit);
  EXPECT_EQ(code(engine->time_decode(60, 5)), Code::kLimit);
  EXPECT_EQ(code(engine->time_batch(17, 1, 0)), Code::kLimit);
  EXPECT_EQ(code(engine->time_batch(0, 1, 0)), Code::kInvalid);
  EXPECT_EQ(code(engine->time_parts(true, 0, 0)), Code::kInvalid);
  EXPECT_EQ(code(engine->time_parts(false, 65, 0)), Code::kLimit);
  EXPECT_EQ(engine.settled_stats().kv_bytes_used, 0u);

  TinyEngine small({.context = 512}, {.threads = 1, .kv_bytes_max = 100'000});
  EXPECT_EQ(code(small->time_batch(8, 2, 400)), Code::kUnavailable);
  EXPECT_EQ(small.settled_stats().kv_bytes_used, 0u);
}

TEST(Measure, EveryPartIsNamedOnce) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kPartCount; ++i) names.insert(to_string(static_cast<Part>(i)));
  EXPECT_EQ(names.size(), kPartCount);
}

TEST(Profile, TimeGoesToThePartThatEndsAndWaitingIsApart) {
  testing::TickingEnv clock(std::chrono::seconds(10));
  Profile profile(clock, 2);
  for (const int thread : {0, 1}) {
    profile.begin(thread);
    profile.mark(thread, Part::kNorms, std::chrono::seconds(3));
    profile.mark(thread, Part::kAttention, std::chrono::seconds(3));
    profile.mark(thread, Part::kNorms, std::chrono::seconds(7));
  }
  const PartSeconds seconds = profile.seconds();
  EXPECT_DOUBLE_EQ(seconds[static_cast<size_t>(Part::kNorms)], 2 * (7 + 6));
  EXPECT_DOUBLE_EQ(seconds[static_cast<size_t>(Part::kAttention)], 2 * 10);
  EXPECT_DOUBLE_EQ(seconds[static_cast<size_t>(Part::kWaiting)], 2 * 7);
  EXPECT_DOUBLE_EQ(std::accumulate(seconds.begin(), seconds.end(), 0.0), 2 * 30);
}

// A measured pass gives the bits that one gives which is not measured.
TEST(Profile, MeasuringChangesNothing) {
  TinyEngine engine;
  const std::vector<int32_t> tokens{10, 20, 30};
  const std::vector<float> before = engine.logits_after(tokens);
  ASSERT_TRUE(engine->time_parts(false, 20, 0));
  ASSERT_TRUE(engine->time_parts(true, 5, 20));
  EXPECT_EQ(engine.logits_after(tokens), before);
}

}  // namespace
}  // namespace cresset::engine
