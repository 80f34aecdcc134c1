#include "cli/self_check.h"

namespace cresset::cli {
namespace {

constexpr int kTokensMax = 64;

// Collects on the engine's threads, one call at a time; hands over once, through the loop.
class Collector final : public provider::AnswerSink {
 public:
  Collector(sys::Env& env, provider::Schedule& schedule, std::function<void(Result<Answer>)> done)
      : env_(env), schedule_(schedule), done_(std::move(done)), asked_(env.now()) {}

  ~Collector() override {
    if (!handed_over_) hand_over(fail(Code::kCancelled, "stopped"));
  }

  void on_accepted(provider::Origin) override {}
  void on_event(chat::Event event) override {
    const sys::Instant now = env_.now();
    if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (first_.count() == 0) first_ = now;
      answer_.text += delta->text;
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      if (first_.count() == 0) first_ = now;
      answer_.reason = finished->reason;
      answer_.usage = finished->usage;
      answer_.prefill_s = std::chrono::duration<double>(first_ - asked_).count();
      answer_.decode_s = std::chrono::duration<double>(now - first_).count();
      hand_over(std::move(answer_));
    } else if (auto* failed = std::get_if<chat::Failed>(&event)) {
      hand_over(tl::unexpected(std::move(failed->error)));
    }
  }

 private:
  void hand_over(Result<Answer> result) {
    handed_over_ = true;
    auto held = std::make_shared<Result<Answer>>(std::move(result));
    schedule_.post([done = done_, held] { done(std::move(*held)); });
  }

  sys::Env& env_;
  provider::Schedule& schedule_;
  const std::function<void(Result<Answer>)> done_;
  const sys::Instant asked_;
  sys::Instant first_{0};
  Answer answer_;
  bool handed_over_ = false;
};

}  // namespace

void ask_itself(sys::Env& env, provider::Schedule& schedule, provider::Local& local,
                const provider::InstalledModel& model, std::function<void(Result<Answer>)> done) {
  chat::Request request;
  request.model = model.name;
  request.tokens_max = kTokensMax;
  request.sampling.temperature = 0;
  if (model.card.has_chat_template) {
    request.messages.push_back(text_message(chat::Role::kUser, std::string(kSelfCheckPrompt)));
  } else {
    request.prompts.emplace_back(std::string(kSelfCheckPrompt));
  }
  local.answer(
      {model.name, std::move(request), std::make_shared<Collector>(env, schedule, std::move(done)), {}});
}

}  // namespace cresset::cli
