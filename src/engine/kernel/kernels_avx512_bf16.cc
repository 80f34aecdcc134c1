// AVX-512 with VNNI and BF16.
#include "engine/kernel/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__) && defined(__AVX512BF16__)

#include "engine/kernel/unit_avx512.h"
//
#include "engine/kernel/kernels_simd.h"

namespace cresset::engine {
const Kernels* const kAvx512Bf16Kernels = &kTable;
}

#else
namespace cresset::engine {
const Kernels* const kAvx512Bf16Kernels = nullptr;
}
#endif
