// The readable truth: every kernel as plain loops, in the order of operations that kernels.h defines. The
// fast kernels are checked against these bit for bit; these are checked against double arithmetic
// (the tests beside this file).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/kernel/attention_scalar.h"
#include "engine/kernel/exp.h"
#include "engine/kernel/kernels.h"
#include "engine/kernel/kv_page_scalar.h"
#include "engine/quant/format.h"
#include "engine/quant/tables.h"

namespace cresset::engine {
namespace {

constexpr size_t kLanes = 16;
static_assert(kFormatSlots >= kFormatCount);

uint16_t load_half_bits(const unsigned char* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return bits;
}
float load_half(const unsigned char* p) {
  return half_to_float(load_half_bits(p));
}

void quantise_block(const float* x, ActivationBlock& block) {
  float largest = 0;
  for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
  block.scale = largest > kActivationLeast ? largest * (1.0f / 127.0f) : 0.0f;
  const float inverse = largest > kActivationLeast ? 127.0f / largest : 0.0f;
  int32_t half_sums[2] = {0, 0};
  for (size_t i = 0; i < 32; ++i) {
    block.q[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
    half_sums[i / 16] += block.q[i];
  }
  block.bias = -128 * (half_sums[0] + half_sums[1]);
  block.half_bias = -128 * half_sums[0];
  block.scaled_sum = block.scale * static_cast<float>(half_sums[0] + half_sums[1]);
}

void quantise(const float* x, size_t columns, ActivationBlock* out) {
  for (size_t b = 0; b < columns / 32; ++b) quantise_block(x + b * 32, out[b * kTokenTile]);
}

void quantise_rest(const float* x, size_t columns, const ActivationBlock* blocks, const uint64_t* chosen,
                   ActivationBlock* rest) {
  for (size_t b = 0; b < columns / 32; ++b, x += 32) {
    const ActivationBlock& block = blocks[b * kTokenTile];
    if ((chosen[b / 64] >> b % 64 & 1) == 0) {
      rest[b * kTokenTile] = {};
      continue;
    }
    float left[32];
    for (size_t i = 0; i < 32; ++i) left[i] = std::fma(-block.scale, static_cast<float>(block.q[i]), x[i]);
    quantise_block(left, rest[b * kTokenTile]);
  }
}

// One row of one packed block of 32 columns.
struct Block {
  int q[32] = {};
  int zero = 0;               // value = scale * (q - zero) + minimum
  float scale[2] = {0, 0};    // of columns 0..15 and 16..31
  float minimum[2] = {0, 0};  // without has_halves, the first is the block's
};

void read_nibbles(const unsigned char* in, size_t r, int* q) {
  for (size_t c = 0; c < 16; ++c) {
    const unsigned byte = in[(c / 4) * 64 + r * 4 + c % 4];
    q[c] = static_cast<int>(byte & 15);
    q[c + 16] = static_cast<int>(byte >> 4);
  }
}
void add_bits(const unsigned char* in, size_t r, int* q, unsigned bit) {
  for (size_t c = 0; c < 32; ++c) {
    uint64_t word;
    std::memcpy(&word, in + (c / 4) * 8, 8);
    q[c] += static_cast<int>(word >> (4 * r + c % 4) & 1) << bit;
  }
}
void add_pairs(const unsigned char* in, size_t r, int* q, unsigned bit) {
  for (size_t c = 0; c < 32; ++c) {
    const unsigned byte = in[(c / 16) * 64 + r * 4 + c % 4];
    q[c] += static_cast<int>(byte >> (2 * (c / 4 % 4)) & 3) << bit;
  }
}
void read_from_table(const unsigned char* in, size_t r, const signed char* table, int* q) {
  read_nibbles(in, r, q);
  for (size_t c = 0; c < 32; ++c) q[c] = table[q[c]];
}

// Block b of row r of a panel.
Block read_block(Format format, const unsigned char* panel, size_t b, size_t r) {
  Block block;
  switch (format) {
    case Format::kQ4_0:
    case Format::kQ4_1:
    case Format::kQ5_0:
    case Format::kQ5_1: {
      const bool has_minimum = format == Format::kQ4_1 || format == Format::kQ5_1;
      const bool has_fifth = format == Format::kQ5_0 || format == Format::kQ5_1;
      const unsigned char* p = panel + b * (256 + 32 + (has_minimum ? 32u : 0u) + (has_fifth ? 64u : 0u));
      block.scale[0] = block.scale[1] = load_half(p + 2 * r);
      p += 32;
      if (has_minimum) {
        block.minimum[0] = load_half(p + 2 * r);
        p += 32;
      } else {
        block.zero = has_fifth ? 16 : 8;
      }
      read_nibbles(has_fifth ? p + 64 : p, r, block.q);
      if (has_fifth) add_bits(p, r, block.q, 4);
      return block;
    }
    case Format::kQ8_0: {
      const unsigned char* p = panel + b * 544;
      block.scale[0] = block.scale[1] = load_half(p + 2 * r);
      block.zero = 128;
      for (size_t c = 0; c < 32; ++c) block.q[c] = p[32 + (c / 4) * 64 + r * 4 + c % 4];
      return block;
    }
    case Format::kQ4_K:
    case Format::kQ5_K: {
      const bool has_fifth = format == Format::kQ5_K;
      const size_t block_size = has_fifth ? 320 : 256, j = b % 8;
      const unsigned char* p = panel + b / 8 * (320 + 8 * block_size);
      block.scale[0] = block.scale[1] = load_half(p + 2 * r) * static_cast<float>(p[64 + j * 16 + r]);
      block.minimum[0] = -(load_half(p + 32 + 2 * r) * static_cast<float>(p[192 + j * 16 + r]));
      p += 320 + j * block_size;
      read_nibbles(has_fifth ? p + 64 : p, r, block.q);
      if (has_fifth) add_bits(p, r, block.q, 4);
      return block;
    }
    case Format::kQ6_K: {
      const size_t j = b % 8;
      const unsigned char* p = panel + b / 8 * 3360;
      for (size_t h = 0; h < 2; ++h) {
        block.scale[h] =
            load_half(p + 2 * r) * static_cast<float>(static_cast<int8_t>(p[32 + (2 * j + h) * 16 + r]));
      }
      block.zero = 32;
      p += 288 + j * 384;
      read_nibbles(p, r, block.q);
      add_pairs(p + 256, r, block.q, 4);
      return block;
    }
    case Format::kQ2_K: {
      const size_t j = b % 8;
      const unsigned char* p = panel + b / 8 * 1344;
      for (size_t h = 0; h < 2; ++h) {
        const unsigned packed = p[64 + (2 * j + h) * 16 + r];
        block.scale[h] = load_half(p + 2 * r) * static_cast<float>(packed & 15);
        block.minimum[h] = -(load_half(p + 32 + 2 * r) * static_cast<float>(packed >> 4));
      }
      add_pairs(p + 320 + j * 128, r, block.q, 0);
      return block;
    }
    case Format::kQ3_K: {
      const size_t j = b % 8;
      const unsigned char* p = panel + b / 8 * 1824;
      for (size_t h = 0; h < 2; ++h) {
        block.scale[h] =
            load_half(p + 2 * r) * static_cast<float>(static_cast<int8_t>(p[32 + (2 * j + h) * 16 + r]));
      }
      block.zero = 4;
      p += 288 + j * 192;
      add_pairs(p + 64, r, block.q, 0);
      add_bits(p, r, block.q, 2);
      return block;
    }
    case Format::kIQ4_NL: {
      const unsigned char* p = panel + b * 288;
      block.scale[0] = block.scale[1] = load_half(p + 2 * r);
      read_from_table(p + 32, r, kIq4Values, block.q);
      return block;
    }
    case Format::kIQ4_XS: {
      const size_t j = b % 8;
      const unsigned char* p = panel + b / 8 * 2208;
      block.scale[0] = block.scale[1] =
          load_half(p + 2 * r) * static_cast<float>(static_cast<int8_t>(p[32 + j * 16 + r]));
      read_from_table(p + 160 + j * 256, r, kIq4Values, block.q);
      return block;
    }
    case Format::kMXFP4: {
      const unsigned char* p = panel + b * 272;
      block.scale[0] = block.scale[1] = mxfp4_scale(p[r]);
      read_from_table(p + 16, r, kMxfp4Values, block.q);
      return block;
    }
    default:
      return block;
  }
}

bool has_minimum(Format format) {
  return format == Format::kQ4_1 || format == Format::kQ5_1 || format == Format::kQ4_K ||
         format == Format::kQ5_K || format == Format::kQ2_K;
}
// Each half of a block has its own scale and minimum.
bool has_halves(Format format) {
  return format == Format::kQ6_K || format == Format::kQ2_K || format == Format::kQ3_K;
}

template <Format kFormat>
float dot_row(const unsigned char* panel, size_t r, const ActivationBlock* blocks, size_t count) {
  float sum = 0;
  for (size_t b = 0; b < count; ++b) {
    const Block w = read_block(kFormat, panel, b, r);
    const ActivationBlock& x = blocks[b * kTokenTile];
    int32_t dot[2] = {0, 0};
    for (size_t c = 0; c < 32; ++c) dot[c / 16] += (w.q[c] - w.zero) * x.q[c];
    if (has_halves(kFormat)) {
      sum = std::fma(static_cast<float>(dot[0]), w.scale[0] * x.scale, sum);
      sum = std::fma(static_cast<float>(dot[1]), w.scale[1] * x.scale, sum);
    } else {
      sum = std::fma(static_cast<float>(dot[0] + dot[1]), w.scale[0] * x.scale, sum);
    }
    if (!has_minimum(kFormat)) continue;
    if (has_halves(kFormat)) {
      const int32_t half_sums[2] = {x.half_bias / -128, (x.bias - x.half_bias) / -128};
      sum = std::fma(w.minimum[0], x.scale * static_cast<float>(half_sums[0]), sum);
      sum = std::fma(w.minimum[1], x.scale * static_cast<float>(half_sums[1]), sum);
    } else {
      sum = std::fma(w.minimum[0], x.scaled_sum, sum);
    }
  }
  return sum;
}

template <Format kFormat>
void gemm_int8(const GemmArguments& a) {
  const size_t blocks = a.columns / 32;
  for (size_t row = 0; row < a.panel_count * kLanes; ++row) {
    const unsigned char* panel = a.panels + row / kLanes * a.panel_bytes;
    for (size_t t = 0; t < a.tokens; ++t) {
      const size_t at = activation_index(t, blocks);
      float sum = dot_row<kFormat>(panel, row % kLanes, a.blocks + at, blocks);
      if (a.rest != nullptr) sum = sum + dot_row<kFormat>(panel, row % kLanes, a.rest + at, blocks);
      float& y = a.y[t * a.y_stride + row];
      y = a.accumulate ? y + sum : sum;
    }
  }
}

template <Format kFormat>
void gemm_float(const GemmArguments& a) {
  for (size_t row = 0; row < a.panel_count * kLanes; ++row) {
    const unsigned char* panel = a.panels + row / kLanes * a.panel_bytes;
    const size_t r = row % kLanes;
    for (size_t t = 0; t < a.tokens; ++t) {
      float sum = 0;
      for (size_t c = 0; c < a.columns; ++c) {
        float w;
        if (kFormat == Format::kF32) {
          std::memcpy(&w, panel + (c * 16 + r) * 4, 4);
        } else {
          const uint16_t bits = load_half_bits(panel + (c * 16 + r) * 2);
          w = kFormat == Format::kF16 ? half_to_float(bits) : bfloat_to_float(bits);
        }
        sum = std::fma(w, a.floats[t * a.floats_stride + c], sum);
      }
      float& y = a.y[t * a.y_stride + row];
      y = a.accumulate ? y + sum : sum;
    }
  }
}

void rms_norm(const float* x, const float* weight, size_t n, float epsilon, float* y) {
  float lanes[kLanes] = {};
  for (size_t i = 0; i < n; ++i) lanes[i % kLanes] = std::fma(x[i], x[i], lanes[i % kLanes]);
  const float scale = 1.0f / std::sqrt(scalar_fold_sum(lanes) / static_cast<float>(n) + epsilon);
  for (size_t i = 0; i < n; ++i) y[i] = x[i] * scale * weight[i];
}

void silu_multiply(const float* gate, const float* up, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0f + exp_approximation(-gate[i])) * up[i];
}

// gelu(x) = x/2 (1 + tanh(u)) = x * sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
void gelu_multiply(const float* gate, const float* up, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    const float x = gate[i];
    const float u2 = x * std::fma(x * x, kGeluCubic, kGeluLinear);
    out[i] = x / (1.0f + exp_approximation(-u2)) * up[i];
  }
}

void rotate_pair(float& a, float& b, const float* cosines, const float* sines, size_t i, size_t j) {
  const float x = a, y = b;
  a = x * cosines[i] + y * sines[i];
  b = y * cosines[j] + x * sines[j];
}

void rotate_neighbours(float* x, const float* cosines, const float* sines, size_t n) {
  for (size_t i = 0; i < n; i += 2) rotate_pair(x[i], x[i + 1], cosines, sines, i, i + 1);
}

void rotate_halves(float* x, const float* cosines, const float* sines, size_t n) {
  for (size_t i = 0; i < n / 2; ++i) rotate_pair(x[i], x[i + n / 2], cosines, sines, i, i + n / 2);
}

void add(float* x, const float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] = x[i] + y[i];
}

