#include "engine/run/roofline.h"

#include <gtest/gtest.h>

#include <atomic>

#include "engine/kernel/dispatch.h"
#include "testing/ticking_env.h"

namespace cresset::engine {
namespace {

// Every figure takes one tick of the clock: a millisecond.
TEST(Roofline, ARateIsWhatAllThreadsDidPerSecond) {
  testing::TickingEnv clock(std::chrono::milliseconds(1));
  Pool pool(2);
  const RooflineEffort effort{.dram_bytes = 1 << 16,
                              .l3_bytes = 1 << 14,
                              .l2_bytes = 1 << 12,
                              .bytes_read = 1 << 16,
                              .steps = 100,
                              .repetitions = 2};
  for (const KernelKind kind : {KernelKind::kScalar, KernelKind::kAvx2, KernelKind::kAvx512}) {
    sys::CpuFeatures cpu = sys::read_cpu_features();
    const auto kernels = choose_kernels(kind, cpu);
    if (!kernels) continue;
    const Peaks& peaks = peaks_of(**kernels);
    const Roofline roofline = measure_roofline(clock, pool, peaks, cpu, effort);
    EXPECT_EQ(roofline.threads, 2);
    for (const double rate : {roofline.dram_bytes_s, roofline.l3_bytes_s, roofline.l2_bytes_s})
      EXPECT_DOUBLE_EQ(rate, 65536 * 1e3);
    const auto of = [&](const PeakLoop& loop) {
      return 100.0 * static_cast<double>(loop.operations_per_step) * 2 * 1e3;
    };
    EXPECT_DOUBLE_EQ(roofline.int8_operations_s, of(peaks.int8));
    EXPECT_DOUBLE_EQ(roofline.float32_operations_s, of(peaks.float32));
    EXPECT_EQ(roofline.bfloat16_operations_s > 0, kind == KernelKind::kAvx512 && cpu.avx512_bf16);
  }
}

TEST(Roofline, ASetThatDoesNotFitTheMemoryIsLeftOut) {
  testing::TickingEnv clock(std::chrono::milliseconds(1));
  Pool pool(1);
  const RooflineEffort effort{.dram_bytes = size_t{1} << 60,
                              .l3_bytes = 1 << 12,
                              .l2_bytes = 1 << 12,
                              .bytes_read = 1,
                              .steps = 1,
                              .repetitions = 1};
  const Roofline roofline = measure_roofline(clock, pool, *kScalarPeaks, {}, effort);
  EXPECT_EQ(roofline.dram_bytes_s, 0);
  EXPECT_GT(roofline.l3_bytes_s, 0);
}

}  // namespace
}  // namespace cresset::engine
