#include "engine/model/product.h"

#include <algorithm>
#include <new>

#include "base/check.h"

namespace cresset::engine {
namespace {

constexpr size_t kBytesAtOnce = 600 << 10;  // of activations that stay in the second-level cache
constexpr std::align_val_t kAlignment{64};

size_t divide_up(size_t n, size_t by) {
  return (n + by - 1) / by;
}

// The blocks that `rounding` rounds a second time, as bits.
void choose_blocks(const ActivationBlock* blocks, size_t count, Rounding rounding, uint64_t* chosen) {
  float sum = 0;
  for (size_t b = 0; b < count; ++b) sum += blocks[b * kTokenTile].scale * blocks[b * kTokenTile].scale;
  const float least = sum / static_cast<float>(count) * (rounding == Rounding::kFine ? 2.0f : 6.0f);
  for (size_t b = 0; b < count; ++b) {
    if (b % 64 == 0) chosen[b / 64] = 0;
    const float scale = blocks[b * kTokenTile].scale;
    chosen[b / 64] |= uint64_t{scale * scale > least} << b % 64;
  }
}

}  // namespace

Activations::Activations(size_t rows_max, size_t columns, bool has_blocks, Rounding rounding)
    : columns_(columns), floats_(rows_max * columns) {
  if (!has_blocks || columns % kBlockItems != 0) return;
  blocks_.resize(divide_up(rows_max, kTokenTile) * kTokenTile * (columns / kBlockItems));
  if (rounding == Rounding::kPlain) return;
  rest_.resize(blocks_.size());
  rest_words_ = divide_up(columns / kBlockItems, 64);
  rest_chosen_.resize(rows_max * rest_words_);
}

void Activations::prepare(const Kernels& kernels, size_t row, Rounding rounding) {
  if (blocks_.empty()) return;
  const size_t count = columns_ / kBlockItems, at = activation_index(row, count);
  const ActivationBlock* const blocks = blocks_.data() + at;
  kernels.quantise(this->row(row), columns_, blocks_.data() + at);
  if (rounding == Rounding::kPlain) return;
  uint64_t* const chosen = rest_chosen_.data() + row * rest_words_;
  choose_blocks(blocks, count, rounding, chosen);
  kernels.quantise_rest(this->row(row), columns_, blocks, chosen, rest_.data() + at);
}

void Activations::prepare_columns(const Kernels& kernels, std::span<const float> x, size_t row,
                                  size_t first_column) {
  CHECK(first_column % kBlockItems == 0 && x.size() % kBlockItems == 0);
  const size_t at = activation_index(row, columns_ / kBlockItems) + first_column / kBlockItems * kTokenTile;
  kernels.quantise(x.data(), x.size(), blocks_.data() + at);
}

void Activations::copy_floats(const Activations& from, size_t from_row, size_t to) {
  std::copy_n(from.row(from_row), columns_, row(to));
}

void Activations::copy_blocks(const Activations& from, size_t from_row, size_t to) {
  const size_t count = columns_ / kBlockItems;
  const ActivationBlock* source = from.blocks_.data() + activation_index(from_row, count);
  ActivationBlock* target = blocks_.data() + activation_index(to, count);
  for (size_t b = 0; b < count; ++b) target[b * kTokenTile] = source[b * kTokenTile];
}

const ActivationBlock* Activations::blocks(size_t tile_row) const {
  return blocks_.data() + activation_index(tile_row, columns_ / kBlockItems);
}
const ActivationBlock* Activations::rest(size_t tile_row) const {
  return rest_.data() + activation_index(tile_row, columns_ / kBlockItems);
}
const uint64_t* Activations::rest_chosen(size_t row) const {
  return rest_chosen_.data() + row * rest_words_;
}

ProductScratch::ProductScratch(int threads)
    : room_(static_cast<unsigned char*>(
          ::operator new(static_cast<size_t>(threads) * kGemmScratchBytes, kAlignment))) {}
void ProductScratch::Free::operator()(unsigned char* p) const {
  ::operator delete(p, kAlignment);
}
unsigned char* ProductScratch::of(const Worker& worker) const {
  return room_.get() + static_cast<size_t>(worker.index()) * kGemmScratchBytes;
}

void multiply_part(const Kernels& kernels, unsigned char* scratch, const Activations& x, size_t row0,
                   size_t rows, Rounding rounding, const Product& product, size_t first_panel,
                   size_t end_panel) {
  const PackedMatrix& w = *product.weights;
  const auto format = static_cast<size_t>(w.format());
  const bool is_int8 = x.has_blocks() && kernels.gemm_int8[format] != nullptr;
  const bool has_rest = is_int8 && rounding != Rounding::kPlain;
  const GemmArguments arguments{.panels = w.panel(first_panel),
                                .panel_count = end_panel - first_panel,
                                .panel_bytes = w.panel_bytes(),
                                .columns = x.columns(),
                                .tokens = rows,
                                .blocks = is_int8 ? x.blocks(row0) : nullptr,
                                .rest = has_rest ? x.rest(row0) : nullptr,
                                .rest_chosen = has_rest ? x.rest_chosen(row0) : nullptr,
                                .rest_words = x.rest_words(),
                                .floats = x.row(row0),
                                .floats_stride = x.columns(),
                                .y = product.y,
                                .y_stride = product.y_stride,
                                .accumulate = product.accumulate,
                                .scratch = scratch};
  (is_int8 ? kernels.gemm_int8 : kernels.gemm_float)[format](arguments);
}

void multiply(Worker& worker, const Kernels& kernels, const ProductScratch& scratch, const Activations& x,
              size_t rows, Rounding rounding, std::initializer_list<Product> products) {
  size_t panels = 0;
  for (const Product& p : products) panels += p.weights->panels();
  const auto threads = static_cast<size_t>(worker.count());
  size_t group = std::clamp<size_t>(panels / (threads * 8), 1, rows < kTokenTile ? 8 : 4);
  if (group > kGemmPanels) group -= group % kGemmPanels;
  size_t groups = 0;
  for (const Product& p : products) groups += divide_up(p.weights->panels(), group);
  // Rows in equal stretches of whole tiles.
  const size_t row_bytes = x.columns() / kBlockItems * sizeof(ActivationBlock) + 1;
  const size_t stretches = divide_up(rows, std::clamp<size_t>(kBytesAtOnce / row_bytes, 96, kGemmTokens));
  const size_t stretch = divide_up(divide_up(rows, stretches), kTokenTile) * kTokenTile;
  worker.parallel_for(groups * stretches, 1, [&](size_t begin, size_t end) {
    for (size_t unit = begin; unit < end; ++unit) {
      const size_t row0 = unit / groups * stretch;
      if (row0 >= rows) return;
      size_t index = unit % groups;
      for (const Product& p : products) {
        const size_t count = divide_up(p.weights->panels(), group);
        if (index >= count) {
          index -= count;
          continue;
        }
        Product part = p;
        part.y += row0 * p.y_stride + index * group * kPanelRows;
        multiply_part(kernels, scratch.of(worker), x, row0, std::min(stretch, rows - row0), rounding, part,
                      index * group, std::min((index + 1) * group, p.weights->panels()));
        break;
      }
    }
  });
}

}  // namespace cresset::engine
