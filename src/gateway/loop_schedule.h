// LoopSchedule: net's Loop as the Schedule that gateway and providers know. Any thread for post; the loop for
// after.
#pragma once

#include "net/loop.h"
#include "provider/threads.h"

namespace cresset::gateway {

class LoopSchedule final : public provider::Schedule {
 public:
  explicit LoopSchedule(net::Loop& loop) : loop_(loop) {}  // `loop` outlives this
  void post(std::function<void()> work) override { loop_.post(std::move(work)); }
  std::function<void()> after(std::chrono::milliseconds delay, std::function<void()> work) override {
    return loop_.after(delay, std::move(work));
  }

 private:
  net::Loop& loop_;
};

}  // namespace cresset::gateway
