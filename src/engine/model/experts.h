// Experts: the feed-forward of a layer that chooses among experts (ExpertConfig) for each token.
//
// A row's result is a fixed sequence of operations, whatever else is in the batch and whichever threads
// compute it: the router's scores in float32; the `used` largest of them, of equal ones those with the lower
// index; weight = exp(score - largest) over the sum of the same of the chosen (is_renormalised, in the order
// of the scores) or of all; then, expert by expert in the order of their indices, x = x + weight *
// down(activation(gate(in)) * up(in)).
//
// Three steps, each ended by one barrier. Routing sorts the rows by expert. Gate, up, activation and rounding
// of some columns are one piece of work, whose input is an expert's rows gathered as the 8-bit blocks they
// already are. Down goes by columns of the output, so that no two threads add to the same. An expert that no
// row chose is not read.
//
// Owned by Forward; the pool's threads work inside run(). An expert that every token uses (DeepSeek) is not
// in here: it is a feed-forward like any other.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/kernel/kernels.h"
#include "engine/load/weights.h"
#include "engine/model/config.h"
#include "engine/model/product.h"
#include "engine/run/pool.h"

namespace cresset::engine {

class Experts {
 public:
  // Room for `rows_max` rows, if the model has experts.
  Experts(const ModelConfig& config, const Kernels& kernels, Arithmetic arithmetic, int threads,
          size_t rows_max);

  // Adds the experts' results for the prepared rows [0, rows) of `in` to those of `x`, which is as wide as
  // the embedding. Called by every thread.
  void run(Worker& worker, const ProductScratch& room, const ExpertWeights& weights, const Activations& in,
           size_t rows, float* x);

 private:
  // Rows that one expert computes at once: slots [first, first + rows) of the sorted list. Each group starts
  // a tile of activations, so there are unused slots between groups.
  struct Group {
    size_t expert, first, rows;
  };
  struct Scratch {
    unsigned char* room;  // for the kernels
    Activations rows;     // a group's, gathered
    std::vector<float> gate, up, out, exponentials;
  };

  void score(const ExpertWeights& weights, const Activations& in, size_t rows, size_t unit, Scratch& scratch);
  void choose(size_t row, Scratch& scratch);
  void sort(size_t rows, int threads);
  void gather(const Activations& in, const Group& group, bool is_int8, Scratch& scratch) const;
  void compute_inner(const ExpertWeights& weights, const Activations& in, size_t unit, Scratch& scratch);
  void add_outer(const ExpertWeights& weights, size_t first_panel, size_t end_panel, Scratch& scratch,
                 float* x);
  bool is_int8(const PackedMatrix& matrix) const;

  const ModelConfig& config_;
  const Kernels& kernels_;
  const bool is_float_;
  size_t score_stride_ = 0;

  // Of the batch in work.
  std::vector<float> scores_;              // [row][score_stride_]
  std::vector<uint32_t> chosen_;           // [row][used], best first
  std::vector<float> weight_of_chosen_;    // beside it
  std::vector<size_t> row_of_slot_;        // the rows sorted by expert
  std::vector<float> weight_of_slot_;      // beside it
  std::vector<size_t> slot_after_expert_;  // while sorting
  std::vector<Group> groups_;
  size_t slices_ = 1;                              // pieces that the inner columns of a group are cut into
  std::unique_ptr<std::atomic<size_t>[]> scored_;  // panels done of each tile of rows
  std::atomic<size_t> tiles_chosen_{0};
  Activations inner_;             // a row per slot: what down multiplies
  std::vector<Scratch> scratch_;  // per thread
};

}  // namespace cresset::engine
