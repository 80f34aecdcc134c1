// TinyEngine: an engine over a tiny random model on a simulated disk, and a sink that gathers one answer.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "testing/sim_env.h"
#include "testing/tiny_model.h"

namespace cresset::testing {

// What one job has been told so far. The engine writes from its threads; a test waits without sleeping.
class GatheredAnswer final : public chat::EventSink {
 public:
  void on_event(chat::Event event) override;

  // Called on the engine's thread after each event, before the next step.
  std::function<void(const chat::Event&)> on_each;

  // Blocks until `choices` choices have finished or the answer failed.
  void wait(int choices = 1);
  // Blocks until there are `count` events, a choice has finished or the answer failed.
  void wait_for_events(size_t count);

  struct Choice {
    std::string text;
    std::vector<std::string> deltas;
    std::vector<chat::TokenReport> tokens;
    std::optional<chat::Finished> finished;
  };
  // Of a finished answer.
  const Choice& choice(int index = 0) const { return choices_.at(index); }
  const std::map<int, Choice>& choices() const { return choices_; }
  const std::string& text(int index = 0) const { return choice(index).text; }
  const std::optional<Error>& error() const { return error_; }
  int started() const { return started_; }
  int prompt_tokens() const { return prompt_tokens_; }
  // Events that came after the answer had failed, before it started, or for a choice that had finished.
  int out_of_order() const { return out_of_order_; }
  size_t events() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, Choice> choices_;
  std::optional<Error> error_;
  int started_ = 0, finished_ = 0, prompt_tokens_ = 0, out_of_order_ = 0;
  size_t events_ = 0;
};

class TinyEngine {
 public:
  explicit TinyEngine(const TinyModelOptions& model = {},
                      const engine::EngineOptions& options = {.threads = 2});

  engine::Engine& operator*() { return *engine_; }
  engine::Engine* operator->() { return engine_.get(); }
  void close() { engine_.reset(); }

  // Submits and does not wait; the test fails where it is refused.
  std::shared_ptr<GatheredAnswer> submit(chat::Request request, chat::CancelToken cancel = {});
  // Submits and waits for all choices.
  std::shared_ptr<GatheredAnswer> answer(chat::Request request);
  // The logits after a list of tokens.
  std::vector<float> logits_after(const std::vector<int32_t>& tokens);
  // Returns when the leader has finished the step it was in, so that stats() is of now.
  engine::EngineStats settled_stats();

 private:
  SimEnv env_{7};
  std::unique_ptr<engine::Engine> engine_;
};

// A completion of token ids or text; greedy, at most `tokens_max` tokens.
chat::Request complete(chat::Prompt prompt, int tokens_max);
// The same with temperature 1 and a seed.
chat::Request sample(chat::Prompt prompt, int tokens_max, int64_t seed);

}  // namespace cresset::testing
