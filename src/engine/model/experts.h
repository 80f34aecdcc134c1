// Experts: the feed-forward of a layer that chooses among experts (ExpertConfig) for each token.
//
// A row's result is a fixed sequence of operations, whatever else is in the batch and whichever threads
// compute it: the router's scores in float32; the `used` largest of them, of equal ones those with the lower
// index; weight = exp(score - largest) over the sum of the same of the chosen (is_renormalised, in the order
// of the scores) or of all; then, expert by expert in the order of their indices, x = x + weight *
// down(activation(gate(in)) * up(in)).
//
// Three steps, each ended by one barrier. Routing sorts the rows by expert. Gate, up, activation and
// quantisation of 32 columns are one piece of work, whose input is an expert's rows gathered as the 8-bit
// blocks they already are. Down goes by columns of the output, so that no two threads add to the same. An
// expert that no row chose is not read.
//
// Owned by Forward; the pool's threads work inside run(). What attention-free layers or experts that every
// token uses would need is not in here: they are blocks of their own.
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
#include "engine/run/pool.h"

namespace cresset::engine {

// The normed rows of a batch. Block b of row t at blocks[b * rows + t]; no blocks: everything in floats.
struct ExpertInput {
  const float* floats;
  const ActivationBlock* blocks;
  size_t rows;
};

class Experts {
 public:
  // Room for `rows_max` rows, if the model has experts.
  Experts(const ModelConfig& config, const Weights& weights, const Kernels& kernels, Arithmetic arithmetic,
          int threads, size_t rows_max);

  // Adds the experts' results to the rows of `x` (as wide as the embedding). Called by every thread.
  void run(Worker& worker, const ExpertWeights& weights, const ExpertInput& in, float* x);

 private:
  // Rows that one expert computes at once: slots [first, first + rows) of the sorted list.
  struct Group {
    size_t expert, first, rows;
  };
  // What a matrix multiplies, as GemmArguments has it.
  struct Rows {
    const float* floats;
    size_t floats_stride;
    const ActivationBlock* blocks;
    size_t blocks_stride;
    size_t count;
  };
  struct Scratch {
    std::vector<float> floats, gate, up, out, exponentials;
    std::vector<ActivationBlock> blocks;
  };

  void score(const ExpertWeights& weights, const ExpertInput& in, size_t unit, Scratch& scratch);
  void choose(size_t row, Scratch& scratch);
  void sort(size_t rows, int threads);
  void compute_inner(const ExpertWeights& weights, const ExpertInput& in, size_t unit, Scratch& scratch);
  void add_outer(const ExpertWeights& weights, size_t first_panel, size_t end_panel, Scratch& scratch,
                 float* x);
  Rows gather(const PackedMatrix& reader, const ExpertInput& in, const Group& group, Scratch& scratch) const;
  bool is_int8(const PackedMatrix& matrix) const;
  void multiply(const PackedMatrix& matrix, size_t panel, const Rows& x, float* y, size_t y_stride) const;

  const ModelConfig& config_;
  const Kernels& kernels_;
  const bool is_float_;
  size_t score_stride_ = 0, inner_ = 0;

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
  // Between gate/up and down. Of a group: block b of its row i at [first * blocks + b * rows + i].
  std::vector<ActivationBlock> inner_blocks_;
  std::vector<float> inner_floats_;  // [slot][inner]; only where a down matrix is in floats
  std::vector<Scratch> scratch_;     // per thread
};

}  // namespace cresset::engine
