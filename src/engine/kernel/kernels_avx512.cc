// AVX-512 with VNNI.
#include "engine/kernel/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include "engine/kernel/unit_avx512.h"
//
#include "engine/kernel/kernels_simd.h"

namespace cresset::engine {
const Kernels* const kAvx512Kernels = &kTable;
}

#else
namespace cresset::engine {
const Kernels* const kAvx512Kernels = nullptr;
}
#endif
