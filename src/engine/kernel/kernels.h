// Kernels: the inner loops of the forward pass as one table of functions per instruction set.
//
// Same bits everywhere. Each result is defined as a fixed sequence of IEEE operations (given beside each
// entry), the same for one row or many, for any tile, thread count and instruction set; integer sums are
// exact, a fused multiply-add is used exactly where the text says fma. So an answer does not depend on the
// company it is computed in, and the table of one CPU can be checked bit for bit against the scalar one
// (kernels_test.cc).
//
// Weights are read in the packed form of packed.h: panels of 16 rows, the rows side by side in the lanes of a
// vector, so that a vector register never has to be summed across.
//
// This header is included by files compiled for special instructions: plain data and pointers only, no inline
// code that the linker could share with baseline files.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cresset::engine {

constexpr int kPanelRows = 16;
constexpr int kFormatSlots = 16;  // one for each Format (quant/format.h)
constexpr int kBlockItems = 32;   // activations are quantised in blocks of 32
// Activations of a block below this are all zero in 8 bits: 127 divided by a smaller maximum may be infinite.
constexpr float kActivationLeast = 1e-30f;
constexpr int kPagePositions = 64;  // positions in a KV page
constexpr int kChunkPages = 8;  // attention is summed in chunks of 8 pages that start at absolute positions

// 32 activations of one token in 8 bits: x[i] ~ scale * q[i], |q| <= 127.
struct ActivationBlock {
  float scale;        // max|x| / 127
  float scaled_sum;   // scale * (sum of q)
  int32_t bias;       // -128 * (sum of q): what weights stored around 128 have too much
  int32_t half_bias;  // -128 * (sum of q[0..15])
  int8_t q[32];
};

// Blocks of 12 tokens lie together, a tile of the product: [tile][block][12 tokens].
constexpr size_t kTokenTile = 12;
// Where block 0 of a token is; its block b is b * kTokenTile further.
static inline size_t activation_index(size_t token, size_t blocks_per_token) {
  return token / kTokenTile * kTokenTile * blocks_per_token + token % kTokenTile;
}

// Room that a product needs of its own, aligned to 64 bytes; one per thread.
constexpr size_t kGemmPanels = 2, kGemmBlocks = 64, kGemmTokens = 43 * kTokenTile;  // taken at once
constexpr size_t kGemmScratchBytes =
    kGemmPanels * kGemmBlocks * 12 * 64 + 2 * kGemmPanels * kGemmTokens * kPanelRows * 4;

// One matrix product of neighbouring panels: y[t][r] (+)= sum over columns of w[r][c] * x[t][c], for `tokens`
// tokens that start at the beginning of a tile.
struct GemmArguments {
  const unsigned char* panels;  // the first of them in its packed form
  size_t panel_count, panel_bytes;
  size_t columns;
  size_t tokens;
  const ActivationBlock* blocks;  // int8: see activation_index
  // int8, or null: what `blocks` rounded away in some of them, a second product that is added. Bit b % 64 of
  // rest_chosen[token * rest_words + b / 64] says that block b is one; the others have a scale of 0 and add
  // nothing (with finite weights).
  const ActivationBlock* rest;
  const uint64_t* rest_chosen;
  size_t rest_words;
  const float* floats;  // float: element c of token t at floats[t * floats_stride + c]
  size_t floats_stride;
  float* y;  // y[t * y_stride + panel * 16 + r]
  size_t y_stride;
  bool accumulate;         // y += (one addition at the end) instead of y =
  unsigned char* scratch;  // kGemmScratchBytes
};

// Attention of `queries` query rows that share one KV head, over one chunk of positions, by online softmax.
// A query that sees nothing of a page is left as it is (exactly: times 1, plus 0). Some pages and then the
// others, in two calls, give what one call gives.
struct AttentionArguments {
  // Already scaled. bfloat16: [pair of dimensions][q_stride][2]; float: [queries][head_size].
  const void* q;
  size_t q_stride;  // queries that lie there, of which these are some
  size_t queries;
  size_t head_size;      // a multiple of 16
  const int32_t* last;   // [queries]: the last position each may see
  const int32_t* first;  // [queries]: the first (sliding window)
  const void* const*
      pages;  // the sequence's pages for this layer and KV head, from position 0: see kv_cache.h
  size_t page_first, page_end;  // pages of this chunk to visit
  const void* next = nullptr;   // a page that will be read after these, which may be fetched; or null
  float* m;                     // [queries] running maximum; starts at -infinity
  float* l;                     // [queries] running sum; starts at 0
  float* lanes;                 // [queries][16] of l in bfloat16, for the next call; starts at 0
  float* acc;                   // [queries][head_size]; starts at 0
};
constexpr size_t kAttentionQueries = 64;  // most of one call

// Unnormalised sums of `queries` queries, to be divided by l.
struct AttentionSums {
  float *m, *l;  // [queries]; the maximum is to the base of the scores' exponential
  float* acc;    // [queries][head_size]
};

// Keys and values of one KV head kept smaller than bfloat16; kv_page.h has the layout. For values up to
// 1e37: others give any value, in the same bytes, and harm no other position.
struct KvPageKernels {
  // One position of k[head_size] and v[head_size]. Per block, with scales and minima rounded to bfloat16:
  // 8 bits: scale = max|x| * (1/127), q = nearest(x * (1 / scale)). Values in 4 bits: scale = s * 0.125 with
  // s the value furthest from zero, negated (the positive one of two), q = min(nearest(x * (1 / scale)), 7).
  // Keys in 4 bits: scale = (max x - min x) * (1/15), q = nearest((x - minimum) * (1 / scale), 0 to 15).
  void (*store)(const float* k, const float* v, size_t head_size, size_t slot, unsigned char* page);
  // All 64 positions as a page in bfloat16: scale * q, or fma(scale, q, minimum), rounded.
  void (*expand)(const unsigned char* page, size_t head_size, uint16_t* out);
};

