// The same bits everywhere: an answer of a real model (or a tiny one, of families whose real ones are too
// large to test with) does not depend on the CPU's kernels, the number of threads, how the prompt was cut
// into steps, or who else was in the batch; in whatever form keys and values are kept.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/engine.h"
#include "testing/paths.h"
#include "testing/real_model.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

using Values = std::vector<float>;

std::unique_ptr<Engine> open_model(sys::Env& env, const std::string& path, EngineOptions options) {
  auto engine = Engine::open(env, path, options);
  if (!engine) throw std::runtime_error(engine.error().message());
  return std::move(*engine);
}

std::vector<int32_t> ordinary_text(const Engine& engine, const std::string& section, size_t count) {
  auto ids = engine.tokenize(testing::read_prose(section), false);
  if (ids.size() < count) throw std::runtime_error("testing/corpus/prose.txt is too short");
  ids.resize(count);
  return ids;
}

Values evaluate_last(Engine& engine, const std::vector<int32_t>& ids) {
  auto out = engine.evaluate({ids}, false);
  if (!out) throw std::runtime_error(out.error().message());
  return std::move(out->front().back().values);
}

bool same_bits(const Values& a, const Values& b) {
  return a.size() == b.size() && !a.empty() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// A file that a test engine's simulated disk would hold, where an engine like any other finds it.
std::string write_tiny(const testing::TinyModelOptions& options) {
  const std::string path = ::testing::TempDir() + "cresset-bits-" + options.architecture + ".gguf";
  const Status written = sys::make_posix_env()->write_atomic(path, testing::tiny_model_text(options));
  if (!written) throw std::runtime_error(written.error().message());
  return path;
}
std::string qwen2_path() {
  return write_tiny({.architecture = "qwen2", .format = Format::kQ4_0, .context = 1024});
}
// More rows of a prompt go to one expert than are multiplied at once.
std::string qwen3moe_path() {
  return write_tiny({.architecture = "qwen3moe", .context = 1024, .experts = 3, .experts_used = 2});
}

struct Form {
  const char* name;
  Arithmetic arithmetic;
  KvFormat kv_format;
};
constexpr Form kForms[] = {{"bf16", Arithmetic::kInt8, KvFormat::kBf16},
                           {"q8_0", Arithmetic::kInt8, KvFormat::kQ8_0},
                           {"q8_q4", Arithmetic::kInt8, KvFormat::kQ8Q4},
                           {"q4", Arithmetic::kInt8, KvFormat::kQ4},
                           {"float32", Arithmetic::kFloat32, KvFormat::kBf16}};
constexpr KvFormat kKvFormats[] = {KvFormat::kBf16, KvFormat::kQ8_0, KvFormat::kQ4};

struct Case {
  const char* name;
  std::string (*path)();
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}
class Bits : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    path_ = GetParam().path();
    if (path_.empty()) GTEST_SKIP() << "no model file: " << GetParam().name;
  }
  std::string path_;
  std::unique_ptr<sys::Env> env_ = sys::make_posix_env();
};
INSTANTIATE_TEST_SUITE_P(Real, Bits,
                         ::testing::Values(Case{"SmolLM2", testing::default_model_path},
                                           Case{"Gemma3", testing::gemma_model_path},
                                           Case{"TinyQwen2", qwen2_path},
                                           Case{"TinyQwen3Moe", qwen3moe_path}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(Bits, AreTheSameOnEveryKernelAndThreadCount) {
  constexpr size_t kShort = 8;  // the scalar kernels are written to be read
  constexpr size_t kLong = testing::kIsSanitized ? 16 : 150;
  for (const Form& form : kForms) {
    Values expected_short, expected_long;
    int kinds = 0;
    for (const KernelKind kind : {KernelKind::kScalar, KernelKind::kAvx2, KernelKind::kAvx512}) {
      const auto name = kernel_name_for(kind);
      if (!name) continue;
      ++kinds;
      const bool is_fast = kind != KernelKind::kScalar;
      for (const int threads : {1, 2}) {
        if (!is_fast && threads == 1) continue;
        const auto engine = open_model(*env_, path_,
                                       {.threads = threads,
                                        .kernels = kind,
                                        .arithmetic = form.arithmetic,
                                        .kv_format = form.kv_format});
        const auto ids = ordinary_text(*engine, "english", kLong);
        const Values first = evaluate_last(*engine, {ids.begin(), ids.begin() + kShort});
        if (expected_short.empty()) expected_short = first;
        EXPECT_TRUE(same_bits(first, expected_short))
            << *name << ", " << threads << " threads, short prompt, " << form.name;
        if (!is_fast) continue;
        const Values second = evaluate_last(*engine, ids);
        if (expected_long.empty()) expected_long = second;
        EXPECT_TRUE(same_bits(second, expected_long))
            << *name << ", " << threads << " threads, long prompt, " << form.name;
      }
    }
    if (kinds == 1) std::cout << "only the scalar kernels run on this CPU\n";
  }
}

TEST_P(Bits, AreTheSameHoweverThePromptIsCut) {
  // Past 512 positions a prompt has more than one chunk of attention, and Gemma's window no longer sees its
  // start.
  constexpr size_t kTokens = testing::kIsSanitized ? 40 : 600;
  for (const KvFormat form : kKvFormats) {
    Values expected;
    for (const int step : {512, 64, 7}) {
      const auto engine = open_model(*env_, path_, {.kv_format = form, .step_tokens_max = step});
      const Values values = evaluate_last(*engine, ordinary_text(*engine, "english", kTokens));
      if (expected.empty()) expected = values;
      EXPECT_TRUE(same_bits(values, expected))
          << "steps of " << step << " tokens, form " << static_cast<int>(form);
    }
  }
}

TEST_P(Bits, AreTheSameInAnyCompany) {
  constexpr size_t kTokens = testing::kIsSanitized ? 40 : 540;
  for (const KvFormat form : kKvFormats) {
    const auto engine = open_model(*env_, path_, {.kv_format = form});
    const std::vector<std::vector<int32_t>> sequences = {
        ordinary_text(*engine, "code", 1), ordinary_text(*engine, "english", kTokens),
        ordinary_text(*engine, "japanese", 33), ordinary_text(*engine, "code", 20)};
    const auto together = engine->evaluate(sequences, false);
    ASSERT_TRUE(together) << together.error().message();
    for (size_t i = 0; i < sequences.size(); ++i) {
      EXPECT_TRUE(same_bits((*together)[i].back().values, evaluate_last(*engine, sequences[i])))
          << "sequence " << i << ", form " << static_cast<int>(form);
    }
  }
}

TEST_P(Bits, AreTheSameForEveryPositionOfAPromptAndForItsPrefix) {
  for (const KvFormat form : kKvFormats) {
    const auto engine = open_model(*env_, path_, {.kv_format = form});
    const auto ids = ordinary_text(*engine, "english", 70);
    const auto all = engine->evaluate({ids}, true);
    ASSERT_TRUE(all) << all.error().message();
    ASSERT_EQ(all->front().size(), ids.size());
    for (const size_t end : {1u, 16u, 63u, 64u, 65u, 70u}) {
      const Values prefix =
          evaluate_last(*engine, {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(end)});
      EXPECT_TRUE(same_bits(all->front()[end - 1].values, prefix))
          << "a prefix of " << end << " tokens, form " << static_cast<int>(form);
    }
  }
}

}  // namespace
}  // namespace cresset::engine
