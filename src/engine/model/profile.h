// Profile: where forward passes spend their time, by part, for `bench --only kernels`. Forward marks the end
// of each part on each thread; what a thread waited at barriers in between counts as waiting. Each thread
// writes its own row; the leader reads when no pass runs.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "engine/engine.h"
#include "sys/env.h"

namespace cresset::engine {

class Profile {
 public:
  Profile(sys::Env& clock, int threads) : clock_(clock), threads_(static_cast<size_t>(threads)) {}

  sys::Env& clock() const { return clock_; }

  // A thread enters a pass.
  void begin(int thread) {
    Thread& at = threads_[static_cast<size_t>(thread)];
    at.marked = clock_.now();
    at.waited = sys::Instant(0);
  }
  // What passed since the last mark was `part`, but for the waiting. `waited`: of this pass, so far.
  void mark(int thread, Part part, sys::Instant waited) {
    Thread& at = threads_[static_cast<size_t>(thread)];
    const sys::Instant now = clock_.now(), idle = waited - at.waited;
    at.spent[static_cast<size_t>(part)] += now - at.marked - idle;
    at.spent[static_cast<size_t>(Part::kWaiting)] += idle;
    at.marked = now;
    at.waited = waited;
  }

  // Of all threads together.
  PartSeconds seconds() const {
    PartSeconds out{};
    for (const Thread& thread : threads_) {
      for (size_t p = 0; p < kPartCount; ++p)
        out[p] += std::chrono::duration<double>(thread.spent[p]).count();
    }
    return out;
  }

 private:
  struct alignas(64) Thread {
    sys::Instant marked{0}, waited{0};
    std::array<sys::Instant, kPartCount> spent{};
  };
  sys::Env& clock_;
  std::vector<Thread> threads_;
};

}  // namespace cresset::engine
