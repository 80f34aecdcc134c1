#include "engine/kernel/dispatch.h"

namespace cresset::engine {

Result<const Kernels*> choose_kernels(KernelKind kind, const sys::CpuFeatures& cpu) {
  const bool has_avx512 = kAvx512Kernels != nullptr && cpu.avx512_vnni;
  const bool has_bf16 = has_avx512 && kAvx512Bf16Kernels != nullptr && cpu.avx512_bf16;
  const Kernels* const avx512 = has_bf16 ? kAvx512Bf16Kernels : kAvx512Kernels;
  const bool has_avx2 = kAvx2Kernels != nullptr && cpu.avx2;
  switch (kind) {
    case KernelKind::kAuto:
      return has_avx512 ? avx512 : has_avx2 ? kAvx2Kernels : kScalarKernels;
    case KernelKind::kScalar:
      return kScalarKernels;
    case KernelKind::kAvx2:
      if (has_avx2) return kAvx2Kernels;
      return fail(Code::kUnsupported, "the avx2 kernels need a CPU with AVX2, FMA and F16C", "kernels");
    case KernelKind::kAvx512:
      if (has_avx512) return avx512;
      return fail(Code::kUnsupported, "the avx512 kernels need a CPU with AVX-512 F, BW, VL, DQ and VNNI",
                  "kernels");
  }
  return fail(Code::kInternal, "no such kernel kind");
}

Result<std::string> kernel_name_for(KernelKind kind) {
  CRESSET_TRY(kernels, choose_kernels(kind, sys::read_cpu_features()));
  return std::string(kernels->name);
}

}  // namespace cresset::engine
