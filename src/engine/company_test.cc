// The real model's answers to many requests mixed at random - over engines with other threads, instruction
// sets and step sizes, beside others, on warm, cold and evicted prefixes, drafted and not - against each
// request's answer alone: no bit differs. CRESSET_COMPANY_REQUESTS says how many (docs/QUALITY.md has a run
// of 1,000).
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <random>

#include "engine/engine.h"
#include "testing/paths.h"
#include "testing/real_model.h"
#include "testing/same_answer.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

using testing::complete;
using testing::expect_same_answer;
using testing::GatheredAnswer;
using Tokens = std::vector<int32_t>;

size_t requests_wanted() {
  const char* set = std::getenv("CRESSET_COMPANY_REQUESTS");
  if (set != nullptr) return std::strtoul(set, nullptr, 10);
  return testing::kIsSanitized ? 6 : 48;
}

std::shared_ptr<GatheredAnswer> ask(Engine& engine, const chat::Request& request) {
  auto answer = std::make_shared<GatheredAnswer>();
  EXPECT_TRUE(engine.submit({request, answer, {}}));
  return answer;
}

// A beginning that others have too, of any length, and an end of its own; some are edits of what came before.
chat::Request random_request(std::mt19937_64& random, const Tokens& prose) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const size_t root = below(3) * 300;
  const auto take = [&](size_t from, size_t count) {
    return Tokens(prose.begin() + static_cast<std::ptrdiff_t>(from),
                  prose.begin() + static_cast<std::ptrdiff_t>(from + count));
  };
  Tokens prompt = take(root, 1 + below(testing::kIsSanitized ? 60 : 260));
  if (below(3) > 0) {
    const Tokens end = take(below(prose.size() - 100), 1 + below(80));
    prompt.insert(prompt.end(), end.begin(), end.end());
  }
  if (below(4) == 0) prompt[below(prompt.size())] = prose[below(prose.size())];
  chat::Request request = complete(std::move(prompt), 1 + static_cast<int>(below(24)));
  request.ignore_eos = true;
  request.logprobs = true;
  request.top_logprobs = 20;
  if (below(2) == 0) {
    request.sampling.temperature = 0.3 + 0.1 * static_cast<double>(below(10));
    request.sampling.seed = static_cast<int64_t>(below(1000));
  }
  request.echo = below(10) == 0;
  request.choices = below(10) == 0 ? 2 : 1;
  request.tenant = below(4) == 0 ? "one" : "other";
  return request;
}

TEST(Company, ChangesNoBitOfAnyAnswer) {
  const std::string path = testing::default_model_path();
  if (path.empty()) GTEST_SKIP() << "no model file";
  const auto env = sys::make_posix_env();
  const auto open = [&](const EngineOptions& options) {
    auto engine = Engine::open(*env, path, options);
    EXPECT_TRUE(engine) << engine.error().message();
    return std::move(*engine);
  };
  const auto alone = open({.threads = 1, .context_max = 1024, .speculation = false});
  std::vector<std::unique_ptr<Engine>> engines;
  engines.push_back(open({.threads = 2, .context_max = 1024}));
  engines.push_back(open({.threads = 1, .context_max = 1024, .step_tokens_max = 48}));
  engines.push_back(open({.threads = 2, .context_max = 1024, .kv_bytes_max = 32u << 20}));  // drops prefixes
  if (const auto avx2 = kernel_name_for(KernelKind::kAvx2))
    engines.push_back(open({.threads = 2, .kernels = KernelKind::kAvx2, .context_max = 1024}));
  Tokens prose = (*alone).tokenize(testing::read_prose("english"), false);
  ASSERT_GE(prose.size(), 1000u);
  prose.resize(1000);

  std::mt19937_64 random(17);
  const size_t wanted = requests_wanted();
  struct Asked {
    chat::Request request;
    std::shared_ptr<GatheredAnswer> answer;
  };
  std::deque<Asked> asked;
  size_t cached = 0, compared = 0;
  for (size_t i = 0; i < wanted || !asked.empty(); ++i) {
    if (i < wanted) {
      chat::Request request = random_request(random, prose);
      auto answer = ask(*engines[random() % engines.size()], request);
      asked.push_back({std::move(request), std::move(answer)});
      if (asked.size() < 16 + random() % 16) continue;
    }
    Asked first = std::move(asked.front());
    asked.pop_front();
    SCOPED_TRACE("request " + std::to_string(compared));
    first.answer->wait(first.request.choices);
    first.request.tenant = "alone " + std::to_string(compared);  // whose tree is empty
    const auto reference = ask(*alone, first.request);
    reference->wait(first.request.choices);
    expect_same_answer(*first.answer, *reference);
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_EQ(reference->choice().finished->usage.cached_tokens, 0);
    if (first.answer->choice().finished->usage.cached_tokens > 0) ++cached;
    ++compared;
  }
  EXPECT_EQ(compared, wanted);
  if (wanted >= 40) {
    EXPECT_GT(cached, wanted / 4);
  }
}

}  // namespace
}  // namespace cresset::engine
