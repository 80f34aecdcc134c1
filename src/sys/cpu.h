// What this CPU can do, asked once at start and passed on.
#pragma once

#include <string>
#include <vector>

namespace cresset::sys {

struct CpuFeatures {
  bool avx2 = false;    // with FMA and F16C
  bool avx512 = false;  // F, BW, VL, DQ
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  std::string name;      // the model name the CPU reports
  int cores_online = 1;  // that this process may use
};

CpuFeatures read_cpu_features();

// Numbers of the cores that the calling thread may use; threads that it starts may use the same.
std::vector<int> read_allowed_cores();
// From now on the calling thread uses only these. Best effort.
void keep_to_cores(const std::vector<int>& cores);

// Bytes of physical memory, and what is free for use now (0 where unknown).
struct Memory {
  unsigned long long total = 0, available = 0;
};
Memory read_memory();
// The calling thread takes only what others leave: the processor and the disk. Best effort.
void lower_thread_priority();
// Resident bytes of this process (0 where unknown).
unsigned long long read_resident_bytes();

}  // namespace cresset::sys
