#include "engine/run/pool.h"

#include "base/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cresset::engine {
namespace {

// About 20 to 50 microseconds of polling before a thread goes to sleep: longer than the gaps inside a forward
// pass.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Returns when `value` is no longer `old`.
void wait_while(std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

int Worker::count() const {
  return pool_.threads_;
}

void Worker::barrier() {
  sys::Env* const clock = pool_.clock_;
  if (clock == nullptr) return pool_.wait_at_barrier();
  const sys::Instant begun = clock->now();
  pool_.wait_at_barrier();
  waited_ += clock->now() - begun;
}

std::atomic<size_t>& Worker::begin_phase() {
  // The counter of the phase after this one is cleared by thread 0 now: everyone has left the phase before
  // this one (its barrier), and nobody enters the next before this one's barrier.
  const uint32_t current = phase_ % Pool::kCounters;
  phase_++;
  if (index_ == 0) pool_.counters_[phase_ % Pool::kCounters].next.store(0, std::memory_order_relaxed);
  return pool_.counters_[current].next;
}

Pool::Pool(int threads) : threads_(threads) {
  CHECK(threads >= 1);
  for (int i = 1; i < threads; ++i) others_.emplace_back([this, i] { serve(i); });
}

Pool::~Pool() {
  stopping_.store(true);
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  for (auto& thread : others_) thread.join();
}

void Pool::run(const std::function<void(Worker&)>& work) {
  work_ = &work;
  counters_[0].next.store(0, std::memory_order_relaxed);
  if (threads_ > 1) {
    job_.fetch_add(1, std::memory_order_release);
    job_.notify_all();
  }
  Worker worker(*this, 0);
  work(worker);
  wait_at_barrier();
}

void Pool::serve(int index) {
  uint32_t seen = 0;
  for (;;) {
    wait_while(job_, seen);
    ++seen;
    if (stopping_.load()) return;
    Worker worker(*this, index);
    (*work_)(worker);
    wait_at_barrier();
  }
}

void Pool::wait_at_barrier() {
  if (threads_ == 1) return;
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(threads_)) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    return;
  }
  wait_while(generation_, generation);
}

}  // namespace cresset::engine
