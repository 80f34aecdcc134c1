// Time that moves when the test says so: HandEnv (a clock and entropy from one seed, no files) and
// HandSchedule (the loop as a queue that the test runs). HandPorter runs its work when the test says so, on
// the test's thread.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "provider/threads.h"
#include "sys/env.h"
#include "testing/no_files_env.h"

namespace cresset::testing {

class HandEnv final : public NoFilesEnv {
 public:
  explicit HandEnv(uint64_t seed = 1) : state_(seed) {}

  void advance(std::chrono::nanoseconds by) { now_ += by; }

  sys::Instant now() override { return now_; }
  int64_t unix_time_ms() override { return 1'700'000'000'000 + now_.count() / 1'000'000; }
  void fill_random(std::span<std::byte> out) override;

 private:
  sys::Instant now_{std::chrono::seconds(1)};
  uint64_t state_;
};

class HandSchedule final : public provider::Schedule {
 public:
  explicit HandSchedule(HandEnv& env) : env_(env) {}

  void post(std::function<void()> work) override;  // any thread
  std::function<void()> after(std::chrono::milliseconds delay, std::function<void()> work) override;

  // Runs what is posted, and what that posts, until nothing is left; returns how much.
  size_t run();
  // Moves the clock, running timers at their instants.
  void advance(std::chrono::milliseconds by);

 private:
  HandEnv& env_;
  std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
  std::map<std::pair<sys::Instant, uint64_t>, std::function<void()>> timers_;
  uint64_t timer_ = 0;
};

class HandPorter final : public provider::Porter {
 public:
  Status post(std::function<void()> work) override {
    if (queue_.size() >= queue_max) return fail(Code::kUnavailable, "The server is busy; try again.");
    queue_.push_back(std::move(work));
    return {};
  }
  size_t run();

  size_t queue_max = 64;

 private:
  std::deque<std::function<void()>> queue_;
};

}  // namespace cresset::testing
