// Which kernel table this machine uses.
#pragma once

#include "base/result.h"
#include "engine/engine.h"
#include "engine/kernel/kernels.h"
#include "sys/cpu.h"

namespace cresset::engine {

// kAuto: the best that the CPU and this build have. A kind that either lacks: kUnsupported, saying which
// features.
Result<const Kernels*> choose_kernels(KernelKind kind, const sys::CpuFeatures& cpu);

}  // namespace cresset::engine
