#include "engine/kernel/peaks.h"

#include <gtest/gtest.h>

#include <vector>

#include "sys/cpu.h"

namespace cresset::engine {
namespace {

std::vector<const Peaks*> peaks_here() {
  const sys::CpuFeatures cpu = sys::read_cpu_features();
  std::vector<const Peaks*> out{kScalarPeaks};
  if (cpu.avx2 && kAvx2Peaks != nullptr) out.push_back(kAvx2Peaks);
  if (cpu.avx512_vnni && kAvx512Peaks != nullptr) out.push_back(kAvx512Peaks);
  return out;
}

TEST(Peaks, EveryByteIsRead) {
  alignas(64) unsigned char bytes[2 * kPeakReadBytes] = {};
  for (const Peaks* peaks : peaks_here()) {
    EXPECT_EQ(peaks->read(bytes, sizeof bytes), 0u);
    for (unsigned char& byte : bytes) {
      byte = 1;
      EXPECT_NE(peaks->read(bytes, sizeof bytes), 0u) << peaks->int8_instruction;
      byte = 0;
    }
  }
}

// A step on vectors of ones adds a known number to each chain: all of the multiplications were made.
TEST(Peaks, EveryMultiplicationIsMade) {
  for (const Peaks* peaks : peaks_here()) {
    const uint64_t steps = 5;
    const bool is_scalar = peaks == kScalarPeaks;
    // Vectors: two sums of 32 bits a word, each with four products a step.
    const uint64_t word = is_scalar ? steps : 4 * steps + (4 * steps << 32);
    const uint64_t words = is_scalar ? 1 : peaks->int8.operations_per_step / kPeakChains / 2 / 8;
    EXPECT_EQ(peaks->int8.run(steps), kPeakChains * words * word) << peaks->int8_instruction;
    EXPECT_EQ(peaks->float32.run(0), 0u);
    EXPECT_NE(peaks->float32.run(steps), 0u);
  }
}

}  // namespace
}  // namespace cresset::engine
