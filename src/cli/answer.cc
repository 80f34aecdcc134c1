#include "cli/answer.h"

#include <condition_variable>
#include <deque>
#include <mutex>

namespace cresset::cli {
namespace {

// Bounded by the answer: at most one event a token of the context.
class Queue {
 public:
  void push(chat::Event event) {
    {
      const std::scoped_lock hold(mutex_);
      events_.push_back(std::move(event));
    }
    ready_.notify_one();
  }
  chat::Event next() {
    std::unique_lock hold(mutex_);
    ready_.wait(hold, [this] { return !events_.empty(); });
    chat::Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<chat::Event> events_;
};

// An engine that was told to stop lets go of the sink and says nothing more: that too must reach who waits.
class Sink final : public chat::EventSink {
 public:
  explicit Sink(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  ~Sink() override { queue_->push(chat::Failed{{Code::kCancelled, "stopped", ""}}); }
  void on_event(chat::Event event) override { queue_->push(std::move(event)); }

 private:
  const std::shared_ptr<Queue> queue_;
};

double seconds(sys::Instant from, sys::Instant to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

double Answer::prefill_tok_s() const {
  const int fresh = usage.prompt_tokens - usage.cached_tokens;
  return prefill_s > 0 && fresh > 0 ? fresh / prefill_s : 0;
}

double Answer::decode_tok_s() const {
  return decode_s > 0 && usage.completion_tokens > 1 ? (usage.completion_tokens - 1) / decode_s : 0;
}

Result<Answer> answer(sys::Env& env, engine::Engine& engine, chat::Request request,
                      const chat::CancelToken& cancel, const std::function<void(std::string_view)>& on_text) {
  const auto queue = std::make_shared<Queue>();
  Answer out;
  const sys::Instant submitted = env.now();
  sys::Instant first = submitted;
  bool any = false;
  CRESSET_TRY_STATUS(engine.submit({std::move(request), std::make_shared<Sink>(queue), cancel}));
  for (;;) {
    const chat::Event event = queue->next();
    if (const auto* started = std::get_if<chat::Started>(&event)) {
      out.usage = started->usage;
    } else if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (!std::exchange(any, true)) first = env.now();
      out.text += delta->text;
      on_text(delta->text);
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      const sys::Instant last = env.now();
      if (!any) first = last;
      out.reason = finished->reason;
      const int cached = out.usage.cached_tokens;
      out.usage = finished->usage;
      out.usage.cached_tokens = std::max(cached, out.usage.cached_tokens);
      out.prefill_s = seconds(submitted, first);
      out.decode_s = seconds(first, last);
      return out;
    } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      return tl::unexpected(failed->error);
    }
  }
}

chat::Message text_message(chat::Role role, std::string text) {
  chat::Message message;
  message.role = role;
  message.parts.push_back({chat::Text{std::move(text)}, {}});
  return message;
}

}  // namespace cresset::cli
