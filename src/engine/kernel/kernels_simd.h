// The kernels once for every vector unit: included by one .cc per instruction set, which first defines a
// `Unit` (register types and operations). Everything is in an anonymous namespace: code compiled for one CPU
// must not be shared with another file's by the linker.
//
// A Unit gives:
//   Float, kFloats      a register of floats (16 or 8)
//   Int                 a register of as many int32
//   kQueries            query rows that attention computes at once
//   load/store/set/zero, add, sub, mul, div, fma(a,b,c)=a*b+c, max, sqrt-free helpers; see kernels_avx512.cc
#pragma once

#define CRESSET_KERNEL_FILE 1
#include "engine/kernel/simd_attention.h"
#include "engine/kernel/simd_attention_bf16.h"
#include "engine/kernel/simd_gemm.h"
#include "engine/kernel/simd_kv_page.h"
#include "engine/kernel/simd_rows.h"

namespace cresset::engine {
namespace {

const Kernels kTable = {
    .name = Unit::kName,
    .quantise = quantise,
    .quantise_rest = quantise_rest,
    .gemm_int8 = {nullptr, nullptr, nullptr, gemm_int8<kQ4_0>, gemm_int8<kQ4_1>, gemm_int8<kQ5_0>,
                  gemm_int8<kQ5_1>, gemm_int8<kQ8_0>, gemm_int8<kQ4_K>, gemm_int8<kQ5_K>, gemm_int8<kQ6_K>,
                  gemm_int8<kQ2_K>, gemm_int8<kQ3_K>, gemm_int8<kIQ4_NL>, gemm_int8<kIQ4_XS>,
                  gemm_int8<kMXFP4>},
    .gemm_float = {gemm_float<kF32>, gemm_float<kF16>, gemm_float<kBF16>},
    .rms_norm = rms_norm,
    .silu_multiply = silu_multiply,
    .gelu_multiply = gelu_multiply,
    .add = add,
    .rotate_neighbours = rotate_neighbours,
    .rotate_halves = rotate_halves,
    .round_bfloat = round_bfloat,
    .attend = attend,
    .merge = merge,
    .kv_q8_0 = {store_kv<8, 8>, expand_kv<8, 8>},
    .kv_q8_q4 = {store_kv<8, 4>, expand_kv<8, 4>},
    .kv_q4 = {store_kv<4, 4>, expand_kv<4, 4>},
    .spread = spread,
    .divide = divide,
    .attend_float = attend_float,
    .maximum = maximum,
    .exp_sum = exp_sum,
    .above = above,
};

}  // namespace
}  // namespace cresset::engine
