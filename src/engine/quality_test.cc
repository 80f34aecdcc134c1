// What the fast arithmetic (8-bit activations) costs in quality, and keys and values in 8 and 4 bits: their
// answers against our own in float32, on ordinary text. docs/QUALITY.md has the numbers, also those of
// another engine's 8-bit path on the same text.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "engine/engine.h"
#include "testing/paths.h"
#include "testing/real_model.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

constexpr size_t kWindow = 256;
constexpr size_t kPositions = testing::kIsSanitized ? 24 : 2000;

// How keys and values are kept, and what all rounding together may cost then.
struct Form {
  const char* name;
  KvFormat format;
  double divergence_max, agreement_min;
};
constexpr Form kForms[] = {{"keys and values in bf16", KvFormat::kBf16, 0.0014, 0.97},
                           {"keys and values in q8_0", KvFormat::kQ8_0, 0.002, 0.96},
                           {"keys and values in q8_q4", KvFormat::kQ8Q4, 0.012, 0.92},
                           {"keys and values in q4", KvFormat::kQ4, 0.09, 0.8}};
constexpr double kTinyDivergenceMax = 0.04;

std::unique_ptr<Engine> open_model(sys::Env& env, const std::string& path, Arithmetic arithmetic,
                                   KvFormat kv_format) {
  auto engine =
      Engine::open(env, path, {.arithmetic = arithmetic, .kv_format = kv_format, .step_tokens_max = 64});
  if (!engine) throw std::runtime_error(engine.error().message());
  return std::move(*engine);
}

struct Report {
  testing::Distance all, second_halves;  // the second: positions with at least half a window before them
};

// A report for each form. Windows one after another, so that two windows' logits are all that is held.
std::vector<Report> measure(sys::Env& env, const std::string& path, const std::string& section,
                            std::vector<int32_t> first) {
  const auto reference = open_model(env, path, Arithmetic::kFloat32, KvFormat::kBf16);
  std::vector<std::unique_ptr<Engine>> engines;
  for (const Form& form : kForms) engines.push_back(open_model(env, path, Arithmetic::kInt8, form.format));
  std::vector<int32_t> ids = first;  // the start-of-text token, where the model has one
  for (const int32_t id : reference->tokenize(testing::read_prose(section), false)) ids.push_back(id);
  std::vector<Report> reports(engines.size());
  for (size_t at = 0; at < std::min(ids.size(), kPositions); at += kWindow) {
    const size_t count = std::min({kWindow, ids.size() - at, kPositions - at});
    std::vector<int32_t> window(ids.begin() + static_cast<std::ptrdiff_t>(at),
                                ids.begin() + static_cast<std::ptrdiff_t>(at + count));
    if (!first.empty()) window[0] = first[0];
    const auto expected = reference->evaluate({window}, true);
    for (size_t e = 0; e < engines.size(); ++e) {
      const auto answered = engines[e]->evaluate({window}, true);
      if (!expected || !answered) throw std::runtime_error("the model cannot be evaluated");
      for (size_t i = 0; i < count; ++i) {
        const auto &right = expected->front()[i].values, &got = answered->front()[i].values;
        reports[e].all.add(right, got);
        if (i >= kWindow / 2 && i + 1 < kWindow) reports[e].second_halves.add(right, got);
      }
    }
  }
  return reports;
}

void print(const std::string& name, const testing::Distance& d) {
  if (d.positions == 0) return;
  std::cout << name << ": " << d.positions << " positions, mean KL " << d.mean() << ", median "
            << d.quantile(0.5) << ", 99 % " << d.quantile(0.99) << ", greatest " << d.quantile(1)
            << ", same first token " << 100 * d.agreement() << " %\n";
}

void expect_close(sys::Env& env, const std::string& path, std::vector<int32_t> first) {
  const std::vector<Report> reports = measure(env, path, "english", std::move(first));
  for (size_t i = 0; i < reports.size(); ++i) {
    const std::string name = std::filesystem::path(path).filename().string() + ", " + kForms[i].name;
    print(name, reports[i].all);
    print(name + ", second halves of the windows", reports[i].second_halves);
    EXPECT_EQ(reports[i].all.positions, kPositions) << "testing/corpus/prose.txt is too short";
    if (testing::kIsSanitized) continue;  // too few positions for a mean
    EXPECT_LE(reports[i].all.mean(), kForms[i].divergence_max) << name;
    EXPECT_GE(reports[i].all.agreement(), kForms[i].agreement_min) << name;
  }
}

TEST(Quality, SmolLM2InEightBitsStaysCloseToFloat32) {
  const std::string path = testing::default_model_path();
  if (path.empty()) GTEST_SKIP() << "no SmolLM2 model file";
  const auto env = sys::make_posix_env();
  expect_close(*env, path, {});
}

TEST(Quality, Gemma3InEightBitsStaysCloseToFloat32) {
  const std::string path = testing::gemma_model_path();
  if (path.empty()) GTEST_SKIP() << "no Gemma 3 model file";
  const auto env = sys::make_posix_env();
  expect_close(*env, path, {2});
}

// Random weights lose more than trained ones, and a mixture whose two best experts score almost alike may
// choose the other: this finds a wrong scale or a wrong row, docs/QUALITY.md has what real models lose.
TEST(Quality, TinyModelsOfTheOtherFamiliesInEightBitsStayCloseToFloat32) {
  for (const char* architecture : {"llama", "qwen2", "qwen3", "qwen3moe"}) {
    for (const Format format : {Format::kQ8_0, Format::kQ4_1, Format::kQ6_K}) {
      const testing::TinyModelOptions model{.architecture = architecture,
                                            .format = format,
                                            .width = 256,
                                            .feed_forward = 256,
                                            .experts = 12,
                                            .experts_used = 4};
      testing::TinyEngine reference(model, {.threads = 2, .arithmetic = Arithmetic::kFloat32});
      testing::TinyEngine fast(model, {.threads = 2});
      std::vector<int32_t> ids;
      for (const char c : testing::read_prose("english").substr(0, testing::kIsSanitized ? 30 : 400)) {
        ids.push_back(testing::kTinyFirstByte + static_cast<unsigned char>(c));
      }
      const auto expected = reference->evaluate({ids}, true);
      const auto answered = fast->evaluate({ids}, true);
      ASSERT_TRUE(expected && answered);
      testing::Distance distance;
      for (size_t i = 0; i < ids.size(); ++i) {
        distance.add(expected->front()[i].values, answered->front()[i].values);
      }
      print(std::string(architecture) + " " + std::string(traits(format).name), distance);
      EXPECT_LE(distance.mean(), kTinyDivergenceMax) << architecture << " " << traits(format).name;
    }
  }
}

// Other files, as many as wanted: CRESSET_QUALITY_MODELS=a.gguf:b.gguf (llama architecture, no start token).
TEST(Quality, NamedFilesInEightBitsStayCloseToFloat32) {
  const char* named = std::getenv("CRESSET_QUALITY_MODELS");
  if (named == nullptr) GTEST_SKIP() << "CRESSET_QUALITY_MODELS names no files";
  const auto env = sys::make_posix_env();
  std::istringstream paths(named);
  for (std::string path; std::getline(paths, path, ':');) expect_close(*env, path, {});
}

}  // namespace
}  // namespace cresset::engine
