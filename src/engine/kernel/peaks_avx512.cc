// AVX-512 with VNNI; the bfloat16 loop only where the CPU has AVX512_BF16.
#include "engine/kernel/peaks.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__) && defined(__AVX512BF16__)

#include <immintrin.h>

namespace cresset::engine {
namespace {

struct Unit {
  using Int = __m512i;
  using Float = __m512;
  static void keep(Int& v) { asm volatile("" : "+v"(v)); }
  static void keep(Float& v) { asm volatile("" : "+v"(v)); }
  static Int load(const unsigned char* p) { return _mm512_load_si512(p); }
  static Int either(Int a, Int b) { return _mm512_or_si512(a, b); }
  static uint64_t total(Int v) { return static_cast<uint64_t>(_mm512_reduce_add_epi64(v)); }
  static uint64_t total(Float v) { return total(_mm512_castps_si512(v)); }
  struct Int8 {
    using Vector = Int;
    static constexpr uint64_t kOperations = 64 * 2;
    static Int start() { return _mm512_set1_epi8(1); }
    static Int step(Int sum, Int x) { return _mm512_dpbusd_epi32(sum, x, x); }
  };
  struct Float32 {
    using Vector = Float;
    static constexpr uint64_t kOperations = 16 * 2;
    static Float start() { return _mm512_set1_ps(1e-9f); }
    static Float step(Float sum, Float x) { return _mm512_fmadd_ps(x, x, sum); }
  };
  struct Bfloat16 {
    using Vector = Float;
    static constexpr uint64_t kOperations = 32 * 2;
    static Float start() { return _mm512_set1_ps(1e-9f); }
    static Float step(Float sum, Float x) {
      __m512bh pairs;
      __builtin_memcpy(&pairs, &x, sizeof pairs);
      return _mm512_dpbf16_ps(sum, pairs, pairs);
    }
  };
};

}  // namespace
}  // namespace cresset::engine

#include "engine/kernel/peaks_simd.h"

namespace cresset::engine {
namespace {

constexpr Peaks kTable{.int8_instruction = "vpdpbusd",
                       .read = read_all,
                       .int8 = kLoop<Unit::Int8>,
                       .float32 = kLoop<Unit::Float32>,
                       .bfloat16 = kLoop<Unit::Bfloat16>};

}  // namespace
const Peaks* const kAvx512Peaks = &kTable;
}  // namespace cresset::engine

#else
namespace cresset::engine {
const Peaks* const kAvx512Peaks = nullptr;
}
#endif
