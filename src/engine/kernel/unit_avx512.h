// The vector unit of AVX-512 with VNNI, with or without BF16 (part of kernels_simd.h): 16 rows in one
// register, VPDPBUSD for the int8 products, VDPBF16PS for the attention where the file is compiled for it.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace cresset::engine {
namespace {

struct Unit {
#if defined(__AVX512BF16__)
  static constexpr const char* kName = "avx512-vnni-bf16";
#else
  static constexpr const char* kName = "avx512-vnni";
#endif
  static constexpr int kFloats = 16;
  // A tile of a product, and of one with wide weights: so many panels, and tokens times panels.
  static constexpr size_t kPanels = 2, kTokens = 12;
  static constexpr size_t kWidePanels = 2, kWideTokens = 12;
  static constexpr size_t kFewColumns = 16;  // beside a block of weights in registers
  static constexpr bool kIsCentred = true;   // expanded weights around 128, so that the bias is one load
  static constexpr size_t kHeads = 6;        // queries that attention in bfloat16 computes at once
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
  // The 16 lanes folded, halves onto each other: 8, 4, 2, 1.
  static float fold_sum(const Float* v) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v[0]), _mm512_extractf32x8_ps(v[0], 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float fold_max(const Float* v) {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v[0]), _mm512_extractf32x8_ps(v[0], 1));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  static Float load_half(const unsigned char* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Float load_bfloat(const unsigned char* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }
  static Float swap_neighbours(Float a) { return _mm512_permute_ps(a, 0xB1); }
  static bool any_greater(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
  // acc + the products of two pairs of bfloat16, the upper ones first.
  static Float dot_pairs(Float acc, Int a, Int b) {
#if defined(__AVX512BF16__)
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
    const Int upper = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
    acc = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(a, upper)),
                          _mm512_castsi512_ps(_mm512_and_si512(b, upper)), acc);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
                           _mm512_castsi512_ps(_mm512_slli_epi32(b, 16)), acc);
#endif
  }
  // 16 floats to bfloat16, to nearest, ties to even.
  static void store_bfloat16(uint16_t* out, const Float* v) {
#if defined(__AVX512BF16__)
    const __m256bh rounded = _mm512_cvtneps_pbh(v[0]);
    __builtin_memcpy(out, &rounded, 32);
#else
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16(bfloat_bits(v[0])));
#endif
  }
  // The same of kFloats pairs, one beside the other.
  static void store_pairs(uint16_t* out, Float even, Float odd) {
#if defined(__AVX512BF16__)
    const __m512bh rounded = _mm512_cvtne2ps_pbh(odd, even);
    Int both;
    __builtin_memcpy(&both, &rounded, 64);
    const Int odd_half = _mm512_set1_epi32(16 << 16);
    const Int lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const Int order = _mm512_or_si512(_mm512_or_si512(lanes, _mm512_slli_epi32(lanes, 16)), odd_half);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, both));
#else
    _mm512_storeu_si512(out, _mm512_or_si512(bfloat_bits(even), _mm512_slli_epi32(bfloat_bits(odd), 16)));
#endif
  }
#if !defined(__AVX512BF16__)
  static Int bfloat_bits(Float v) {
    const Int bits = _mm512_castps_si512(v);
    const Int odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const Int up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const Int quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    return _mm512_srli_epi32(_mm512_mask_mov_epi32(up, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet), 16);
  }
#endif
  // Lane i and lane i + kStep exchanged; the upper lanes of such pairs negated.
  template <int kStep>
  static Float swap(Float v) {
    if constexpr (kStep == 1) return _mm512_permute_ps(v, 0xb1);
    if constexpr (kStep == 2) return _mm512_permute_ps(v, 0x4e);
    if constexpr (kStep == 4) return _mm512_shuffle_f32x4(v, v, 0xb1);
    if constexpr (kStep == 8) return _mm512_shuffle_f32x4(v, v, 0x4e);
  }
  template <int kStep>
  static Float negate_upper(Float v) {
    constexpr __mmask16 kUpper = kStep == 1 ? 0xaaaa : kStep == 2 ? 0xcccc : kStep == 4 ? 0xf0f0 : 0xff00;
    return _mm512_mask_xor_ps(v, kUpper, v, _mm512_set1_ps(-0.0f));
  }
  static Float load_u8(const unsigned char* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Float load_i8(const unsigned char* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }

  // The low and the high four bits of bytes.
  static Float load_low_u4(const unsigned char* p) {
    const Int v = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_cvtepi32_ps(_mm512_and_si512(v, _mm512_set1_epi32(15)));
  }
  static Float load_high_u4(const unsigned char* p) {
    const Int v = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm512_cvtepi32_ps(_mm512_srli_epi32(v, 4));
  }
  // Both four bits of each byte, the low ones first.
  static Float load_u4(const unsigned char* p) {
    const __m128i v = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m128i q = _mm_and_si128(_mm_or_si128(v, _mm_slli_epi16(v, 4)), _mm_set1_epi8(15));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(q));
  }
  // 2^(byte - 128): a byte below 2 makes a fraction of the least normal float.
  static Float load_mxfp4_scale(const unsigned char* p) {
    const Int e = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const Int normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const Int subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    return _mm512_castsi512_ps(
        _mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2)), subnormal));
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
  // Bit 4r+i of the word becomes kValue in byte i of lane r.
  template <int kValue>
  static Int add_bits(Int q, const unsigned char* word, int) {
    unsigned long long mask;
    __builtin_memcpy(&mask, word, 8);
    return _mm512_mask_add_epi8(q, mask, q, _mm512_set1_epi8(kValue));
  }
  // Bits kShift and kShift + 1 of each byte.
  template <int kShift>
  static Int bit_pairs(Int pairs) {
    return _mm512_and_si512(_mm512_srli_epi16(pairs, kShift), _mm512_set1_epi8(3));
  }
  template <int kShift>
  static Int add_pairs(Int q, Int pairs) {
    return _mm512_or_si512(q, _mm512_slli_epi16(bit_pairs<kShift>(pairs), 4));
  }
  // table[q] of each byte q below 16.
  static Int look_up(const unsigned char* table, Int q) {
    return _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), q);
  }
  // acc += the four products of each lane's unsigned bytes with the four signed bytes at x.
  template <bool kWide>
  static Int dot4(Int acc, Int w, const int8_t* x) {
    int32_t four;
    __builtin_memcpy(&four, x, 4);
    return _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(four));
  }
  // The same of four bytes that no other product needs, read by the product itself (g++ 12 makes two
  // instructions of it).
  template <bool kWide>
  static Int dot4_once(Int acc, Int w, const int8_t* x) {
    using Four __attribute__((may_alias)) = int32_t;
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*reinterpret_cast<const Four*>(x)));
    return acc;
  }
  using Bytes = __m128i;
  // 16 values times `inverse`, to nearest, as int8; stored at out too.
  static Bytes quantise16(const Float* v, float inverse, int8_t* out) {
    const Int q = _mm512_cvtps_epi32(_mm512_mul_ps(v[0], _mm512_set1_ps(inverse)));
    const Bytes bytes = _mm512_cvtepi32_epi8(q);
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
