// AVX2 with FMA: int8 products as the kernels make them, by vpmaddubsw, vpmaddwd and an addition.
#include "engine/kernel/peaks.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

namespace cresset::engine {
namespace {

struct Unit {
  using Int = __m256i;
  using Float = __m256;
  static void keep(Int& v) { asm volatile("" : "+x"(v)); }
  static void keep(Float& v) { asm volatile("" : "+x"(v)); }
  static Int load(const unsigned char* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  static Int either(Int a, Int b) { return _mm256_or_si256(a, b); }
  static uint64_t total(Int v) {
    uint64_t parts[4];
    __builtin_memcpy(parts, &v, sizeof parts);
    return parts[0] + parts[1] + parts[2] + parts[3];
  }
  static uint64_t total(Float v) { return total(_mm256_castps_si256(v)); }
  struct Int8 {
    using Vector = Int;
    static constexpr uint64_t kOperations = 32 * 2;
    static Int start() { return _mm256_set1_epi8(1); }
    static Int step(Int sum, Int x) {
      return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), _mm256_set1_epi16(1)));
    }
  };
  struct Float32 {
    using Vector = Float;
    static constexpr uint64_t kOperations = 8 * 2;
    static Float start() { return _mm256_set1_ps(1e-9f); }
    static Float step(Float sum, Float x) { return _mm256_fmadd_ps(x, x, sum); }
  };
};

}  // namespace
}  // namespace cresset::engine

#include "engine/kernel/peaks_simd.h"

namespace cresset::engine {
namespace {

constexpr Peaks kTable{.int8_instruction = "vpmaddubsw",
                       .read = read_all,
                       .int8 = kLoop<Unit::Int8>,
                       .float32 = kLoop<Unit::Float32>,
                       .bfloat16 = {nullptr, 0}};

}  // namespace
const Peaks* const kAvx2Peaks = &kTable;
}  // namespace cresset::engine

#else
namespace cresset::engine {
const Peaks* const kAvx2Peaks = nullptr;
}
#endif
