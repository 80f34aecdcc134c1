// The roofline of this machine under one set of kernels: what the pool's threads can read and multiply when
// they do nothing else. On the leader.
#pragma once

#include "engine/engine.h"
#include "engine/kernel/kernels.h"
#include "engine/kernel/peaks.h"
#include "engine/run/pool.h"
#include "sys/cpu.h"
#include "sys/env.h"

namespace cresset::engine {

// The loops that use the instructions of these kernels.
const Peaks& peaks_of(const Kernels& kernels);

// How much is done for each figure; the defaults take about a second in all.
struct RooflineEffort {
  size_t dram_bytes = size_t{1} << 30, l3_bytes = size_t{12} << 20,
         l2_bytes = size_t{1} << 20;        // all threads
  uint64_t bytes_read = uint64_t{1} << 31;  // in a repetition
  uint64_t steps = 6'000'000;
  int repetitions = 3;  // the best counts: a roof is what the machine can do
};

// A set too large for the memory that is free is left out (0), as is bfloat16 where the CPU has none.
Roofline measure_roofline(sys::Env& clock, Pool& pool, const Peaks& peaks, const sys::CpuFeatures& cpu,
                          const RooflineEffort& effort = {});

}  // namespace cresset::engine
