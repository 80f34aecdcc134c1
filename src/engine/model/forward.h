// Forward: one pass of the transformer over a flat batch of tokens from many sequences.
//
// A batch is a list of runs; a run is consecutive positions of one sequence. Decoding is a run of one token,
// prefill a longer one; both travel in the same batch. Each token's result has the same bits whatever else is
// in the batch (kernel/kernels.h), whichever threads compute it. Owned by the engine's leader; the pool's
// threads work inside forward().
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/zeroed.h"
#include "engine/engine.h"
#include "engine/kernel/kernels.h"
#include "engine/load/weights.h"
#include "engine/model/attention.h"
#include "engine/model/config.h"
#include "engine/model/experts.h"
#include "engine/model/gated.h"
#include "engine/model/product.h"
#include "engine/model/profile.h"
#include "engine/run/kv_cache.h"
#include "engine/run/pool.h"
#include "engine/token/vocabulary.h"

namespace cresset::engine {

class Forward {
 public:
  Forward(const ModelConfig& config, const Weights& weights, const Kernels& kernels, Arithmetic arithmetic,
          const KvShape& kv, int threads, size_t rows_max);

  // Computes `tokens` (one per row of the runs, in order), writes their keys and values, advances each
  // sequence's length, and writes the logits of the rows in `logit_rows` (ascending) to logits[i *
  // logits_stride()].
  void run(Pool& pool, std::span<const Run> runs, std::span<const Token> tokens,
           std::span<const size_t> logit_rows, float* logits);

  // Between runs: the passes on `pool` tell `profile` where their time goes; null: they do not.
  void set_profile(Pool& pool, Profile* profile) {
    profile_ = profile;
    pool.measure_waiting(profile == nullptr ? nullptr : &profile->clock());
  }

  size_t rows_max() const { return rows_max_; }
  size_t logits_stride() const { return logits_stride_; }  // vocabulary rounded up to a panel

 private:
  void mark(const Worker& worker, Part part) {
    if (profile_ != nullptr) profile_->mark(worker.index(), part, worker.waited());
  }
  void embed(Worker& worker);
  void attention_block(Worker& worker, size_t layer);
  void feed_forward_block(Worker& worker, size_t layer);
  void write_logits(Worker& worker);
  void normalise(Worker& worker, const float* weight, Rounding rounding);
  void add_residual(Worker& worker, const std::vector<float>& post_norm);
  void rotate_and_store(size_t layer, size_t row);
  void multiply(Worker& worker, const Activations& x, size_t rows, Rounding rounding,
                std::initializer_list<Product> products);
  size_t row_chunk(const Worker& worker) const;

  const ModelConfig& config_;
  const Weights& weights_;
  const Kernels& kernels_;
  Profile* profile_ = nullptr;
  bool is_float_;
  Attention attention_;
  Gated gated_;
  Experts experts_;
  size_t rows_max_, logits_stride_, query_width_, kv_width_;

  // The batch in work.
  std::span<const Run> runs_;
  std::span<const Token> tokens_;
  std::span<const size_t> logit_rows_;
  float* logits_ = nullptr;
  std::vector<size_t> run_of_row_, position_of_row_;

  ZeroedVector<float> x_, query_, key_, value_, block_out_;
  Activations normed_, attention_in_, feed_in_, logits_in_;
  ProductScratch product_scratch_;
  std::vector<std::vector<float>> rotations_;  // per rope: [row] cosines[rope_size], sines[rope_size]
  std::vector<std::vector<float>> inverse_frequencies_;
};

}  // namespace cresset::engine
