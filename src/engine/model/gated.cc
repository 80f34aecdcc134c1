#include "engine/model/gated.h"

#include <algorithm>
#include <span>

namespace cresset::engine {
namespace {

constexpr size_t kPanels = 4;                      // of gate, and as many of up, in a piece of work
constexpr size_t kColumns = kPanels * kPanelRows;  // that these give
constexpr size_t kRows = 21 * kTokenTile;          // whose results and inputs stay in the second-level cache

}  // namespace

Gated::Gated(const ModelConfig& config, const Kernels& kernels, int threads, size_t rows_max)
    : config_(config), kernels_(kernels), scratch_(static_cast<size_t>(threads)) {
  if (config.feed_forward == 0) return;
  for (Scratch& s : scratch_) {
    s.gate.resize(std::min(kRows, rows_max) * kColumns);
    s.up.resize(s.gate.size());
  }
}

void Gated::run(Worker& worker, const ProductScratch& room, const PackedMatrix& gate, const PackedMatrix& up,
                const PackedMatrix& down, const Activations& in, size_t rows, Activations& out) {
  const bool is_int8 = out.has_blocks() && kernels_.gemm_int8[static_cast<size_t>(down.format())] != nullptr;
  const size_t steps = (gate.panels() + kPanels - 1) / kPanels;
  const size_t stretches = (rows + kRows - 1) / kRows;
  const size_t stretch = ((rows + stretches - 1) / stretches + kTokenTile - 1) / kTokenTile * kTokenTile;
  worker.parallel_for(steps * stretches, 1, [&](size_t unit, size_t) {
    const size_t row0 = unit / steps * stretch;
    if (row0 >= rows) return;
    const size_t count = std::min(stretch, rows - row0);
    const size_t panel = unit % steps * kPanels, end = std::min(gate.panels(), panel + kPanels);
    Scratch& s = scratch_[static_cast<size_t>(worker.index())];
    multiply_part(kernels_, room.of(worker), in, row0, count, Rounding::kOutliers,
                  {&gate, s.gate.data(), kColumns, false}, panel, end);
    multiply_part(kernels_, room.of(worker), in, row0, count, Rounding::kOutliers,
                  {&up, s.up.data(), kColumns, false}, panel, end);
    const size_t column = panel * kPanelRows;
    const size_t columns = std::min(config_.feed_forward, end * kPanelRows) - column;
    for (size_t i = 0; i < count; ++i) activate_row(s, i, row0 + i, column, columns, is_int8, out);
  });
}

void Gated::activate_row(const Scratch& scratch, size_t index, size_t row, size_t column, size_t columns,
                         bool is_int8, Activations& out) const {
  const auto activate =
      config_.activation == Activation::kSilu ? kernels_.silu_multiply : kernels_.gelu_multiply;
  float rounded_next[kColumns];
  float* const to = is_int8 ? rounded_next : out.row(row) + column;
  activate(scratch.gate.data() + index * kColumns, scratch.up.data() + index * kColumns, columns, to);
  if (is_int8) out.prepare_columns(kernels_, std::span(rounded_next, columns), row, column);
}

}  // namespace cresset::engine