void round_bfloat(const float* x, size_t n, uint16_t* out) {
  for (size_t i = 0; i < n; ++i) out[i] = float_to_bfloat(x[i]);
}

void divide(const float* x, size_t n, float by, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = x[i] / by;
}

float maximum(const float* x, size_t n) {
  float largest = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < n; ++i) largest = std::max(largest, x[i]);
  return largest;
}

float exp_sum(const float* x, size_t n, float largest, float factor, float* out) {
  float lanes[kLanes] = {};
  for (size_t i = 0; i < n; ++i) {
    out[i] = exp_approximation((x[i] - largest) * factor);
    lanes[i % kLanes] = lanes[i % kLanes] + out[i];
  }
  return scalar_fold_sum(lanes);
}

void above(const float* x, size_t n, const float* bounds, size_t* counts, float* sums) {
  for (size_t b = 0; b < kBounds; ++b) {
    float lanes[kLanes] = {};
    counts[b] = 0;
    for (size_t i = 0; i < n; ++i) {
      if (!(x[i] > bounds[b])) continue;
      ++counts[b];
      lanes[i % kLanes] = lanes[i % kLanes] + x[i];
    }
    sums[b] = scalar_fold_sum(lanes);
  }
}

const Kernels kTable = {
    .name = "scalar",
    .quantise = quantise,
    .quantise_rest = quantise_rest,
    .gemm_int8 = {nullptr, nullptr, nullptr, gemm_int8<Format::kQ4_0>, gemm_int8<Format::kQ4_1>,
                  gemm_int8<Format::kQ5_0>, gemm_int8<Format::kQ5_1>, gemm_int8<Format::kQ8_0>,
                  gemm_int8<Format::kQ4_K>, gemm_int8<Format::kQ5_K>, gemm_int8<Format::kQ6_K>,
                  gemm_int8<Format::kQ2_K>, gemm_int8<Format::kQ3_K>, gemm_int8<Format::kIQ4_NL>,
                  gemm_int8<Format::kIQ4_XS>, gemm_int8<Format::kMXFP4>},
    .gemm_float = {gemm_float<Format::kF32>, gemm_float<Format::kF16>, gemm_float<Format::kBF16>},
    .rms_norm = rms_norm,
    .silu_multiply = silu_multiply,
    .gelu_multiply = gelu_multiply,
    .add = add,
    .rotate_neighbours = rotate_neighbours,
    .rotate_halves = rotate_halves,
    .round_bfloat = round_bfloat,
    .attend = scalar_attend,
    .merge = scalar_merge,
    .kv_q8_0 = {scalar_store_kv<8, 8>, scalar_expand_kv<8, 8>},
    .kv_q8_q4 = {scalar_store_kv<8, 4>, scalar_expand_kv<8, 4>},
    .kv_q4 = {scalar_store_kv<4, 4>, scalar_expand_kv<4, 4>},
    .spread = scalar_spread,
    .divide = divide,
    .attend_float = scalar_attend_float,
    .maximum = maximum,
    .exp_sum = exp_sum,
    .above = above,
};

}  // namespace

const Kernels* const kScalarKernels = &kTable;

}  // namespace cresset::engine
