// FakeEngine: an engine that computes nothing. It keeps the jobs it is given; the test says what happens to
// each, or gives a script that runs on submit. Safe from any thread as far as the real one is.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace cresset::testing {

// Shared with the test, so that it survives the engine.
struct FakeEngineState {
  std::mutex mutex;
  std::vector<std::shared_ptr<engine::Job>> jobs;  // in the order of submit
  std::function<void(std::shared_ptr<engine::Job>)> on_submit;
  std::function<Status()> submit_status;  // an error refuses the job
  bool is_closed = false;
};

class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(std::shared_ptr<FakeEngineState> state, std::string fingerprint = "fp_fake");
  ~FakeEngine() override;

  const engine::ModelCard& card() const override { return card_; }
  engine::EngineStats stats() const override;
  std::string_view kernel_name() const override { return "fake"; }
  const std::string& fingerprint() const override { return fingerprint_; }
  Status submit(engine::Job job) override;
  std::vector<int32_t> tokenize(std::string_view, bool) const override { return {}; }
  std::string detokenize(int32_t) const override { return {}; }
  Result<std::vector<int32_t>> prompt_tokens(const chat::Request&) const override;
  Result<std::vector<std::vector<engine::Logits>>> evaluate(const std::vector<std::vector<int32_t>>&,
                                                            bool) override;
  Result<engine::Timing> time_prefill(int, int) override;
  Result<engine::Timing> time_decode(int, int) override;
  Result<engine::Timing> time_batch(int, int, int) override;
  Result<engine::PartSeconds> time_parts(bool, int, int) override;
  Result<engine::Roofline> measure_roofline() override;

 private:
  const std::shared_ptr<FakeEngineState> state_;
  const engine::ModelCard card_;
  const std::string fingerprint_;
};

// What an engine says, for scripts.
chat::Event started(int prompt_tokens, int cached_tokens = 0);
chat::Event text(std::string text, int choice = 0);
chat::Event finished(int completion_tokens, chat::FinishReason reason = chat::FinishReason::kStop,
                     int choice = 0);
chat::Event failed(Code code, std::string what);

}  // namespace cresset::testing
