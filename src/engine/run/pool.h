// Pool: the threads that compute. A forward pass is one function run by every thread at once (SPMD); inside
// it, parallel_for hands out work in chunks and ends with a barrier. Waiting spins briefly and then sleeps,
// so a busy neighbour on one core does not starve the other.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "sys/env.h"

namespace cresset::engine {

class Pool;

// One thread's view of a running function. Every thread must make the same calls in the same order.
class Worker {
 public:
  Worker(Pool& pool, int index) : pool_(pool), index_(index) {}
  int index() const { return index_; }
  int count() const;

  // Calls work(begin, end) for chunks of [0, n), each on one thread; returns when all are done on all
  // threads.
  template <class Work>
  void parallel_for(size_t n, size_t chunk, Work&& work) {
    std::atomic<size_t>& next = begin_phase();
    for (size_t begin; (begin = next.fetch_add(chunk, std::memory_order_relaxed)) < n;) {
      work(begin, begin + chunk < n ? begin + chunk : n);
    }
    barrier();
  }
  // Runs `work` on one thread; the others wait.
  template <class Work>
  void single(Work&& work) {
    if (index_ == 0) work();
    barrier();
  }
  void barrier();
  // What this thread has waited at barriers, while the pool measures it.
  sys::Instant waited() const { return waited_; }

 private:
  std::atomic<size_t>& begin_phase();
  Pool& pool_;
  int index_;
  uint32_t phase_ = 0;
  sys::Instant waited_{0};
};

class Pool {
 public:
  explicit Pool(int threads);  // the caller of run() is thread 0; the pool starts the others
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }
  // Runs `work` on every thread; returns when all have returned. One caller at a time.
  void run(const std::function<void(Worker&)>& work);
  // Between runs: measures by `clock` how long threads wait; null: does not.
  void measure_waiting(sys::Env* clock) { clock_ = clock; }

 private:
  friend class Worker;
  void serve(int index);
  void wait_at_barrier();

  // Three counters in turn: while one is handed out, the next is already zero and the last may still be read.
  static constexpr uint32_t kCounters = 3;
  struct alignas(64) Counter {
    std::atomic<size_t> next{0};
  };

  int threads_;
  sys::Env* clock_ = nullptr;
  std::vector<std::thread> others_;
  const std::function<void(Worker&)>* work_ = nullptr;
  Counter counters_[kCounters];
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};  // of the barrier
  alignas(64) std::atomic<uint32_t> job_{0};         // odd numbers never used: increments start a run
  std::atomic<bool> stopping_{false};
};

}  // namespace cresset::engine
