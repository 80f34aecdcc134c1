// Our answers against those of an engine that we did not write: transformers in float32 on the same weights.
// tools/golden/make_logits_golden.py and make_tiny_golden.py make the files and say how. CRESSET_GOLDEN_DIR
// reads larger ones (every position) that the script wrote elsewhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "base/json.h"
#include "engine/engine.h"
#include "testing/paths.h"
#include "testing/real_model.h"

namespace cresset::engine {
namespace {

constexpr double kLogProbabilityMax = 0.01;  // how far one of the top 20 may be off
constexpr double kTinyLogProbabilityMax = 0.0001;
constexpr double kCloseCall = 0.02;  // below this margin either of the two first tokens is right
constexpr size_t kSanitizedTokensMax = 32;
constexpr int32_t kEnd = -1;

struct Golden {
  struct Position {
    size_t position = 0;
    std::vector<std::pair<size_t, double>> top;
    double rest = 0;
  };
  struct Prompt {
    std::vector<int32_t> ids;
    std::vector<Position> at;
    std::vector<std::pair<int32_t, double>> greedy;  // token, margin
  };
  std::vector<Prompt> prompts;
};

Golden read_golden(sys::Env& env, const std::string& name) {
  const char* elsewhere = std::getenv("CRESSET_GOLDEN_DIR");
  const std::string folder = elsewhere != nullptr ? elsewhere : testing::source_path("testing/golden");
  const auto text = env.read_file(folder + "/logits-" + name + ".json", 512u << 20);
  if (!text) throw std::runtime_error(text.error().message());
  const auto json = parse_json(*text, {.bytes_max = 512u << 20});
  if (!json) throw std::runtime_error(json.error().message());
  Golden golden;
  for (const Json& from : json->find("prompts")->as_array()) {
    Golden::Prompt prompt;
    for (const Json& id : from.find("ids")->as_array())
      prompt.ids.push_back(static_cast<int32_t>(id.as_integer()));
    for (const Json& at : from.find("at")->as_array()) {
      Golden::Position position{
          static_cast<size_t>(at.as_array()[0].as_integer()), {}, at.as_array()[2].as_number()};
      for (const Json& pair : at.as_array()[1].as_array()) {
        position.top.emplace_back(pair.as_array()[0].as_integer(), pair.as_array()[1].as_number());
      }
      prompt.at.push_back(std::move(position));
    }
    for (const Json& pair : from.find("greedy")->as_array()) {
      prompt.greedy.emplace_back(static_cast<int32_t>(pair.as_array()[0].as_integer()),
                                 pair.as_array()[1].as_number());
    }
    if (!testing::kIsSanitized || prompt.ids.size() <= kSanitizedTokensMax)
      golden.prompts.push_back(std::move(prompt));
  }
  return golden;
}

std::unique_ptr<Engine> open_reference(sys::Env& env, const std::string& path) {
  auto engine = Engine::open(env, path, {.arithmetic = Arithmetic::kFloat32});
  if (!engine) throw std::runtime_error(engine.error().message());
  return std::move(*engine);
}

void expect_log_probabilities(sys::Env& env, const std::string& path, const std::string& name,
                              double furthest = kLogProbabilityMax) {
  const Golden golden = read_golden(env, name);
  const auto engine = open_reference(env, path);
  double worst = 0, worst_rest = 0;
  size_t compared = 0;
  for (size_t n = 0; n < golden.prompts.size(); ++n) {
    const Golden::Prompt& prompt = golden.prompts[n];
    const auto logits = engine->evaluate({prompt.ids}, true);
    ASSERT_TRUE(logits) << logits.error().message();
    for (const Golden::Position& at : prompt.at) {
      const auto ours = testing::log_softmax(logits->front()[at.position].values);
      double mass = 0;
      for (const auto& [id, expected] : at.top) {
        worst = std::max(worst, std::fabs(ours[id] - expected));
        mass += std::exp(ours[id]);
        ++compared;
        EXPECT_NEAR(ours[id], expected, furthest)
            << name << " prompt " << n << " position " << at.position << " token " << id;
      }
      worst_rest = std::max(worst_rest, std::fabs(1 - mass - at.rest));
      EXPECT_NEAR(1 - mass, at.rest, furthest * std::min(1.0, 2 * at.rest) + 1e-4)
          << name << " prompt " << n << " position " << at.position << ": the mass of all other tokens";
    }
  }
  EXPECT_GT(compared, testing::kIsSanitized ? 200u : 1000u);
  std::cout << name << ": " << compared << " log-probabilities, the furthest " << worst
            << " off; mass of the rest " << worst_rest << " off\n";
}

// Waits for one job's end and keeps its tokens by choice.
class TokenSink final : public chat::EventSink {
 public:
  explicit TokenSink(size_t choices) : tokens_(choices), open_(choices) {}

