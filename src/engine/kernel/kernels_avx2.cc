// AVX2 with FMA and F16C: the 16 rows of a panel as two registers of 8, one after the other.
#include "engine/kernel/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

namespace cresset::engine {
namespace {

struct Unit {
  static constexpr const char* kName = "avx2";
  static constexpr int kFloats = 8;
  // A tile of a product, and of one with wide weights: so many panels, and tokens times panels.
  static constexpr size_t kPanels = 2, kTokens = 6;
  static constexpr size_t kWidePanels = 1, kWideTokens = 4;
  static constexpr size_t kFewColumns = 4;   // beside a block of weights in registers
  static constexpr bool kIsCentred = false;  // small bytes: pairs of products are added in 16 bits
  static constexpr size_t kHeads = 3;        // queries that attention in bfloat16 computes at once
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
  // The 16 lanes folded, halves onto each other: 8, 4, 2, 1.
  static float fold_sum(const Float* v) {
    const Float eight = _mm256_add_ps(v[0], v[1]);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float fold_max(const Float* v) {
    const Float eight = _mm256_max_ps(v[0], v[1]);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static Float load_half(const unsigned char* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Float load_bfloat(const unsigned char* p) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
  }
  static Float swap_neighbours(Float a) { return _mm256_permute_ps(a, 0xB1); }
  static bool any_greater(Float a, Float b) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
  }
  // acc + the products of two pairs of bfloat16, the upper ones first.
  static Float dot_pairs(Float acc, Int a, Int b) {
    const Int upper = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
    acc = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(a, upper)),
                          _mm256_castsi256_ps(_mm256_and_si256(b, upper)), acc);
    return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)),
                           _mm256_castsi256_ps(_mm256_slli_epi32(b, 16)), acc);
  }
  static Int bfloat_bits(Float v) {
    const Int bits = _mm256_castps_si256(v);
    const Int odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const Int up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const Int quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const Int is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(up, quiet, is_nan), 16);
  }
  // 16 floats to bfloat16, to nearest, ties to even.
  static void store_bfloat16(uint16_t* out, const Float* v) {
    const Int both =
        _mm256_permute4x64_epi64(_mm256_packus_epi32(bfloat_bits(v[0]), bfloat_bits(v[1])), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<Int*>(out), both);
  }
  // The same of kFloats pairs, one beside the other.
  static void store_pairs(uint16_t* out, Float even, Float odd) {
    _mm256_storeu_si256(reinterpret_cast<Int*>(out),
                        _mm256_or_si256(bfloat_bits(even), _mm256_slli_epi32(bfloat_bits(odd), 16)));
  }
  // Lane i and lane i + kStep exchanged; the upper lanes of such pairs negated.
  template <int kStep>
  static Float swap(Float v) {
    if constexpr (kStep == 1) return _mm256_permute_ps(v, 0xb1);
    if constexpr (kStep == 2) return _mm256_permute_ps(v, 0x4e);
    if constexpr (kStep == 4) return _mm256_permute2f128_ps(v, v, 1);
  }
  template <int kStep>
  static Float negate_upper(Float v) {
    constexpr float kMinus = -0.0f;
    const Float sign =
        _mm256_setr_ps(0, kStep == 1 ? kMinus : 0, kStep == 2 ? kMinus : 0, kStep < 4 ? kMinus : 0,
                       kStep == 4 ? kMinus : 0, kStep != 2 ? kMinus : 0, kStep != 1 ? kMinus : 0, kMinus);
    return _mm256_xor_ps(v, sign);
  }
  static Float load_u8(const unsigned char* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static Float load_i8(const unsigned char* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }

  // The low and the high four bits of bytes.
  static Float load_low_u4(const unsigned char* p) {
    const Int v = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_cvtepi32_ps(_mm256_and_si256(v, _mm256_set1_epi32(15)));
  }
  static Float load_high_u4(const unsigned char* p) {
    const Int v = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    return _mm256_cvtepi32_ps(_mm256_srli_epi32(v, 4));
  }
  // Both four bits of each byte, the low ones first.
  static Float load_u4(const unsigned char* p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    const __m128i v = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(four));
    const __m128i q = _mm_and_si128(_mm_or_si128(v, _mm_slli_epi16(v, 4)), _mm_set1_epi8(15));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(q));
  }
  // 2^(byte - 128): a byte below 2 makes a fraction of the least normal float.
  static Float load_mxfp4_scale(const unsigned char* p) {
    const Int e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const Int normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const Int subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    return _mm256_castsi256_ps(
        _mm256_blendv_epi8(normal, subnormal, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
  }

  static Int load_int(const unsigned char* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Int int_zero() { return _mm256_setzero_si256(); }
  static Int int_add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static Int set_int(int32_t v) { return _mm256_set1_epi32(v); }
  static void store_int(unsigned char* p, Int v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  static Int recentre(Int q, int by) { return _mm256_add_epi8(q, _mm256_set1_epi8(static_cast<char>(by))); }
  template <int kShift>
  static Int shifted_right(int32_t v) {
    return _mm256_srai_epi32(_mm256_set1_epi32(v), kShift);
  }
  static Int low_nibbles(Int a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
  static Int high_nibbles(Int a) { return _mm256_and_si256(_mm256_srli_epi16(a, 4), _mm256_set1_epi8(15)); }
  // Bit 4r+i of the word's half for this part becomes kValue in byte i of lane r: spread the 32 bits over 32
  // bytes.
  template <int kValue>
  static Int add_bits(Int q, const unsigned char* word, int part) {
    int32_t bits;
    __builtin_memcpy(&bits, word + 4 * part, 4);
    const Int spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32(bits), _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                                  2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
    const Int select = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
    const Int set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, select), select);
    return _mm256_or_si256(q, _mm256_and_si256(set, _mm256_set1_epi8(kValue)));
  }
  // Bits kShift and kShift + 1 of each byte.
  template <int kShift>
  static Int bit_pairs(Int pairs) {
    return _mm256_and_si256(_mm256_srli_epi16(pairs, kShift), _mm256_set1_epi8(3));
  }
  template <int kShift>
  static Int add_pairs(Int q, Int pairs) {
    return _mm256_or_si256(q, _mm256_slli_epi16(bit_pairs<kShift>(pairs), 4));
  }
  // table[q] of each byte q below 16.
  static Int look_up(const unsigned char* table, Int q) {
    return _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), q);
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
  template <bool kWide>
  static Int dot4_once(Int acc, Int w, const int8_t* x) {
    return dot4<kWide>(acc, w, x);
  }
  // Pairs of products of w's bytes, signed or unsigned, with the four at x, in 16 bits.
  template <bool kSigned>
  static Int pair_products(Int w, const int8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, 4);
    const Int v = _mm256_set1_epi32(four);
    if constexpr (!kSigned) return _mm256_maddubs_epi16(w, v);
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(v, w));
  }
  static Int add_16(Int a, Int b) { return _mm256_add_epi16(a, b); }
  static Int add_pairs(Int acc, Int pairs) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  using Bytes = __m128i;
  static Bytes quantise16(const Float* v, float inverse, int8_t* out) {
    const Float f = _mm256_set1_ps(inverse);
    const Int a = _mm256_cvtps_epi32(_mm256_mul_ps(v[0], f)), b = _mm256_cvtps_epi32(_mm256_mul_ps(v[1], f));
    const Int low = _mm256_set1_epi32(255);  // cut, as a conversion does it
    const Int words = _mm256_permute4x64_epi64(
        _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low)), 0xD8);
    const Bytes bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<Bytes*>(out), bytes);
    return bytes;
  }
  // The sum of 16 signed bytes.
  static int32_t sum_bytes(Bytes q) {
    const Bytes sums = _mm_sad_epu8(_mm_xor_si128(q, _mm_set1_epi8(-128)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
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
