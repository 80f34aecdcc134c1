#include "testing/fake_engine.h"

#include <utility>

namespace cresset::testing {

FakeEngine::FakeEngine(std::shared_ptr<FakeEngineState> state, std::string fingerprint)
    : state_(std::move(state)), fingerprint_(std::move(fingerprint)) {}

FakeEngine::~FakeEngine() {
  const std::lock_guard lock(state_->mutex);
  state_->is_closed = true;
}

engine::EngineStats FakeEngine::stats() const {
  engine::EngineStats stats;
  const std::lock_guard lock(state_->mutex);
  stats.running = static_cast<int>(state_->jobs.size());
  stats.kv_bytes_used = 1;
  stats.kv_bytes_max = 4;
  return stats;
}

Status FakeEngine::submit(engine::Job job) {
  auto shared = std::make_shared<engine::Job>(std::move(job));
  std::function<void(std::shared_ptr<engine::Job>)> script;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->submit_status) {
      if (Status status = state_->submit_status(); !status) return status;
    }
    script = state_->on_submit;
    if (!script) state_->jobs.push_back(shared);
  }
  if (script) script(std::move(shared));
  return {};
}

Result<std::vector<int32_t>> FakeEngine::prompt_tokens(const chat::Request&) const {
  return fail(Code::kUnsupported, "a fake engine has no tokens");
}

Result<std::vector<std::vector<engine::Logits>>> FakeEngine::evaluate(
    const std::vector<std::vector<int32_t>>&, bool) {
  return fail(Code::kUnsupported, "a fake engine computes nothing");
}

Result<engine::Timing> FakeEngine::time_prefill(int, int) {
  return fail(Code::kUnsupported, "a fake engine computes nothing");
}

Result<engine::Timing> FakeEngine::time_decode(int, int) {
  return fail(Code::kUnsupported, "a fake engine computes nothing");
}

Result<engine::Timing> FakeEngine::time_batch(int, int, int) {
  return fail(Code::kUnsupported, "a fake engine computes nothing");
}

Result<engine::PartSeconds> FakeEngine::time_parts(bool, int, int) {
  return fail(Code::kUnsupported, "a fake engine computes nothing");
}

Result<engine::Roofline> FakeEngine::measure_roofline() {
  return fail(Code::kUnsupported, "a fake engine computes nothing");
}

chat::Event started(int prompt_tokens, int cached_tokens) {
  return chat::Started{{prompt_tokens, cached_tokens, 0}};
}

chat::Event text(std::string text, int choice) {
  return chat::TextDelta{choice, std::move(text), {}};
}

chat::Event finished(int completion_tokens, chat::FinishReason reason, int choice) {
  return chat::Finished{choice, reason, {0, 0, completion_tokens}};
}

chat::Event failed(Code code, std::string what) {
  return chat::Failed{Error{code, std::move(what), {}}};
}

}  // namespace cresset::testing
