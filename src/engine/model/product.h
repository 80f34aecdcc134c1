// Products of activations with packed matrices, spread over the pool's threads: the step that nearly all of a
// forward pass's time goes to.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "base/zeroed.h"
#include "engine/kernel/kernels.h"
#include "engine/kernel/packed.h"
#include "engine/run/pool.h"

namespace cresset::engine {

// How often activations are rounded to 8 bits: once, or in some blocks of a row a second time, which adds the
// product with what the first rounding left over. The inputs behind a norm have outliers that cost their
// neighbours in a block much, so most of a row's error lies in few blocks (docs/QUALITY.md has each part's
// share of the loss). kFine: blocks whose squared scale is above twice the row's mean; kOutliers: above six
// times it.
enum class Rounding { kPlain, kOutliers, kFine };

// What a matrix multiplies: rows of `columns` floats, and their 8-bit blocks once prepared.
class Activations {
 public:
  Activations() = default;
  // `has_blocks`: quantised weights will be multiplied in 8 bits; `rounding`: the finest that will be asked.
  Activations(size_t rows_max, size_t columns, bool has_blocks, Rounding rounding);

  size_t columns() const { return columns_; }
  bool has_blocks() const { return !blocks_.empty(); }
  float* row(size_t index) { return floats_.data() + index * columns_; }
  const float* row(size_t index) const { return floats_.data() + index * columns_; }

  // Rounds a row to 8 bits. Rows may be prepared by several threads at once.
  void prepare(const Kernels& kernels, size_t row, Rounding rounding);
  // Rounds `x` as some whole blocks of a row, without keeping the floats.
  void prepare_columns(const Kernels& kernels, std::span<const float> x, size_t row, size_t first_column);
  // Takes another's row as row `to`: as floats, and as it was rounded there (plainly).
  void copy_floats(const Activations& from, size_t from_row, size_t to);
  void copy_blocks(const Activations& from, size_t from_row, size_t to);

  const ActivationBlock* blocks(size_t tile_row) const;  // the row is the first of a tile
  const ActivationBlock* rest(size_t tile_row) const;
  // See GemmArguments.
  const uint64_t* rest_chosen(size_t row) const;
  size_t rest_words() const { return rest_words_; }

 private:
  size_t columns_ = 0;
  ZeroedVector<float> floats_;
  ZeroedVector<ActivationBlock> blocks_, rest_;  // see activation_index
  std::vector<uint64_t> rest_chosen_;            // [row][rest_words_]
  size_t rest_words_ = 0;
};

// Each thread's room for the kernels.
class ProductScratch {
 public:
  explicit ProductScratch(int threads);
  unsigned char* of(const Worker& worker) const;

 private:
  struct Free {
    void operator()(unsigned char* p) const;
  };
  std::unique_ptr<unsigned char, Free> room_;
};

struct Product {
  const PackedMatrix* weights;
  float* y;  // row r of the result at y + r * y_stride
  size_t y_stride;
  bool accumulate;  // y += instead of y =
};

// Rows [0, rows) of x with each matrix. Called by every thread of the pool; ends with a barrier.
void multiply(Worker& worker, const Kernels& kernels, const ProductScratch& scratch, const Activations& x,
              size_t rows, Rounding rounding, std::initializer_list<Product> products);

// A part of the above that one thread does alone: panels [first, end) and rows [row0, row0 + rows), where
// row0 starts a tile. Its result goes to `product.y` itself.
void multiply_part(const Kernels& kernels, unsigned char* scratch, const Activations& x, size_t row0,
                   size_t rows, Rounding rounding, const Product& product, size_t first_panel,
                   size_t end_panel);

}  // namespace cresset::engine