  void on_event(chat::Event event) override {
    const std::lock_guard lock(mutex_);
    if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      for (const auto& report : delta->tokens) {
        tokens_[static_cast<size_t>(delta->choice)].push_back(report.chosen.token);
      }
    } else if (std::holds_alternative<chat::Finished>(event)) {
      --open_;
    } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      error_ = failed->error.message();
      open_ = 0;
    }
    if (open_ == 0) done_.notify_all();
  }
  std::vector<std::vector<int32_t>> wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return open_ == 0; });
    EXPECT_EQ(error_, "");
    return tokens_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<std::vector<int32_t>> tokens_;
  size_t open_;
  std::string error_;
};

// The greedy answers to all prompts at once, through the same door as any request.
std::vector<std::vector<int32_t>> answer(Engine& engine, const std::vector<chat::Tokens>& prompts,
                                         int tokens) {
  Job job;
  job.request.prompts.assign(prompts.begin(), prompts.end());
  job.request.sampling.temperature = 0;
  job.request.tokens_max = tokens;
  job.request.logprobs = true;
  auto sink = std::make_shared<TokenSink>(prompts.size());
  job.sink = sink;
  const Status status = engine.submit(std::move(job));
  EXPECT_TRUE(status) << status.error().message();
  return status ? sink->wait() : std::vector<std::vector<int32_t>>(prompts.size());
}

// Where the two part at a close call, the reference's token is taken and the comparison goes on behind it. At
// one of the tokens in `ends` an answer is over.
void expect_continuations(sys::Env& env, const std::string& path, const std::string& name,
                          const std::vector<int32_t>& ends) {
  Golden golden = read_golden(env, name);
  for (Golden::Prompt& prompt : golden.prompts) {
    const auto end = std::find_if(prompt.greedy.begin(), prompt.greedy.end(), [&](const auto& token) {
      return std::find(ends.begin(), ends.end(), token.first) != ends.end();
    });
    prompt.greedy.erase(end == prompt.greedy.end() ? end : end + 1, prompt.greedy.end());
  }
  const auto engine = open_reference(env, path);
  size_t close_calls = 0, tokens = 0;
  std::vector<size_t> done(golden.prompts.size());
  for (;;) {
    std::vector<chat::Tokens> prompts;
    std::vector<size_t> owners;
    size_t longest = 0;
    for (size_t n = 0; n < golden.prompts.size(); ++n) {
      const Golden::Prompt& prompt = golden.prompts[n];
      if (done[n] == prompt.greedy.size()) continue;
      chat::Tokens ids = prompt.ids;
      for (size_t i = 0; i < done[n]; ++i) ids.push_back(prompt.greedy[i].first);
      longest = std::max(longest, prompt.greedy.size() - done[n]);
      prompts.push_back(std::move(ids));
      owners.push_back(n);
    }
    if (prompts.empty()) break;
    const auto answers = answer(*engine, prompts, static_cast<int>(longest));
    for (size_t i = 0; i < owners.size(); ++i) {
      const auto& expected = golden.prompts[owners[i]].greedy;
      size_t& at = done[owners[i]];
      for (size_t k = 0; at < expected.size(); ++k, ++at, ++tokens) {
        // An end is not reported as a token; that the answer stops here says it.
        const int32_t ours = k < answers[i].size() ? answers[i][k] : kEnd;
        const bool is_end = std::find(ends.begin(), ends.end(), expected[at].first) != ends.end();
        if (ours == (is_end ? kEnd : expected[at].first)) continue;
        ASSERT_LE(expected[at].second, kCloseCall)
            << name << " prompt " << owners[i] << " token " << at << " is " << ours << ", the reference says "
            << expected[at].first;
        ++close_calls;
        ++at;
        ++tokens;
        break;
      }
    }
  }
  std::cout << name << ": " << tokens << " greedy tokens, " << close_calls << " parted at a close call\n";
}

