// AVX2 with FMA and F16C: the 16 rows of a panel as two registers of 8, one after the other.
#include "engine/kernel/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

namespace cresset::engine {
namespace {

struct Unit {
  static constexpr const char* kName = "avx2";
  static constexpr int kFloats = 8;
  static constexpr size_t kTokens = 4;
  static constexpr bool kIsCentred = false;  // small bytes: pairs of products are added in 16 bits
  static constexpr size_t kQueries = 2;
  static constexpr size_t kGroup = 2;
  using Float = __m256;
  using Int = __m256i;

  static Float zero() { return _mm256_setzero_ps(); }
  static Float set(float v) { return _mm256_set1_ps(v); }
  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static Float load_unaligned(const unsigned char* p) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  static void store(float* p, Float v) { _mm256_storeu_ps(p, v); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float negate(Float a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
  static Float absolute(Float a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static Float round(Float a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Float power_of_two(Float n) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
  }
  static Float zero_unless_greater(Float x, Float bound, Float v) {
    return _mm256_and_ps(_mm256_cmp_ps(x, bound, _CMP_GT_OQ), v);
  }
  static Float load_half(const unsigned char* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Float load_bfloat(const unsigned char* p) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
  }
  static Float load_u8(const unsigned char* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Float load_i8(const unsigned char* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }

  static Int load_int(const unsigned char* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Int int_zero() { return _mm256_setzero_si256(); }
  static Int int_add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static Int set_int(int32_t v) { return _mm256_set1_epi32(v); }
  static void store_int(unsigned char* p, Int v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  static Int recentre(Int q, int) { return q; }
  template <int kShift>
  static Int shifted_right(int32_t v) {
    return _mm256_srai_epi32(_mm256_set1_epi32(v), kShift);
  }
  static Int low_nibbles(Int a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
  static Int high_nibbles(Int a) { return _mm256_and_si256(_mm256_srli_epi16(a, 4), _mm256_set1_epi8(15)); }
  // Bit 4r+i of the word's half for this part becomes 16 in byte i of lane r: spread the 32 bits over 32
  // bytes.
  static Int add_fifth_bits(Int q, const unsigned char* word, int part) {
    int32_t bits;
    __builtin_memcpy(&bits, word + 4 * part, 4);
    const Int spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32(bits), _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                                  2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
    const Int select = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
    const Int set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, select), select);
    return _mm256_or_si256(q, _mm256_and_si256(set, _mm256_set1_epi8(16)));
  }
  template <int kShift>
  static Int add_pairs(Int q, Int pairs) {
    const Int two = _mm256_and_si256(_mm256_srli_epi16(pairs, kShift), _mm256_set1_epi8(3));
    return _mm256_or_si256(q, _mm256_slli_epi16(two, 4));
  }
  // Weights up to 6 bits: pairs of products stay below 2^15 (63 * 127 * 2), so the saturating form is exact.
  // Wider ones are multiplied as 16 bits.
  template <bool kWide>
  static Int dot4(Int acc, Int w, const int8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, 4);
    const Int v = _mm256_set1_epi32(four);
    if constexpr (!kWide) {
      return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, v), _mm256_set1_epi16(1)));
    } else {
      const Int even = _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(255)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8));
      const Int odd = _mm256_madd_epi16(_mm256_srli_epi16(w, 8), _mm256_srai_epi16(v, 8));
      return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
    }
  }
  static int32_t quantise16(const Float* v, float inverse, int8_t* out) {
    const Float f = _mm256_set1_ps(inverse);
    const Int a = _mm256_cvtps_epi32(_mm256_mul_ps(v[0], f)), b = _mm256_cvtps_epi32(_mm256_mul_ps(v[1], f));
    alignas(32) int32_t all[16];
    _mm256_store_si256(reinterpret_cast<Int*>(all), a);
    _mm256_store_si256(reinterpret_cast<Int*>(all + 8), b);
    int32_t sum = 0;
    for (int i = 0; i < 16; ++i) {
      out[i] = static_cast<int8_t>(all[i]);
      sum += all[i];
    }
    return sum;
  }
};

}  // namespace
}  // namespace cresset::engine

#include "engine/kernel/kernels_simd.h"

namespace cresset::engine {
const Kernels* const kAvx2Kernels = &kTable;
}

#else
namespace cresset::engine {
const Kernels* const kAvx2Kernels = nullptr;
}
#endif
