#include "engine/model/experts.h"

#include <algorithm>

#include "base/check.h"

namespace cresset::engine {
namespace {

constexpr size_t kScoreTile = 32;      // rows whose scores are computed, and experts chosen, together
constexpr size_t kGroupRows = 128;     // rows whose gathered blocks stay in the second-level cache
constexpr size_t kUnitsPerThread = 8;  // pieces of work, so that a thread held up costs the others little
constexpr size_t kPairColumns = 2 * kPanelRows;
static_assert(kPairColumns == kBlockItems, "two panels of gate and up make one block of activations");

size_t divide_up(size_t n, size_t by) {
  return (n + by - 1) / by;
}

}  // namespace

Experts::Experts(const ModelConfig& config, const Weights& weights, const Kernels& kernels,
                 Arithmetic arithmetic, int threads, size_t rows_max)
    : config_(config), kernels_(kernels), is_float_(arithmetic == Arithmetic::kFloat32) {
  const ExpertConfig& e = config.experts;
  if (e.count == 0) return;
  score_stride_ = divide_up(e.count, kPanelRows) * kPanelRows;
  inner_ = e.feed_forward;
  const size_t slots = rows_max * e.used;
  scores_.resize(rows_max * score_stride_);
  chosen_.resize(slots);
  weight_of_chosen_.resize(slots);
  row_of_slot_.resize(slots);
  weight_of_slot_.resize(slots);
  slot_after_expert_.resize(e.count);
  scored_ = std::make_unique<std::atomic<size_t>[]>(divide_up(rows_max, kScoreTile));
  bool has_int8 = false, has_floats = false;
  for (const LayerWeights& layer : weights.layers) {
    for (const PackedMatrix& down : layer.experts.down) (is_int8(down) ? has_int8 : has_floats) = true;
  }
  if (has_int8) inner_blocks_.resize(slots * (inner_ / kBlockItems));
  if (has_floats) inner_floats_.resize(slots * inner_);
  scratch_.resize(static_cast<size_t>(threads));
  for (Scratch& s : scratch_) {
    s.gate.resize(kGroupRows * kPairColumns);
    s.up.resize(kGroupRows * kPairColumns);
    s.out.resize(kGroupRows * kPairColumns);
    s.exponentials.resize(score_stride_);
  }
}

void Experts::run(Worker& worker, const ExpertWeights& weights, const ExpertInput& in, float* x) {
  Scratch& scratch = scratch_[static_cast<size_t>(worker.index())];
  const size_t tiles = divide_up(in.rows, kScoreTile), panels = weights.router.panels();
  worker.parallel_for(tiles * panels, 1, [&](size_t unit, size_t) {
    // Whoever finishes the last panel of a tile chooses for its rows; whoever finishes the last tile sorts.
    score(weights, in, unit, scratch);
    const size_t tile = unit / panels;
    if (scored_[tile].fetch_add(1, std::memory_order_acq_rel) + 1 < panels) return;
    scored_[tile].store(0, std::memory_order_relaxed);
    for (size_t t = tile * kScoreTile; t < std::min(in.rows, (tile + 1) * kScoreTile); ++t)
      choose(t, scratch);
    if (tiles_chosen_.fetch_add(1, std::memory_order_acq_rel) + 1 < tiles) return;
    tiles_chosen_.store(0, std::memory_order_relaxed);
    sort(in.rows, worker.count());
  });
  worker.parallel_for(groups_.size() * slices_, 1,
                      [&](size_t unit, size_t) { compute_inner(weights, in, unit, scratch); });
  const size_t out_panels = config_.embedding / kPanelRows;
  const size_t chunk = divide_up(out_panels, static_cast<size_t>(worker.count()) * kUnitsPerThread);
  worker.parallel_for(out_panels, chunk,
                      [&](size_t begin, size_t end) { add_outer(weights, begin, end, scratch, x); });
}

// One panel of the router for one tile of rows.
void Experts::score(const ExpertWeights& weights, const ExpertInput& in, size_t unit, Scratch&) {
  const size_t panels = weights.router.panels(), first = unit / panels * kScoreTile, panel = unit % panels;
  const size_t width = config_.embedding;
  const Rows rows{in.floats + first * width, width, nullptr, 0, std::min(kScoreTile, in.rows - first)};
  multiply(weights.router, panel, rows, scores_.data() + first * score_stride_ + panel * kPanelRows,
           score_stride_);
}

void Experts::choose(size_t row, Scratch& scratch) {
  const ExpertConfig& e = config_.experts;
  const float* scores = scores_.data() + row * score_stride_;
  uint32_t* chosen = chosen_.data() + row * e.used;
  float* weights = weight_of_chosen_.data() + row * e.used;
  float* exponentials = scratch.exponentials.data();
  const float sum = kernels_.exp_sum(scores, e.count, kernels_.maximum(scores, e.count), 1.0f, exponentials);
  float sum_of_chosen = 0;
  for (size_t k = 0; k < e.used; ++k) {
    const auto is_taken = [&](uint32_t i) { return std::find(chosen, chosen + k, i) != chosen + k; };
    uint32_t best = 0;
    while (is_taken(best)) ++best;
    // A score that is not a number is never larger, so the choice is one of the experts whatever the weights.
    for (uint32_t i = best + 1; i < e.count; ++i) {
      if (scores[i] > scores[best] && !is_taken(i)) best = i;
    }
    chosen[k] = best;
    weights[k] = exponentials[best];
    sum_of_chosen += exponentials[best];
  }
  for (size_t k = 0; k < e.used; ++k) weights[k] /= e.is_renormalised ? sum_of_chosen : sum;
}

// Counting sort of all (row, expert) pairs by expert; an expert's rows stay in their order.
void Experts::sort(size_t rows, int threads) {
  const size_t used = config_.experts.used, pairs = inner_ / kPairColumns;
  std::fill(slot_after_expert_.begin(), slot_after_expert_.end(), 0);
  for (size_t i = 0; i < rows * used; ++i) ++slot_after_expert_[chosen_[i]];
  groups_.clear();
  size_t slot = 0;
  for (size_t e = 0; e < slot_after_expert_.size(); ++e) {
    const size_t end = slot + slot_after_expert_[e];
    slot_after_expert_[e] = slot;
    for (; slot < end; slot += groups_.back().rows) {
      groups_.push_back({e, slot, std::min(kGroupRows, end - slot)});
    }
  }
  for (size_t i = 0; i < rows * used; ++i) {
    const size_t to = slot_after_expert_[chosen_[i]]++;
    row_of_slot_[to] = i / used;
    weight_of_slot_[to] = weight_of_chosen_[i];
  }
  const size_t units = static_cast<size_t>(threads) * kUnitsPerThread;
  slices_ = std::min(pairs, divide_up(units, groups_.size()));
}

// Gate and up of some inner columns for one group, the activation, and its blocks.
void Experts::compute_inner(const ExpertWeights& weights, const ExpertInput& in, size_t unit,
                            Scratch& scratch) {
  const Group& group = groups_[unit / slices_];
  const size_t slice = unit % slices_, pairs = inner_ / kPairColumns;
  const PackedMatrix &gate = weights.gate[group.expert], &up = weights.up[group.expert];
  const Rows gate_rows = gather(gate, in, group, scratch);
  const Rows up_rows = is_int8(up) == is_int8(gate) ? gate_rows : gather(up, in, group, scratch);
  const bool down_is_int8 = is_int8(weights.down[group.expert]);
  const auto activate =
      config_.activation == Activation::kSilu ? kernels_.silu_multiply : kernels_.gelu_multiply;
  for (size_t pair = slice * pairs / slices_; pair < (slice + 1) * pairs / slices_; ++pair) {
    for (size_t half = 0; half < 2; ++half) {
      multiply(gate, 2 * pair + half, gate_rows, scratch.gate.data() + half * kPanelRows, kPairColumns);
      multiply(up, 2 * pair + half, up_rows, scratch.up.data() + half * kPanelRows, kPairColumns);
    }
    for (size_t i = 0; i < group.rows; ++i) {
      float* out = down_is_int8 ? scratch.out.data()
                                : inner_floats_.data() + (group.first + i) * inner_ + pair * kPairColumns;
      activate(scratch.gate.data() + i * kPairColumns, scratch.up.data() + i * kPairColumns, kPairColumns,
               out);
      if (!down_is_int8) continue;
      ActivationBlock* block =
          inner_blocks_.data() + group.first * (inner_ / kBlockItems) + pair * group.rows + i;
      kernels_.quantise(out, kBlockItems, block, 1);
    }
  }
}

// Some columns of the output, for all groups: in the order of the experts for each row.
void Experts::add_outer(const ExpertWeights& weights, size_t first_panel, size_t end_panel, Scratch& scratch,
                        float* x) {
  const size_t width = config_.embedding;
  float* y = scratch.out.data();
  for (const Group& group : groups_) {
    const PackedMatrix& down = weights.down[group.expert];
    const Rows rows{inner_floats_.data() + (inner_floats_.empty() ? 0 : group.first * inner_), inner_,
                    inner_blocks_.data() + (inner_blocks_.empty() ? 0 : group.first * (inner_ / kBlockItems)),
                    group.rows, group.rows};
    for (size_t panel = first_panel; panel < end_panel; ++panel) {
      multiply(down, panel, rows, y, kPanelRows);
      for (size_t i = 0; i < group.rows; ++i) {
        const float weight = weight_of_slot_[group.first + i];
        float* to = x + row_of_slot_[group.first + i] * width + panel * kPanelRows;
        for (size_t c = 0; c < kPanelRows; ++c) to[c] = to[c] + weight * y[i * kPanelRows + c];
      }
    }
  }
}

// A group's rows side by side, in what `reader` multiplies. A single row is read where it is.
Experts::Rows Experts::gather(const PackedMatrix& reader, const ExpertInput& in, const Group& group,
                              Scratch& scratch) const {
  const size_t width = config_.embedding, blocks = width / kBlockItems;
  const size_t* rows = row_of_slot_.data() + group.first;
  if (group.rows == 1) {
    return {in.floats + rows[0] * width, width, in.blocks == nullptr ? nullptr : in.blocks + rows[0], in.rows,
            1};
  }
  if (!is_int8(reader)) {
    scratch.floats.resize(kGroupRows * width);
    for (size_t i = 0; i < group.rows; ++i) {
      std::copy_n(in.floats + rows[i] * width, width, scratch.floats.data() + i * width);
    }
  } else {
    scratch.blocks.resize(kGroupRows * blocks);
    for (size_t b = 0; b < blocks; ++b) {
      for (size_t i = 0; i < group.rows; ++i) {
        scratch.blocks[b * group.rows + i] = in.blocks[b * in.rows + rows[i]];
      }
    }
  }
  return {scratch.floats.data(), width, scratch.blocks.data(), group.rows, group.rows};
}

bool Experts::is_int8(const PackedMatrix& matrix) const {
  return !is_float_ && kernels_.gemm_int8[static_cast<size_t>(matrix.format())] != nullptr;
}

void Experts::multiply(const PackedMatrix& matrix, size_t panel, const Rows& x, float* y,
                       size_t y_stride) const {
  const auto format = static_cast<size_t>(matrix.format());
  const bool in_blocks = is_int8(matrix);
  const auto kernel = in_blocks ? kernels_.gemm_int8[format] : kernels_.gemm_float[format];
  kernel({.panel = matrix.panel(panel),
          .columns = matrix.columns(),
          .tokens = x.count,
          .blocks = in_blocks ? x.blocks : nullptr,
          .floats = in_blocks ? nullptr : x.floats,
          .tokens_stride = in_blocks ? x.blocks_stride : x.floats_stride,
          .y = y,
          .y_stride = y_stride,
          .accumulate = false});
}

}  // namespace cresset::engine