constexpr size_t kBounds = 8;  // of Kernels::above

struct Kernels {
  const char* name;

  // x[columns] to columns/32 blocks at out[b * kTokenTile]. scale = max|x| * (1/127); q = nearest(x *
  // (127/max|x|)). All zero where max|x| is not above kActivationLeast.
  void (*quantise)(const float* x, size_t columns, ActivationBlock* out);
  // In the blocks that are chosen (bit b % 64 of chosen[b / 64]): what that left over, x - scale * q,
  // quantised in the same way, at rest[b * kTokenTile]. The others become zero.
  void (*quantise_rest)(const float* x, size_t columns, const ActivationBlock* blocks, const uint64_t* chosen,
                        ActivationBlock* rest);

  // By format number (quant/format.h). int8: null for F32, F16, BF16. Per block, in order:
  // acc = fma(float(isum), w_scale * x_scale, acc); with a minimum: acc = fma(w_min, scaled_sum, acc).
  // Q2_K, Q3_K, Q6_K: that for the two halves of a block one after the other, and then Q2_K's two minima:
  // acc = fma(w_min, x_scale * float(half_sum), acc). With `rest`: the same for it, then the two sums added.
  void (*gemm_int8[kFormatSlots])(const GemmArguments&);
  // F32, F16, BF16: acc = fma(w, x, acc) over the columns in order.
  void (*gemm_float[kFormatSlots])(const GemmArguments&);

  // y = x * (1 / sqrt(sum16(x*x) / n + epsilon)) * weight
  void (*rms_norm)(const float* x, const float* weight, size_t n, float epsilon, float* y);
  // out = gate * sigmoid(gate) * up; out = gelu_tanh(gate) * up
  void (*silu_multiply)(const float* gate, const float* up, size_t n, float* out);
  void (*gelu_multiply)(const float* gate, const float* up, size_t n, float* out);
  // x += y
  void (*add)(float* x, const float* y, size_t n);

  // Rotary positions: x[i] = x[i] * cosines[i] + x[j] * sines[i], two products and their sum, where j is i's
  // other of a pair: its neighbour, or the one n/2 away. n is even.
  void (*rotate_neighbours)(float* x, const float* cosines, const float* sines, size_t n);
  void (*rotate_halves)(float* x, const float* cosines, const float* sines, size_t n);

  // Rounds to bfloat16 (to nearest, ties to even).
  void (*round_bfloat)(const float* x, size_t n, uint16_t* out);

  // Queries, keys, values and weights in bfloat16, sums in float32. q is scaled by log2(e) too. Per page, in
  // order: s = a chain over pairs of dimensions, s = fma(q[i], k[i], fma(q[i+1], k[i+1], s)); m' = max(m, max
  // s), p = 2^(s - m') (0 where m' is -infinity), c = 2^(m - m'); l's 16 lanes = fma(l, c, ((p0 + p1) + p2) +
  // p3) over the page's 4 tiles; acc[d] = acc[d] * c, then a chain over pairs of positions with p rounded to
  // bfloat16: acc = fma(p[j], v[j], fma(p[j+1], v[j+1], acc)). At the end l = sum16(lanes). Subnormal numbers
  // count as 0, so it must run with denormals flushed (kernel/denormals.h).
  void (*attend)(const AttentionArguments&);
  // Adds the sums over later positions to earlier ones (scores to the base 2): with m' = max of both, keep =
  // 2^(m - m'), take = 2^(part's m - m'): l = l * keep + part.l * take, acc = fma(acc, keep, part.acc *
  // take). A part that saw nothing (m is -infinity) changes nothing.
  void (*merge)(const AttentionSums& total, const AttentionSums& part, size_t queries, size_t head_size);
  KvPageKernels kv_q8_0, kv_q8_q4, kv_q4;  // bits of keys and of values
  // The Walsh-Hadamard transform of x, in parts of the largest power of two that divides n (a multiple of
  // 16), times 1 / sqrt(part): it keeps dot products, is its own inverse, and spreads an outlier over a part.
  // Steps of 1, 2, 4, ...: x[i], x[i + step] = x[i] + x[i + step], x[i] - x[i + step].
  void (*spread)(float* x, size_t n);

  // out = x / by
  void (*divide)(const float* x, size_t n, float by, float* out);
  // Everything in float32 (the reference arithmetic). Per page: s = dot(q, k) as an fma chain over the
  // dimensions; m' = max(m, max s); p = exp(s - m'); l = l * exp(m - m') + sum16(p); acc[d] = acc[d] * exp(m
  // - m'), then an fma chain over the keys.
  void (*attend_float)(const AttentionArguments&);

  // For the sampler: the maximum of x, and sum16 of exp((x - maximum) * factor) with the values stored to
  // out.
  float (*maximum)(const float* x, size_t n);
  float (*exp_sum)(const float* x, size_t n, float maximum, float factor, float* out);
  // How many of x are above each of kBounds bounds, none of which is below 0, and sum16 of these. n up to
  // 2^27.
  void (*above)(const float* x, size_t n, const float* bounds, size_t* counts, float* sums);
};

// Each is null where the program was built without it.
extern const Kernels* const kScalarKernels;
extern const Kernels* const kAvx2Kernels;
extern const Kernels* const kAvx512Kernels;
extern const Kernels* const kAvx512Bf16Kernels;

}  // namespace cresset::engine
