// The inner half of a feed-forward: activation(gate(in)) * up(in), rounded to 8 bits for the product that
// follows. One piece of work takes some columns from the products to the rounded result while they are in the
// caches, so that neither of the wide products is ever stored whole.
#pragma once

#include <vector>

#include "base/zeroed.h"
#include "engine/kernel/kernels.h"
#include "engine/model/config.h"
#include "engine/model/product.h"
#include "engine/run/pool.h"

namespace cresset::engine {

class Gated {
 public:
  Gated(const ModelConfig& config, const Kernels& kernels, int threads, size_t rows_max);

  // Rows [0, rows) of `in` to those of `out`: its blocks where `down`, which reads it, is multiplied in 8
  // bits, else its floats. Called by every thread.
  void run(Worker& worker, const ProductScratch& room, const PackedMatrix& gate, const PackedMatrix& up,
           const PackedMatrix& down, const Activations& in, size_t rows, Activations& out);

 private:
  struct Scratch {
    ZeroedVector<float> gate, up;  // [row][kColumns]
  };
  void activate_row(const Scratch& scratch, size_t index, size_t row, size_t column, size_t columns,
                    bool is_int8, Activations& out) const;

  const ModelConfig& config_;
  const Kernels& kernels_;
  std::vector<Scratch> scratch_;  // per thread
};

}  // namespace cresset::engine
