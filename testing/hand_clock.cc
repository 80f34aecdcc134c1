#include "testing/hand_clock.h"

namespace cresset::testing {

void HandEnv::fill_random(std::span<std::byte> out) {
  for (std::byte& byte : out) {  // splitmix64, one byte a step
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    byte = static_cast<std::byte>((z ^ (z >> 31)) & 255);
  }
}

void HandSchedule::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(work));
}

std::function<void()> HandSchedule::after(std::chrono::milliseconds delay, std::function<void()> work) {
  const std::pair key{env_.now() + delay, ++timer_};
  timers_[key] = std::move(work);
  return [this, key] { timers_.erase(key); };
}

size_t HandSchedule::run() {
  size_t count = 0;
  while (true) {
    std::function<void()> work;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) return count;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
    ++count;
  }
}

void HandSchedule::advance(std::chrono::milliseconds by) {
  const sys::Instant end = env_.now() + by;
  while (!timers_.empty() && timers_.begin()->first.first <= end) {
    auto node = timers_.extract(timers_.begin());
    env_.advance(node.key().first - env_.now());
    node.mapped()();
    run();
  }
  env_.advance(end - env_.now());
}

size_t HandPorter::run() {
  size_t count = 0;
  for (; !queue_.empty(); ++count) {
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    work();
  }
  return count;
}

}  // namespace cresset::testing
