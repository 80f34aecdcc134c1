#include "engine/model/forward.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/kernel/denormals.h"

namespace cresset::engine {
namespace {

size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

}  // namespace

Forward::Forward(const ModelConfig& config, const Weights& weights, const Kernels& kernels,
                 Arithmetic arithmetic, const KvShape& kv, int threads, size_t rows_max)
    : config_(config),
      weights_(weights),
      kernels_(kernels),
      is_float_(arithmetic == Arithmetic::kFloat32),
      attention_(config, kernels, arithmetic, kv, threads),
      gated_(config, kernels, threads, rows_max),
      experts_(config, kernels, arithmetic, threads, rows_max),
      rows_max_(rows_max),
      logits_stride_(round_up(config.vocabulary, 16)),
      query_width_(config.heads * config.head_size),
      kv_width_(config.kv_heads * config.head_size),
      normed_(rows_max, config.embedding, !is_float_, Rounding::kFine),
      attention_in_(rows_max, query_width_, !is_float_, Rounding::kPlain),
      feed_in_(rows_max, config.feed_forward, !is_float_, Rounding::kPlain),
      logits_in_(rows_max, config.embedding, !is_float_, Rounding::kFine),
      product_scratch_(threads) {
  const size_t width = round_up(config.embedding, 16);
  run_of_row_.resize(rows_max);
  position_of_row_.resize(rows_max);
  x_.resize(rows_max * width);
  query_.resize(rows_max * query_width_);
  key_.resize(rows_max * kv_width_);
  value_.resize(rows_max * kv_width_);
  if (config.has_post_norms) block_out_.resize(rows_max * width);
  const size_t pairs = config.rope_size / 2;
  for (const RopeConfig& rope : config.ropes) {
    std::vector<float> inverse(pairs);
    for (size_t i = 0; i < pairs; ++i) {
      const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(config.rope_size);
      inverse[i] =
          static_cast<float>(1.0 / std::pow(static_cast<double>(rope.base), exponent)) * rope.position_scale;
      if (!config.rope_factors.empty()) inverse[i] /= config.rope_factors[i];
    }
    inverse_frequencies_.push_back(std::move(inverse));
    rotations_.emplace_back(rows_max * config.rope_size * 2);
  }
}

size_t Forward::row_chunk(const Worker& worker) const {
  return std::max<size_t>(1, tokens_.size() / (static_cast<size_t>(worker.count()) * 4));
}

void Forward::run(Pool& pool, std::span<const Run> runs, std::span<const Token> tokens,
                  std::span<const size_t> logit_rows, float* logits) {
  CHECK(tokens.size() <= rows_max_ && !tokens.empty());
  runs_ = runs;
  tokens_ = tokens;
  logit_rows_ = logit_rows;
  logits_ = logits;
  for (size_t r = 0; r < runs.size(); ++r) {
    for (size_t i = 0; i < runs[r].rows; ++i) {
      run_of_row_[runs[r].first_row + i] = r;
      position_of_row_[runs[r].first_row + i] = runs[r].sequence->length + i;
    }
  }
  attention_.plan(runs, pool.threads());
  pool.run([this](Worker& worker) {
    const DenormalsFlushed flushed;
    if (profile_ != nullptr) profile_->begin(worker.index());
    embed(worker);
    mark(worker, Part::kEmbedding);
    for (size_t layer = 0; layer < config_.layers; ++layer) {
      attention_block(worker, layer);
      feed_forward_block(worker, layer);
    }
    if (!logit_rows_.empty()) write_logits(worker);
    mark(worker, Part::kLogits);
  });
  for (const Run& run : runs) run.sequence->length += run.rows;
}

void Forward::embed(Worker& worker) {
  const size_t width = config_.embedding, pairs = config_.rope_size / 2;
  const size_t row_size = row_bytes(weights_.embedding_format, width).value_or(0);
  worker.parallel_for(tokens_.size(), row_chunk(worker), [&](size_t begin, size_t end) {
    std::vector<std::byte> row(row_size);
    for (size_t t = begin; t < end; ++t) {
      const std::span<float> x(x_.data() + t * width, width);
      // Mapped pages would bring their neighbours, and add up to a second table.
      weights_.file->copy(weights_.embedding.data() + static_cast<size_t>(tokens_[t]) * row_size, row);
      dequantise_row(weights_.embedding_format, row, x);
      for (float& v : x) v *= config_.embedding_scale;
      for (size_t r = 0; r < rotations_.size(); ++r) {
        float* const cosines = rotations_[r].data() + t * config_.rope_size * 2;
        float* const sines = cosines + config_.rope_size;
        for (size_t i = 0; i < pairs; ++i) {
          const float angle = static_cast<float>(position_of_row_[t]) * inverse_frequencies_[r][i];
          const bool is_adjacent = config_.rope_pairs == RopePairs::kAdjacent;
          const size_t a = is_adjacent ? 2 * i : i, b = is_adjacent ? a + 1 : i + pairs;
          cosines[a] = cosines[b] = static_cast<float>(std::cos(static_cast<double>(angle)));
          sines[b] = static_cast<float>(std::sin(static_cast<double>(angle)));
          sines[a] = -sines[b];
        }
      }
    }
  });
}

void Forward::normalise(Worker& worker, const float* weight, Rounding rounding) {
  const size_t width = config_.embedding, rows = tokens_.size();
  worker.parallel_for(rows, row_chunk(worker), [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      kernels_.rms_norm(x_.data() + t * width, weight, width, config_.epsilon, normed_.row(t));
      normed_.prepare(kernels_, t, rounding);
    }
  });
}

