// AVX-512 with VNNI: 16 rows in one register, VPDPBUSD for the int8 products.
#include "engine/kernel/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

#include <immintrin.h>

namespace cresset::engine {
namespace {

struct Unit {
  static constexpr const char* kName = "avx512-vnni";
  static constexpr int kFloats = 16;
  static constexpr size_t kTokens = 12;
  static constexpr bool kIsCentred = true;  // expanded weights around 128, so that the bias is one load
  static constexpr size_t kQueries = 4;
  static constexpr size_t kGroup = 4;
  using Float = __m512;
  using Int = __m512i;

  static Float zero() { return _mm512_setzero_ps(); }
  static Float set(float v) { return _mm512_set1_ps(v); }
  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static Float load_unaligned(const unsigned char* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float negate(Float a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
  static Float absolute(Float a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
  static Float round(Float a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Float power_of_two(Float n) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
  }
  static Float zero_unless_greater(Float x, Float bound, Float v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_GT_OQ), v);
  }
  static Float load_half(const unsigned char* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Float load_bfloat(const unsigned char* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }
  static Float load_u8(const unsigned char* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Float load_i8(const unsigned char* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }

  static Int load_int(const unsigned char* p) { return _mm512_loadu_si512(p); }
  static Int int_zero() { return _mm512_setzero_si512(); }
  static Int int_add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Float to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  static Int set_int(int32_t v) { return _mm512_set1_epi32(v); }
  static void store_int(unsigned char* p, Int v) { _mm512_storeu_si512(p, v); }
  static Int recentre(Int q, int by) { return _mm512_add_epi8(q, _mm512_set1_epi8(static_cast<char>(by))); }
  template <int kShift>
  static Int shifted_right(int32_t v) {
    return _mm512_srai_epi32(_mm512_set1_epi32(v), kShift);
  }
  static Int low_nibbles(Int a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
  static Int high_nibbles(Int a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15)); }
  static Int add_fifth_bits(Int q, const unsigned char* word, int) {
    unsigned long long mask;
    __builtin_memcpy(&mask, word, 8);
    return _mm512_mask_add_epi8(q, mask, q, _mm512_set1_epi8(16));
  }
  template <int kShift>
  static Int add_pairs(Int q, Int pairs) {
    const Int two = _mm512_and_si512(_mm512_srli_epi16(pairs, kShift), _mm512_set1_epi8(3));
    return _mm512_or_si512(q, _mm512_slli_epi16(two, 4));
  }
  // acc += the four products of each lane's unsigned bytes with the four signed bytes at x.
  template <bool kWide>
  static Int dot4(Int acc, Int w, const int8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, 4);
    return _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(four));
  }
  // 16 values times `inverse`, to nearest, as int8 at out; returns their sum.
  static int32_t quantise16(const Float* v, float inverse, int8_t* out) {
    const Int q = _mm512_cvtps_epi32(_mm512_mul_ps(v[0], _mm512_set1_ps(inverse)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(q));
    return _mm512_reduce_add_epi32(q);
  }
};

}  // namespace
}  // namespace cresset::engine

#include "engine/kernel/kernels_simd.h"

namespace cresset::engine {
const Kernels* const kAvx512Kernels = &kTable;
}

#else
namespace cresset::engine {
const Kernels* const kAvx512Kernels = nullptr;
}
#endif
