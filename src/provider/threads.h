// The two ways off a thread that the upper floors know: Schedule, the loop as they see it, and Porter, the
// one thread for what may block (files, big bodies). As interfaces, so that the whole gateway also runs in
// simulation.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/result.h"

namespace cresset::provider {

class Schedule {
 public:
  virtual ~Schedule() = default;
  // Runs `work` on the loop; any thread.
  virtual void post(std::function<void()> work) = 0;
  // Runs `work` on the loop after `delay`; the returned function cancels it. Both on the loop.
  virtual std::function<void()> after(std::chrono::milliseconds delay, std::function<void()> work) = 0;
};

class Porter {
 public:
  virtual ~Porter() = default;
  // Queues `work`, run in order, one at a time; kUnavailable when the queue is full. Any thread.
  virtual Status post(std::function<void()> work) = 0;
};

// A thread of its own. Its end waits for the work in hand and drops what is queued.
std::unique_ptr<Porter> make_porter_thread(size_t queue_max);

}  // namespace cresset::provider
