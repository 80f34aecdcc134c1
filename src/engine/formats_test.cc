// Whole models in every weight format: what the gateway's user gets, whichever file the owner has.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/quant/format.h"
#include "testing/real_model.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

using testing::TinyEngine;
using Positions = std::vector<Logits>;

// The logits of 48 positions of a tiny model in `format`.
Positions evaluate(Format format, KernelKind kernels, Arithmetic arithmetic) {
  TinyEngine tiny({.format = format, .width = 256, .feed_forward = 512},
                  {.threads = 2, .kernels = kernels, .arithmetic = arithmetic});
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 48; ++i)
    tokens.push_back((i * 37 + 11) % static_cast<int32_t>(testing::tiny_vocabulary_size()));
  auto out = tiny->evaluate({tokens}, true);
  if (!out) throw std::runtime_error(out.error().message());
  return std::move(out->front());
}

class ModelOfFormat : public ::testing::TestWithParam<FormatTraits> {};

TEST_P(ModelOfFormat, AnswersInEightBitsAlmostAsInFloat32) {
  const Positions exact = evaluate(GetParam().format, KernelKind::kAuto, Arithmetic::kFloat32);
  const Positions fast = evaluate(GetParam().format, KernelKind::kAuto, Arithmetic::kInt8);
  testing::Distance distance;
  for (size_t i = 0; i < exact.size(); ++i) distance.add(exact[i].values, fast[i].values);
  // Random weights are noisy: 0.059 at most when this was written; a scale or a minimum read wrongly gives 1.
  EXPECT_LE(distance.mean(), 0.08);
}

TEST_P(ModelOfFormat, AnswersWithTheSameBitsOnEveryInstructionSet) {
  for (const Arithmetic arithmetic : {Arithmetic::kInt8, Arithmetic::kFloat32}) {
    const Positions expected = evaluate(GetParam().format, KernelKind::kScalar, arithmetic);
    for (const KernelKind kind : {KernelKind::kAvx2, KernelKind::kAvx512}) {
      if (!kernel_name_for(kind)) continue;
      const Positions got = evaluate(GetParam().format, kind, arithmetic);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(std::memcmp(got[i].values.data(), expected[i].values.data(),
                              expected[i].values.size() * sizeof(float)),
                  0)
            << "position " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelOfFormat, ::testing::ValuesIn(all_formats().begin(), all_formats().end()),
                         [](const auto& it) { return std::string(it.param.name); });

}  // namespace
}  // namespace cresset::engine
