#include "engine/model/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "engine/kernel/denormals.h"
#include "engine/kernel/exp.h"

namespace cresset::engine {
namespace {

constexpr size_t kWhole = std::numeric_limits<size_t>::max();
constexpr size_t kChunkPositions = kPagePositions * kChunkPages;
constexpr size_t kQueriesPerTask = 48;  // query rows times heads of a group
constexpr size_t kHeadSizeMax = 512;    // that config.cc lets through
constexpr size_t kReleaseEveryTokens = 16;
constexpr float kNone = -std::numeric_limits<float>::infinity();

size_t round_up(size_t n, size_t to) {
  return (n + to - 1) / to * to;
}

}  // namespace

Forward::Forward(const ModelConfig& config, const Weights& weights, const Kernels& kernels,
                 Arithmetic arithmetic, int threads, size_t rows_max)
    : config_(config),
      weights_(weights),
      kernels_(kernels),
      is_float_(arithmetic == Arithmetic::kFloat32),
      query_scale_(is_float_ ? config.attention_scale : config.attention_scale * kLog2E),
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
    cosines_.emplace_back(rows_max * pairs * 2);
  }
  const size_t group = config.heads / config.kv_heads;
  const size_t queries = std::max(group, kQueriesPerTask / group * group);
  scratch_.resize(static_cast<size_t>(threads) * 2);
  for (PartialSums& s : scratch_) {
    s.m.resize(queries);
    s.l.resize(queries);
    s.acc.resize(queries * config.head_size);
  }
  query_scratch_.assign(static_cast<size_t>(threads),
                        std::vector<unsigned char>(queries * config.head_size * 4));
  limits_scratch_.assign(static_cast<size_t>(threads), std::vector<int32_t>(queries * 2));
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
  plan_attention(pool.threads());
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
    for (size_t t = begin; t < end; ++t) {
      const std::span<float> x(x_.data() + t * width, width);
      dequantise_row(weights_.embedding_format,
                     weights_.embedding.subspan(static_cast<size_t>(tokens_[t]) * row_size, row_size), x);
      for (float& v : x) v *= config_.embedding_scale;
      for (size_t r = 0; r < cosines_.size(); ++r) {
        float* out = cosines_[r].data() + t * pairs * 2;
        for (size_t i = 0; i < pairs; ++i) {
          const float angle = static_cast<float>(position_of_row_[t]) * inverse_frequencies_[r][i];
          out[2 * i] = static_cast<float>(std::cos(static_cast<double>(angle)));
          out[2 * i + 1] = static_cast<float>(std::sin(static_cast<double>(angle)));
        }
      }
      // The system maps the pages around a token's embedding with it; left alone, they add up to a second
      // table.
      if (embedded_since_release_.fetch_add(1) + 1 >= kReleaseEveryTokens && weights_.file != nullptr) {
        embedded_since_release_ = 0;
        weights_.file->release_pages();
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
  worker.parallel_for(tasks_.size(), 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) attend(layer, tasks_[i], worker.index());
  });
  if (!split_groups_.empty()) {
    worker.parallel_for(split_groups_.size(), 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) merge_partials(split_groups_[i]);
    });
  }
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
  normalise(worker, w.feed_forward_norm.data(), Rounding::kPlain);
  mark(worker, Part::kNorms);
  if (config_.layer[layer].has_experts) {
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

void Forward::rotate(float* head, const float* cosines) const {
  const size_t pairs = config_.rope_size / 2;
  for (size_t i = 0; i < pairs; ++i) {
    float& a = config_.rope_pairs == RopePairs::kAdjacent ? head[2 * i] : head[i];
    float& b = config_.rope_pairs == RopePairs::kAdjacent ? head[2 * i + 1] : head[i + pairs];
    const float c = cosines[2 * i], s = cosines[2 * i + 1], x = a, y = b;
    a = x * c - y * s;
    b = x * s + y * c;
  }
}

void Forward::rotate_and_store(size_t layer, size_t row) {
  const LayerWeights& w = weights_.layers[layer];
  const size_t d = config_.head_size, position = position_of_row_[row];
  if (config_.has_attention_biases) {
    kernels_.add(query_.data() + row * query_width_, w.query_bias.data(), query_width_);
    kernels_.add(key_.data() + row * kv_width_, w.key_bias.data(), kv_width_);
    kernels_.add(value_.data() + row * kv_width_, w.value_bias.data(), kv_width_);
  }
  const float* cosines =
      cosines_[static_cast<size_t>(config_.layer[layer].rope)].data() + row * (config_.rope_size / 2) * 2;
  for (size_t h = 0; h < config_.heads; ++h) {
    float* q = query_.data() + row * query_width_ + h * d;
    if (config_.has_query_key_norm) kernels_.rms_norm(q, w.query_norm.data(), d, config_.epsilon, q);
    rotate(q, cosines);
    for (size_t i = 0; i < d; ++i) q[i] *= query_scale_;
  }
  const size_t page_index = position / kPagePositions, slot = position % kPagePositions;
  unsigned char* page = runs_[run_of_row_[row]].sequence->pages[page_index]->data();
  const size_t head_bytes = 2 * kPagePositions * d * (is_float_ ? 4u : 2u);
  for (size_t h = 0; h < config_.kv_heads; ++h) {
    float* k = key_.data() + row * kv_width_ + h * d;
    const float* v = value_.data() + row * kv_width_ + h * d;
    if (config_.has_query_key_norm) kernels_.rms_norm(k, w.key_norm.data(), d, config_.epsilon, k);
    rotate(k, cosines);
    unsigned char* base = page + (layer * config_.kv_heads + h) * head_bytes;
    if (is_float_) {
      auto* keys = reinterpret_cast<float*>(base) + slot / 16 * 16 * d + slot % 16;
      for (size_t i = 0; i < d; ++i) keys[i * 16] = k[i];
      std::copy(v, v + d, reinterpret_cast<float*>(base) + (kPagePositions + slot) * d);
      continue;
    }
    auto* keys = reinterpret_cast<uint16_t*>(base) + slot * 2;
    auto* values = reinterpret_cast<uint16_t*>(base) + (kPagePositions + slot / 2 * 2) * d + slot % 2;
    uint16_t rounded[kHeadSizeMax];
    kernels_.round_bfloat(k, d, rounded);
    for (size_t i = 0; i < d; i += 2) std::memcpy(keys + i * kPagePositions, rounded + i, 4);
    kernels_.round_bfloat(v, d, rounded);
    for (size_t i = 0; i < d; ++i) values[i * 2] = rounded[i];
  }
}

// Cuts the batch's attention into tasks. Where there are few (decoding a long sequence), the chunks of one
// query group are spread over tasks and merged afterwards in the same order and with the same operations.
void Forward::plan_attention(int threads) {
  const size_t group = config_.heads / config_.kv_heads;
  const size_t rows_per_task = std::max<size_t>(1, kQueriesPerTask / group);
  tasks_.clear();
  split_groups_.clear();
  size_t whole = 0, partial = 0;
  for (const Run& run : runs_) whole += (run.rows + rows_per_task - 1) / rows_per_task * config_.kv_heads;
  const bool is_split = whole < static_cast<size_t>(threads) * 8;
  for (size_t r = 0; r < runs_.size(); ++r) {
    const Run& run = runs_[r];
    for (size_t row = 0; row < run.rows; row += rows_per_task) {
      const size_t rows = std::min(rows_per_task, run.rows - row);
      const size_t chunks = (run.sequence->length + row + rows + kChunkPositions - 1) / kChunkPositions;
      for (size_t h = 0; h < config_.kv_heads; ++h) {
        if (!is_split || chunks == 1) {
          tasks_.push_back({r, h, row, rows, 0, chunks, kWhole});
          continue;
        }
        split_groups_.push_back(tasks_.size());
        for (size_t c = 0; c < chunks; ++c) tasks_.push_back({r, h, row, rows, c, c + 1, partial++});
      }
    }
  }
  if (partials_.size() < partial) partials_.resize(partial);
}

namespace {

// total += part, both unnormalised online-softmax sums of `queries` rows, in the reference arithmetic.
void merge_float(const AttentionSums& total, const AttentionSums& part, size_t queries, size_t d) {
  for (size_t n = 0; n < queries; ++n) {
    if (part.m[n] == kNone) continue;
    const float top = std::max(total.m[n], part.m[n]);
    const float keep = exp_approximation(total.m[n] - top), take = exp_approximation(part.m[n] - top);
    total.m[n] = top;
    total.l[n] = total.l[n] * keep + part.l[n] * take;
    for (size_t i = n * d; i < (n + 1) * d; ++i) total.acc[i] = total.acc[i] * keep + part.acc[i] * take;
  }
}

}  // namespace

void Forward::PartialSums::clear(size_t queries, size_t head_size) {
  m.assign(queries, kNone);
  l.assign(queries, 0.0f);
  acc.assign(queries * head_size, 0.0f);
}

void Forward::attend(size_t layer, const Task& task, int thread) {
  const Run& run = runs_[task.run];
  const size_t d = config_.head_size, group = config_.heads / config_.kv_heads, queries = task.rows * group;
  const auto window = static_cast<size_t>(config_.layer[layer].sliding_window);
  std::vector<unsigned char>& q = query_scratch_[static_cast<size_t>(thread)];
  int32_t* last = limits_scratch_[static_cast<size_t>(thread)].data();
  int32_t* first = last + queries;
  for (size_t i = 0; i < task.rows; ++i) {
    const size_t position = run.sequence->length + task.row + i;
    const float* from =
        query_.data() + (run.first_row + task.row + i) * query_width_ + task.kv_head * group * d;
    if (is_float_) {
      std::copy(from, from + group * d, reinterpret_cast<float*>(q.data()) + i * group * d);
    } else {
      for (size_t g = 0; g < group; ++g) {
        uint16_t rounded[kHeadSizeMax];
        kernels_.round_bfloat(from + g * d, d, rounded);
        unsigned char* pair = q.data() + (i * group + g) * 4;
        for (size_t k = 0; k < d; k += 2) std::memcpy(pair + k * queries * 2, rounded + k, 4);
      }
    }
    for (size_t g = 0; g < group; ++g) {
      last[i * group + g] = static_cast<int32_t>(position);
      first[i * group + g] =
          window == 0 || position + 1 < window ? 0 : static_cast<int32_t>(position + 1 - window);
    }
  }
  // The pages of this layer and head.
  const size_t head_bytes = 2 * kPagePositions * d * (is_float_ ? 4u : 2u);
  const size_t end_page = static_cast<size_t>(last[queries - 1]) / kPagePositions + 1;
  std::vector<const void*> pages(end_page);
  for (size_t p = 0; p < end_page; ++p) {
    pages[p] = run.sequence->pages[p]->data() + (layer * config_.kv_heads + task.kv_head) * head_bytes;
  }
  PartialSums& part =
      task.partial == kWhole ? scratch_[static_cast<size_t>(thread) * 2] : partials_[task.partial];
  PartialSums& total = scratch_[static_cast<size_t>(thread) * 2 + 1];
  if (task.partial == kWhole) total.clear(queries, d);
  const size_t first_page = static_cast<size_t>(first[0]) / kPagePositions;
  for (size_t c = task.chunk_first; c < task.chunk_end; ++c) {
    part.clear(queries, d);
    const AttentionArguments arguments{.q = q.data(),
                                       .queries = queries,
                                       .head_size = d,
                                       .last = last,
                                       .first = first,
                                       .pages = pages.data(),
                                       .page_first = std::max(first_page, c * kChunkPages),
                                       .page_end = std::min(end_page, (c + 1) * kChunkPages),
                                       .m = part.m.data(),
                                       .l = part.l.data(),
                                       .acc = part.acc.data()};
    if (arguments.page_first < arguments.page_end)
      (is_float_ ? kernels_.attend_float : kernels_.attend)(arguments);
    if (task.partial != kWhole) return;
    if (task.chunk_end - task.chunk_first == 1) {  // merging into nothing would give the same
      write_attended(task, part);
      return;
    }
    merge(total, part, queries);
  }
  write_attended(task, total);
}

void Forward::merge(PartialSums& total, PartialSums& part, size_t queries) const {
  (is_float_ ? merge_float : kernels_.merge)(total.view(), part.view(), queries, config_.head_size);
}

void Forward::merge_partials(size_t group_task) {
  const Task& task = tasks_[group_task];
  const size_t d = config_.head_size, group = config_.heads / config_.kv_heads, queries = task.rows * group;
  PartialSums total;
  total.clear(queries, d);
  for (size_t i = group_task; i < tasks_.size(); ++i) {
    const Task& part = tasks_[i];
    if (part.run != task.run || part.kv_head != task.kv_head || part.row != task.row) break;
    merge(total, partials_[part.partial], queries);
  }
  write_attended(task, total);
}

// The finished sums of a task's queries, each head beside the next as the output projection reads them.
void Forward::write_attended(const Task& task, const PartialSums& total) {
  const size_t d = config_.head_size, group = config_.heads / config_.kv_heads;
  for (size_t i = 0; i < task.rows; ++i) {
    float* out = attention_in_.row(runs_[task.run].first_row + task.row + i) + task.kv_head * group * d;
    for (size_t n = 0; n < group; ++n)
      kernels_.divide(total.acc.data() + (i * group + n) * d, d, total.l[i * group + n], out + n * d);
  }
}

}  // namespace cresset::engine
