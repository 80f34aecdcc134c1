#include "engine/run/pool.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "sys/cpu.h"

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

// True when `value` stopped being `old` while polling.
bool poll(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return true;
    relax();
  }
  return false;
}

// Returns when `value` is no longer `old`.
void sleep_while(const std::atomic<uint32_t>& value, uint32_t old) {
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

constexpr int kThreadsMax = 255;
constexpr int kStrikes = 3;
constexpr sys::Instant kFewerLeast = std::chrono::milliseconds(50), kFewerMost = std::chrono::seconds(1);

}  // namespace

int Worker::count() const {
  return pool_.active_;
}

void Worker::wait(uint32_t generation, sys::Env* meter) {
  const sys::Instant begun = meter == nullptr ? sys::Instant{0} : meter->now();
  if (!poll(pool_.generation_, generation)) {
    const sys::Instant asleep = pool_.clock_ == nullptr ? sys::Instant{0} : pool_.clock_->now();
    sleep_while(pool_.generation_, generation);
    if (pool_.clock_ != nullptr) {
      const sys::Instant slept = pool_.clock_->now() - asleep;
      pool_.slept_ns_[static_cast<size_t>(index_)].fetch_add(slept.count(), std::memory_order_relaxed);
    }
  }
  if (meter != nullptr) waited_ += meter->now() - begun;
}

size_t Worker::begin_phase() {
  // The counters of the phase after this one are cleared by thread 0 now: everyone has left the phase before
  // this one (its barrier), and nobody enters the next before this one's barrier.
  const size_t current = phase_ % Pool::kCounters;
  phase_++;
  if (index_ == 0) pool_.clear_counters(phase_ % Pool::kCounters);
  return current;
}

std::atomic<size_t>& Worker::counter(size_t phase, size_t thread) {
  return pool_.counters_[phase * static_cast<size_t>(pool_.threads_) + thread].next;
}

void Pool::clear_counters(size_t set) {
  const auto threads = static_cast<size_t>(threads_);
  for (size_t t = 0; t < threads; ++t) counters_[set * threads + t].next.store(0, std::memory_order_relaxed);
}

Pool::Pool(int threads, sys::Env* clock)
    : threads_(threads),
      active_(threads),
      clock_(clock),
      counters_(kCounters * static_cast<size_t>(threads)),
      slept_ns_(std::make_unique<std::atomic<int64_t>[]>(static_cast<size_t>(threads))),
      fewer_for_(kFewerLeast) {
  CHECK(threads >= 1 && threads <= kThreadsMax);
  cores_ = sys::read_allowed_cores();
  if (cores_.size() != static_cast<size_t>(threads)) cores_.clear();
  for (int i = 1; i < threads; ++i) others_.emplace_back([this, i] { serve(i); });
}

Pool::~Pool() {
  stopping_.store(true);
  job_.fetch_add(256, std::memory_order_release);
  job_.notify_all();
  for (auto& thread : others_) thread.join();
}

void Pool::run(const std::function<void(Worker&)>& work) {
  const sys::Instant begun = clock_ == nullptr ? sys::Instant{0} : clock_->now();
  active_ = threads_ > 1 && clock_ != nullptr && begun < fewer_until_ ? threads_ - 1 : threads_;
  work_ = &work;
  clear_counters(0);
  for (int i = 0; i < threads_; ++i) slept_ns_[static_cast<size_t>(i)].store(0, std::memory_order_relaxed);
  if (active_ > 1) {
    const uint32_t number = job_.load(std::memory_order_relaxed) / 256 + 1;
    job_.store(number * 256 + static_cast<uint32_t>(active_), std::memory_order_release);
    job_.notify_all();
  }
  Worker worker(*this, 0);
  work(worker);
  worker.finish_phase([] {});
  if (clock_ != nullptr && active_ == threads_ && threads_ > 1) judge(begun, clock_->now());
}

// A run that took long while a thread slept for most of it: some other thread was not let run.
void Pool::judge(sys::Instant begun, sys::Instant ended) {
  int64_t longest = 0;
  for (int i = 0; i < threads_; ++i)
    longest = std::max(longest, slept_ns_[static_cast<size_t>(i)].load(std::memory_order_relaxed));
  if (longest * 5 < (ended - begun).count() * 2) {
    strikes_ = 0;
    fewer_for_ = kFewerLeast;
    return;
  }
  if (++strikes_ < kStrikes) return;
  strikes_ = kStrikes - 1;  // the next trial has one run to do better
  fewer_until_ = ended + fewer_for_;
  fewer_for_ = std::min(2 * fewer_for_, kFewerMost);
}

void Pool::serve(int index) {
  if (!cores_.empty()) sys::keep_to_cores({cores_[static_cast<size_t>(index)]});
  uint32_t seen = 0;
  for (;;) {
    if (!poll(job_, seen)) sleep_while(job_, seen);
    seen = job_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    if (static_cast<uint32_t>(index) >= seen % 256) continue;
    Worker worker(*this, index);
    (*work_)(worker);
    worker.finish_phase([] {});
  }
}

bool Pool::arrive() {
  // Read first: once all have arrived the run may end, and the next may be of fewer threads.
  const auto all = static_cast<uint32_t>(active_);
  return arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == all;
}

void Pool::release() {
  const bool has_others = active_ > 1;  // read before they go: this may be the run's end, and the next begins
  arrived_.store(0, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  if (has_others) generation_.notify_all();
}

}  // namespace cresset::engine
