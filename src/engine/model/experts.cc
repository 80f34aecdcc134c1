#include "engine/model/experts.h"

#include <algorithm>
#include <span>

namespace cresset::engine {
namespace {

constexpr size_t kScoreRows = 36;      // rows whose scores are computed, and experts chosen, together
constexpr size_t kGroupRows = 252;     // rows whose gathered blocks stay in the second-level cache
constexpr size_t kUnitsPerThread = 8;  // pieces of work, so that a thread held up costs the others little
constexpr size_t kStepPanels = 4;
constexpr size_t kStepColumns = kStepPanels * kPanelRows;  // whose results lie in scratch at once
static_assert(kScoreRows % kTokenTile == 0 && kGroupRows % kTokenTile == 0);

size_t divide_up(size_t n, size_t by) {
  return (n + by - 1) / by;
}
size_t round_up(size_t n, size_t to) {
  return divide_up(n, to) * to;
}

}  // namespace

Experts::Experts(const ModelConfig& config, const Kernels& kernels, Arithmetic arithmetic, int threads,
                 size_t rows_max)
    : config_(config), kernels_(kernels), is_float_(arithmetic == Arithmetic::kFloat32) {
  const ExpertConfig& e = config.experts;
  if (e.count == 0) return;
  score_stride_ = round_up(e.count, kPanelRows);
  const size_t pairs = rows_max * e.used, groups_max = std::min(pairs, e.count) + pairs / kGroupRows;
  const size_t slots = pairs + groups_max * (kTokenTile - 1);
  scores_.resize(rows_max * score_stride_);
  chosen_.resize(pairs);
  weight_of_chosen_.resize(pairs);
  row_of_slot_.resize(slots);
  weight_of_slot_.resize(slots);
  slot_after_expert_.resize(e.count);
  groups_.reserve(groups_max);
  scored_ = std::make_unique<std::atomic<size_t>[]>(divide_up(rows_max, kScoreRows));
  inner_ = Activations(slots, e.feed_forward, !is_float_, Rounding::kPlain);
  scratch_.resize(static_cast<size_t>(threads));
  const size_t group_rows = std::min(kGroupRows, rows_max);
  for (Scratch& s : scratch_) {
    s.rows = Activations(group_rows, config.embedding, !is_float_, Rounding::kPlain);
    for (std::vector<float>* v : {&s.gate, &s.up, &s.out}) v->resize(group_rows * kStepColumns);
    s.exponentials.resize(score_stride_);
  }
}

void Experts::run(Worker& worker, const ProductScratch& room, const ExpertWeights& weights,
                  const Activations& in, size_t rows, float* x) {
  Scratch& scratch = scratch_[static_cast<size_t>(worker.index())];
  scratch.room = room.of(worker);
  const size_t tiles = divide_up(rows, kScoreRows), panels = weights.router.panels();
  worker.parallel_for(tiles * panels, 1, [&](size_t unit, size_t) {
    // Whoever finishes the last panel of a tile chooses for its rows; whoever finishes the last tile sorts.
    score(weights, in, rows, unit, scratch);
    const size_t tile = unit / panels;
    if (scored_[tile].fetch_add(1, std::memory_order_acq_rel) + 1 < panels) return;
    scored_[tile].store(0, std::memory_order_relaxed);
    for (size_t t = tile * kScoreRows; t < std::min(rows, (tile + 1) * kScoreRows); ++t) choose(t, scratch);
    if (tiles_chosen_.fetch_add(1, std::memory_order_acq_rel) + 1 < tiles) return;
    tiles_chosen_.store(0, std::memory_order_relaxed);
    sort(rows, worker.count());
  });
  worker.barrier();  // the groups are known
  worker.parallel_for(groups_.size() * slices_, 1,
                      [&](size_t unit, size_t) { compute_inner(weights, in, unit, scratch); });
  const size_t out_panels = config_.embedding / kPanelRows;
  const size_t per_unit = divide_up(out_panels, static_cast<size_t>(worker.count()) * kUnitsPerThread);
  worker.parallel_for(out_panels, round_up(per_unit, kStepPanels),
                      [&](size_t begin, size_t end) { add_outer(weights, begin, end, scratch, x); });
}

// One panel of the router for one tile of rows.
void Experts::score(const ExpertWeights& weights, const Activations& in, size_t rows, size_t unit,
                    Scratch& scratch) {
  const size_t panels = weights.router.panels(), first = unit / panels * kScoreRows, panel = unit % panels;
  float* scores = scores_.data() + first * score_stride_ + panel * kPanelRows;
  multiply_part(kernels_, scratch.room, in, first, std::min(kScoreRows, rows - first), Rounding::kPlain,
                {&weights.router, scores, score_stride_, false}, panel, panel + 1);
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
  const size_t used = config_.experts.used;
  std::fill(slot_after_expert_.begin(), slot_after_expert_.end(), 0);
  for (size_t i = 0; i < rows * used; ++i) ++slot_after_expert_[chosen_[i]];
  groups_.clear();
  size_t slot = 0;
  for (size_t e = 0; e < slot_after_expert_.size(); ++e) {
    size_t left = slot_after_expert_[e];
    slot_after_expert_[e] = slot;
    for (; left > 0; left -= groups_.back().rows) {
      groups_.push_back({e, slot, std::min(kGroupRows, left)});
      slot += round_up(groups_.back().rows, kTokenTile);
    }
  }
  for (size_t i = 0; i < rows * used; ++i) {
    const size_t to = slot_after_expert_[chosen_[i]]++;
    row_of_slot_[to] = i / used;
    weight_of_slot_[to] = weight_of_chosen_[i];
  }
  const size_t units = static_cast<size_t>(threads) * kUnitsPerThread;
  slices_ = std::min(divide_up(inner_.columns(), kStepColumns), divide_up(units, groups_.size()));
}

void Experts::gather(const Activations& in, const Group& group, bool is_int8, Scratch& scratch) const {
  for (size_t i = 0; i < group.rows; ++i) {
    const size_t row = row_of_slot_[group.first + i];
    is_int8 ? scratch.rows.copy_blocks(in, row, i) : scratch.rows.copy_floats(in, row, i);
  }
}

// Gate and up of some inner columns for one group, the activation, and its blocks.
void Experts::compute_inner(const ExpertWeights& weights, const Activations& in, size_t unit,
                            Scratch& scratch) {
  const Group& group = groups_[unit / slices_];
  const PackedMatrix &gate = weights.gate[group.expert], &up = weights.up[group.expert];
  gather(in, group, is_int8(gate), scratch);
  if (is_int8(up) != is_int8(gate)) gather(in, group, is_int8(up), scratch);
  const bool down_is_int8 = is_int8(weights.down[group.expert]);
  const auto activate =
      config_.activation == Activation::kSilu ? kernels_.silu_multiply : kernels_.gelu_multiply;
  const size_t slice = unit % slices_, steps = divide_up(gate.panels(), kStepPanels);
  for (size_t step = slice * steps / slices_; step < (slice + 1) * steps / slices_; ++step) {
    const size_t panel = step * kStepPanels, end = std::min(gate.panels(), panel + kStepPanels);
    const size_t column = panel * kPanelRows, columns = (end - panel) * kPanelRows;
    multiply_part(kernels_, scratch.room, scratch.rows, 0, group.rows, Rounding::kPlain,
                  {&gate, scratch.gate.data(), kStepColumns, false}, panel, end);
    multiply_part(kernels_, scratch.room, scratch.rows, 0, group.rows, Rounding::kPlain,
                  {&up, scratch.up.data(), kStepColumns, false}, panel, end);
    for (size_t i = 0; i < group.rows; ++i) {
      const size_t slot = group.first + i;
      float* out = down_is_int8 ? scratch.out.data() : inner_.row(slot) + column;
      activate(scratch.gate.data() + i * kStepColumns, scratch.up.data() + i * kStepColumns, columns, out);
      if (down_is_int8) inner_.prepare_columns(kernels_, std::span(out, columns), slot, column);
    }
  }
}

// Some columns of the output, for all groups: a row's experts come in the order of their indices.
void Experts::add_outer(const ExpertWeights& weights, size_t first_panel, size_t end_panel, Scratch& scratch,
                        float* x) {
  const size_t width = config_.embedding;
  for (const Group& group : groups_) {
    for (size_t panel = first_panel; panel < end_panel; panel += kStepPanels) {
      const size_t end = std::min(end_panel, panel + kStepPanels), columns = (end - panel) * kPanelRows;
      multiply_part(kernels_, scratch.room, inner_, group.first, group.rows, Rounding::kPlain,
                    {&weights.down[group.expert], scratch.out.data(), kStepColumns, false}, panel, end);
      for (size_t i = 0; i < group.rows; ++i) {
        const float weight = weight_of_slot_[group.first + i];
        const float* y = scratch.out.data() + i * kStepColumns;
        float* to = x + row_of_slot_[group.first + i] * width + panel * kPanelRows;
        for (size_t c = 0; c < columns; ++c) to[c] = to[c] + weight * y[c];
      }
    }
  }
}

bool Experts::is_int8(const PackedMatrix& matrix) const {
  return !is_float_ && kernels_.gemm_int8[static_cast<size_t>(matrix.format())] != nullptr;
}

}  // namespace cresset::engine