TEST(Golden, SmolLM2LogProbabilitiesAreThoseOfTransformers) {
  const std::string path = testing::default_model_path();
  if (path.empty()) GTEST_SKIP() << "no SmolLM2 model file";
  const auto env = sys::make_posix_env();
  expect_log_probabilities(*env, path, "smollm2");
}

TEST(Golden, Gemma3LogProbabilitiesAreThoseOfTransformers) {
  const std::string path = testing::gemma_model_path();
  if (path.empty()) GTEST_SKIP() << "no Gemma 3 model file";
  const auto env = sys::make_posix_env();
  expect_log_probabilities(*env, path, "gemma3");
}

// A file of one's own: CRESSET_GOLDEN_QWEN2=MODEL, with logits-qwen2.json in CRESSET_GOLDEN_DIR.
TEST(Golden, ANamedQwen2AnswersAsTransformersDoes) {
  const char* path = std::getenv("CRESSET_GOLDEN_QWEN2");
  if (path == nullptr) GTEST_SKIP() << "CRESSET_GOLDEN_QWEN2 names no file";
  const auto env = sys::make_posix_env();
  expect_log_probabilities(*env, path, "qwen2");
  expect_continuations(*env, path, "qwen2", {151643, 151645});
}

TEST(Golden, SmolLM2ContinuesGreedilyAsTransformersDoes) {
  const std::string path = testing::default_model_path();
  if (path.empty()) GTEST_SKIP() << "no SmolLM2 model file";
  const auto env = sys::make_posix_env();
  expect_continuations(*env, path, "smollm2", {0, 2});
}

TEST(Golden, Gemma3ContinuesGreedilyAsTransformersDoes) {
  const std::string path = testing::gemma_model_path();
  if (path.empty()) GTEST_SKIP() << "no Gemma 3 model file";
  const auto env = sys::make_posix_env();
  expect_continuations(*env, path, "gemma3", {1, 106});
}

// The families whose real models are too large to test with: tiny random models of transformers, in files
// that llama.cpp's converter wrote. Their weights are exact in the file, so little but the order of sums may
// differ.
class TinyGolden : public ::testing::TestWithParam<const char*> {
 protected:
  std::string name_ = std::string("tiny-") + GetParam();
  std::string path_ = testing::source_path("testing/golden/" + name_ + ".gguf");
  std::unique_ptr<sys::Env> env_ = sys::make_posix_env();
};
INSTANTIATE_TEST_SUITE_P(Families, TinyGolden, ::testing::Values("qwen2", "qwen3", "qwen3moe"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(TinyGolden, LogProbabilitiesAreThoseOfTransformers) {
  expect_log_probabilities(*env_, path_, name_, kTinyLogProbabilityMax);
}

TEST_P(TinyGolden, ContinuesGreedilyAsTransformersDoes) {
  expect_continuations(*env_, path_, name_, {259});
}

}  // namespace
}  // namespace cresset::engine
