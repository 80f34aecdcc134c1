// Peaks: loops that do nothing but read memory or multiply, one table per instruction set, so that `bench`
// can say what share of the machine a forward pass reaches. Each table uses the instructions that the kernels
// of its set multiply with. Called by run/roofline.cc, which times them; they know no clock.
//
// This header is included by files compiled for special instructions: plain data and pointers only.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cresset::engine {

// `run(steps)` does steps * operations_per_step operations (a multiply and its addition are two) in
// registers. What it returns depends on all of them, so that none is left out.
struct PeakLoop {
  uint64_t (*run)(uint64_t steps);
  uint64_t operations_per_step;
};

struct Peaks {
  const char* int8_instruction;  // "vpdpbusd"
  // Reads `bytes` (a multiple of kPeakReadBytes) at `p`, aligned to 64.
  uint64_t (*read)(const unsigned char* p, size_t bytes);
  PeakLoop int8, float32;
  PeakLoop bfloat16;  // run is null where the set has none; else it needs a CPU with AVX512_BF16
};

constexpr size_t kPeakReadBytes = 256;
constexpr size_t kPeakChains = 12;  // independent sums: more than an operation's latency times its units

// The latter two are null where the program was built without them.
extern const Peaks* const kScalarPeaks;
extern const Peaks* const kAvx2Peaks;
extern const Peaks* const kAvx512Peaks;

}  // namespace cresset::engine
