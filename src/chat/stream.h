// How an answer travels from who makes it to who wants it.
#pragma once

#include <atomic>
#include <memory>

#include "chat/event.h"

namespace cresset::chat {

// Takes the events of one answer in order. Called on the producer's thread; must return at once (post and
// go).
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(Event event) = 0;
};

// Set once by whoever no longer wants the answer; the producer looks at every step. Copies share the state.
class CancelToken {
 public:
  CancelToken() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void cancel() const { flag_->store(true, std::memory_order_relaxed); }
  bool is_cancelled() const { return flag_->load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

// Set while whoever wants the answer cannot take more of it, as often as need be; the producer looks at every
// step, and makes nothing meanwhile. Copies share the state.
class HoldToken {
 public:
  HoldToken() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void set(bool is_held) const { flag_->store(is_held, std::memory_order_relaxed); }
  bool is_held() const { return flag_->load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace cresset::chat