void Forward::multiply(Worker& worker, const Activations& x, size_t rows, Rounding rounding,
                       std::initializer_list<Product> products) {
  engine::multiply(worker, kernels_, product_scratch_, x, rows, rounding, products);
}

void Forward::attention_block(Worker& worker, size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  const size_t rows = tokens_.size();
  normalise(worker, w.attention_norm.data(), Rounding::kFine);
  mark(worker, Part::kNorms);
  multiply(worker, normed_, rows, Rounding::kFine,
           {{&w.query, query_.data(), query_width_, false},
            {&w.key, key_.data(), kv_width_, false},
            {&w.value, value_.data(), kv_width_, false}});
  mark(worker, Part::kQueryKeyValue);
  worker.parallel_for(rows, row_chunk(worker), [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) rotate_and_store(layer, t);
  });
  mark(worker, Part::kRopeAndStore);
  attention_.run(worker, layer, query_.data(), attention_in_);
  mark(worker, Part::kAttention);
  worker.parallel_for(rows, row_chunk(worker), [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) attention_in_.prepare(kernels_, t, Rounding::kPlain);
  });
  mark(worker, Part::kNorms);
  const bool is_direct = !config_.has_post_norms;
  multiply(worker, attention_in_, rows, Rounding::kPlain,
           {{&w.attention_output, is_direct ? x_.data() : block_out_.data(), config_.embedding, is_direct}});
  mark(worker, Part::kAttentionOutput);
  if (!is_direct) add_residual(worker, w.post_attention_norm);
}

void Forward::feed_forward_block(Worker& worker, size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  const size_t rows = tokens_.size();
  const bool has_experts = config_.layer[layer].has_experts;
  normalise(worker, w.feed_forward_norm.data(), has_experts ? Rounding::kPlain : Rounding::kOutliers);
  mark(worker, Part::kNorms);
  if (has_experts) {
    experts_.run(worker, product_scratch_, w.experts, normed_, rows, x_.data());
    mark(worker, Part::kExperts);
    return;
  }
  gated_.run(worker, product_scratch_, w.gate, w.up, w.down, normed_, rows, feed_in_);
  mark(worker, Part::kGateUp);
  const bool is_direct = !config_.has_post_norms;
  multiply(worker, feed_in_, rows, Rounding::kPlain,
           {{&w.down, is_direct ? x_.data() : block_out_.data(), config_.embedding, is_direct}});
  mark(worker, Part::kDown);
  if (!is_direct) add_residual(worker, w.post_feed_forward_norm);
  mark(worker, Part::kNorms);
}

void Forward::add_residual(Worker& worker, const std::vector<float>& post_norm) {
  const size_t width = config_.embedding;
  worker.parallel_for(tokens_.size(), row_chunk(worker), [&](size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t) {
      float* y = block_out_.data() + t * width;
      kernels_.rms_norm(y, post_norm.data(), width, config_.epsilon, y);
      kernels_.add(x_.data() + t * width, y, width);
    }
  });
}

void Forward::write_logits(Worker& worker) {
  const size_t width = config_.embedding, rows = logit_rows_.size();
  worker.parallel_for(rows, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      kernels_.rms_norm(x_.data() + logit_rows_[i] * width, weights_.output_norm.data(), width,
                        config_.epsilon, logits_in_.row(i));
      logits_in_.prepare(kernels_, i, Rounding::kFine);
    }
  });
  multiply(worker, logits_in_, rows, Rounding::kFine, {{&weights_.output, logits_, logits_stride_, false}});
}

void Forward::rotate_and_store(size_t layer, size_t row) {
  const LayerWeights& w = weights_.layers[layer];
  const size_t d = config_.head_size, position = position_of_row_[row];
  if (config_.has_attention_biases) {
    kernels_.add(query_.data() + row * query_width_, w.query_bias.data(), query_width_);
    kernels_.add(key_.data() + row * kv_width_, w.key_bias.data(), kv_width_);
    kernels_.add(value_.data() + row * kv_width_, w.value_bias.data(), kv_width_);
  }
  const size_t n = config_.rope_size;
  const float* cosines = rotations_[static_cast<size_t>(config_.layer[layer].rope)].data() + row * n * 2;
  const auto rotate =
      config_.rope_pairs == RopePairs::kAdjacent ? kernels_.rotate_neighbours : kernels_.rotate_halves;
  for (size_t h = 0; h < config_.heads; ++h) {
    float* q = query_.data() + row * query_width_ + h * d;
    if (config_.has_query_key_norm) kernels_.rms_norm(q, w.query_norm.data(), d, config_.epsilon, q);
    rotate(q, cosines, cosines + n, n);
    attention_.finish_query(q);
  }
  const KvSequence& sequence = *runs_[run_of_row_[row]].sequence;
  for (size_t h = 0; h < config_.kv_heads; ++h) {
    float* k = key_.data() + row * kv_width_ + h * d;
    if (config_.has_query_key_norm) kernels_.rms_norm(k, w.key_norm.data(), d, config_.epsilon, k);
    rotate(k, cosines, cosines + n, n);
    attention_.store(layer, h, sequence, position, k, value_.data() + row * kv_width_ + h * d);
  }
}

}  // namespace cresset::engine
