#include "testing/tiny_engine.h"

#include <cstdio>

#include "base/check.h"

namespace cresset::testing {

void GatheredAnswer::on_event(chat::Event event) {
  if (on_each) on_each(event);
  const std::lock_guard lock(mutex_);
  ++events_;
  if (error_) ++out_of_order_;
  const auto open_choice = [&](int index) -> Choice& {
    Choice& choice = choices_[index];
    if (started_ == 0 || choice.finished) ++out_of_order_;
    return choice;
  };
  if (const auto* started = std::get_if<chat::Started>(&event)) {
    ++started_;
    prompt_tokens_ = started->usage.prompt_tokens;
  } else if (auto* delta = std::get_if<chat::TextDelta>(&event)) {
    Choice& choice = open_choice(delta->choice);
    choice.text += delta->text;
    choice.deltas.push_back(std::move(delta->text));
    for (auto& report : delta->tokens) choice.tokens.push_back(std::move(report));
  } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
    open_choice(finished->choice).finished = *finished;
    ++finished_;
  } else {
    error_ = std::get<chat::Failed>(event).error;
  }
  changed_.notify_all();
}

void GatheredAnswer::wait(int choices) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return finished_ >= choices || error_; });
}

void GatheredAnswer::wait_for_events(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return events_ >= count || finished_ > 0 || error_; });
}

size_t GatheredAnswer::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}

TinyEngine::TinyEngine(const TinyModelOptions& model, const engine::EngineOptions& options) {
  env_.put_file("/tiny.gguf", tiny_model_text(model));
  auto opened = engine::Engine::open(env_, "/tiny.gguf", options);
  if (!opened) std::fprintf(stderr, "%s\n", opened.error().message().c_str());
  CHECK(opened.has_value());
  engine_ = std::move(*opened);
}

std::shared_ptr<GatheredAnswer> TinyEngine::submit(chat::Request request, chat::CancelToken cancel) {
  auto sink = std::make_shared<GatheredAnswer>();
  CHECK(engine_->submit({std::move(request), sink, std::move(cancel)}).has_value());
  return sink;
}

std::shared_ptr<GatheredAnswer> TinyEngine::answer(chat::Request request) {
  const int choices = request.choices * (request.is_chat() ? 1 : static_cast<int>(request.prompts.size()));
  auto sink = submit(std::move(request));
  sink->wait(choices);
  return sink;
}

std::vector<float> TinyEngine::logits_after(const std::vector<int32_t>& tokens) {
  auto out = engine_->evaluate({tokens}, false);
  CHECK(out.has_value());
  return std::move(out->front().front().values);
}

engine::EngineStats TinyEngine::settled_stats() {
  // Work for the leader runs between its steps: the second time, the step that ran beside the first is
  // published.
  for (int i = 0; i < 2; ++i) CHECK(engine_->evaluate({{kTinyFirstByte}}, false).has_value());
  return engine_->stats();
}

chat::Request complete(chat::Prompt prompt, int tokens_max) {
  chat::Request request;
  request.prompts = {std::move(prompt)};
  request.tokens_max = tokens_max;
  request.sampling.temperature = 0.0;
  return request;
}

chat::Request sample(chat::Prompt prompt, int tokens_max, int64_t seed) {
  chat::Request request = complete(std::move(prompt), tokens_max);
  request.sampling.temperature = 1.0;
  request.sampling.top_p = 1.0;
  request.sampling.seed = seed;
  return request;
}

}  // namespace cresset::testing
