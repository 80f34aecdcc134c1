#include "engine/run/roofline.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace cresset::engine {
namespace {

// Pages that each thread touches first, as the weights' are when they are packed.
class Area {
 public:
  explicit Area(size_t bytes) : bytes_(bytes) {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    data_ = data == MAP_FAILED ? nullptr : static_cast<unsigned char*>(data);
  }
  ~Area() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;
  unsigned char* data() const { return data_; }

 private:
  size_t bytes_;
  unsigned char* data_;
};

class Meter {
 public:
  Meter(sys::Env& clock, Pool& pool, int repetitions)
      : clock_(clock), pool_(pool), repetitions_(repetitions) {}

  // `amount` per second, at best, of `work`(thread) -> anything, on all threads at once.
  template <class Work>
  double rate(double amount, Work work) {
    double best = 0;
    for (int i = 0; i < repetitions_; ++i) {
      const sys::Instant begun = clock_.now();
      pool_.run([&](Worker& worker) { seen_.fetch_xor(work(worker.index()), std::memory_order_relaxed); });
      const double seconds = std::chrono::duration<double>(clock_.now() - begun).count();
      if (seconds > 0) best = std::max(best, amount / seconds);
    }
    return best;
  }

  double read_rate(const Peaks& peaks, size_t bytes, uint64_t bytes_read) {
    const auto threads = static_cast<size_t>(pool_.threads());
    const size_t share = bytes / threads / kPeakReadBytes * kPeakReadBytes;
    const Area area(std::max(share * threads, kPeakReadBytes));
    if (area.data() == nullptr || share == 0) return 0;
    const auto begin_of = [&](int thread) { return area.data() + static_cast<size_t>(thread) * share; };
    pool_.run([&](Worker& worker) { std::memset(begin_of(worker.index()), worker.index() + 1, share); });
    const uint64_t passes = std::max<uint64_t>(1, bytes_read / (share * threads));
    return rate(static_cast<double>(share * threads * passes), [&](int thread) {
      uint64_t seen = 0;
      for (uint64_t pass = 0; pass < passes; ++pass) seen += peaks.read(begin_of(thread), share);
      return seen;
    });
  }

  double multiply_rate(const PeakLoop& loop, uint64_t steps) {
    const double operations = static_cast<double>(loop.operations_per_step) * static_cast<double>(steps);
    return rate(operations * pool_.threads(), [&](int) { return loop.run(steps); });
  }

 private:
  sys::Env& clock_;
  Pool& pool_;
  int repetitions_;
  std::atomic<uint64_t> seen_{0};  // keeps what the loops computed
};

}  // namespace

const Peaks& peaks_of(const Kernels& kernels) {
  if ((&kernels == kAvx512Kernels || &kernels == kAvx512Bf16Kernels) && kAvx512Peaks != nullptr)
    return *kAvx512Peaks;
  if (&kernels == kAvx2Kernels && kAvx2Peaks != nullptr) return *kAvx2Peaks;
  return *kScalarPeaks;
}

Roofline measure_roofline(sys::Env& clock, Pool& pool, const Peaks& peaks, const sys::CpuFeatures& cpu,
                          const RooflineEffort& effort) {
  Meter meter(clock, pool, effort.repetitions);
  Roofline out;
  out.int8_instruction = peaks.int8_instruction;
  out.threads = pool.threads();
  const unsigned long long available = sys::read_memory().available;
  if (available == 0 || available / 5 * 4 > effort.dram_bytes)
    out.dram_bytes_s = meter.read_rate(peaks, effort.dram_bytes, effort.bytes_read);
  out.l3_bytes_s = meter.read_rate(peaks, effort.l3_bytes, effort.bytes_read);
  out.l2_bytes_s = meter.read_rate(peaks, effort.l2_bytes, effort.bytes_read);
  out.int8_operations_s = meter.multiply_rate(peaks.int8, effort.steps);
  out.float32_operations_s = meter.multiply_rate(peaks.float32, effort.steps);
  if (peaks.bfloat16.run != nullptr && cpu.avx512_bf16)
    out.bfloat16_operations_s = meter.multiply_rate(peaks.bfloat16, effort.steps);
  return out;
}

}  // namespace cresset::engine
