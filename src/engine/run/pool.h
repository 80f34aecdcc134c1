// Pool: the threads that compute. A forward pass is one function run by every thread at once (SPMD); inside
// it, parallel_for hands out work in chunks. Waiting spins briefly and then sleeps.
//
// A busy neighbour on one core must not hold up the others at every barrier: with a clock, a pool whose
// threads wait for each other most of the time runs with a thread less for a while, then tries again (what is
// computed does not depend on the number of threads).
//
// Of a pool of as many threads as there are cores, each keeps to a core of its own. Left to the system, a
// thread that wakes while another program has its core for a moment joins its neighbour on theirs, and both
// take turns there for some 20 ms beside a core with nothing to do. Only thread 0, the caller's, goes where it
// can: it may have to compute alone beside a program that keeps one core busy.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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

  // Calls work(begin, end) for chunks of [0, n), each on one thread. Everything of the calls before is done
  // when the first chunk starts; this call's own is done on all threads when the next call starts, or the run
  // ends, not when it returns. A single chunk is run by the last thread to arrive, with no barrier of its own
  // after it: decoding is full of these.
  template <class Work>
  void parallel_for(size_t n, size_t chunk, Work&& work) {
    if (n == 0) return;
    if (n <= chunk) return finish_phase([&] { work(size_t{0}, n); });
    barrier();
    // Each thread walks through a stretch of its own, as memory likes it, and then helps the others.
    const size_t chunks = (n + chunk - 1) / chunk, threads = static_cast<size_t>(count());
    const size_t phase = begin_phase();
    for (size_t k = 0; k < threads; ++k) {
      const size_t owner = (static_cast<size_t>(index_) + k) % threads;
      const size_t first = chunks * owner / threads, last = chunks * (owner + 1) / threads;
      std::atomic<size_t>& next = counter(phase, owner);
      for (size_t c; (c = first + next.fetch_add(1, std::memory_order_relaxed)) < last;)
        work(c * chunk, (c + 1) * chunk < n ? (c + 1) * chunk : n);
    }
    is_open_ = true;
  }
  // Returns when the calls before are done on all threads.
  void barrier() {
    if (is_open_) finish_phase([] {});
  }
  // What this thread has waited at barriers, while the pool measures it.
  sys::Instant waited() const { return waited_; }

 private:
  friend class Pool;
  // A barrier whose last thread does `work` before it lets the others go.
  template <class Work>
  void finish_phase(Work&& work);
  size_t begin_phase();  // its counters' number
  std::atomic<size_t>& counter(size_t phase, size_t thread);
  void wait(uint32_t generation, sys::Env* meter);

  Pool& pool_;
  int index_;
  uint32_t phase_ = 0;
  bool is_open_ = false;  // what was handed out last may still be in work
  sys::Instant waited_{0};
};

class Pool {
 public:
  // The caller of run() is thread 0; the pool starts the others. Without a clock it always uses all of them.
  explicit Pool(int threads, sys::Env* clock = nullptr);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }
  // Of the last run.
  int threads_used() const { return active_; }
  // Runs `work` on every thread; returns when all have returned. One caller at a time.
  void run(const std::function<void(Worker&)>& work);
  // Between runs: measures by `clock` all that threads wait; null: does not.
  void measure_waiting(sys::Env* clock) { meter_ = clock; }

 private:
  friend class Worker;
  void serve(int index);
  void judge(sys::Instant begun, sys::Instant ended);
  void clear_counters(size_t set);
  bool arrive();  // true on the last thread, which must release()
  void release();

  // Three sets of counters in turn, one counter for each thread's stretch: while one set is handed out, the
  // next is already zero and the last may still be read.
  static constexpr uint32_t kCounters = 3;
  struct alignas(64) Counter {
    std::atomic<size_t> next{0};
  };

  const int threads_;
  int active_;  // threads of this run
  sys::Env* const clock_;
  std::vector<int> cores_;  // of each thread; empty: the system decides
  sys::Env* meter_ = nullptr;
  std::vector<std::thread> others_;
  const std::function<void(Worker&)>* work_ = nullptr;
  std::vector<Counter> counters_;  // [set][thread]
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};  // of the barrier
  // A run's number times 256 plus how many threads take part. A thread that does not may miss runs.
  alignas(64) std::atomic<uint32_t> job_{0};
  std::atomic<bool> stopping_{false};

  // How long each thread of this run slept at barriers.
  std::unique_ptr<std::atomic<int64_t>[]> slept_ns_;
  int strikes_ = 0;  // runs in which waiting was most of the time, one after another
  sys::Instant fewer_until_{0}, fewer_for_{0};
};

template <class Work>
void Worker::finish_phase(Work&& work) {
  is_open_ = false;
  const uint32_t generation = pool_.generation_.load(std::memory_order_acquire);
  sys::Env* const meter = pool_.meter_;  // read before all have arrived: it may change behind the run's end
  if (!pool_.arrive()) return wait(generation, meter);
  work();
  pool_.release();
}

}  // namespace cresset::engine
