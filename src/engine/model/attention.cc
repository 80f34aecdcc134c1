#include "engine/model/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/kernel/exp.h"

namespace cresset::engine {
namespace {

constexpr size_t kWhole = std::numeric_limits<size_t>::max();
constexpr size_t kChunkPositions = kPagePositions * kChunkPages;
constexpr size_t kQueriesPerTask = 48;  // query rows times heads of a group; of a larger group one row
static_assert(kQueriesPerTask <= kAttentionQueries);
constexpr size_t kHeadSizeMax = 512;  // that config.cc lets through
constexpr size_t kCacheLine = 64;
constexpr float kNone = -std::numeric_limits<float>::infinity();

const KvPageKernels* page_kernels_of(const Kernels& kernels, KvFormat format) {
  if (format == KvFormat::kQ8_0) return &kernels.kv_q8_0;
  if (format == KvFormat::kQ8Q4) return &kernels.kv_q8_q4;
  if (format == KvFormat::kQ4) return &kernels.kv_q4;
  return nullptr;
}

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

Attention::Attention(const ModelConfig& config, const Kernels& kernels, Arithmetic arithmetic,
                     const KvShape& kv, int threads)
    : config_(config),
      kernels_(kernels),
      is_float_(arithmetic == Arithmetic::kFloat32),
      kv_(kv),
      page_kernels_(page_kernels_of(kernels, kv.format)),
      is_spread_(page_kernels_ != nullptr),
      query_scale_(is_float_ ? config.attention_scale : config.attention_scale * kLog2E),
      group_(config.heads / config.kv_heads),
      query_width_(config.heads * config.head_size) {
  const size_t queries = std::max(group_, kQueriesPerTask / group_ * group_);
  const auto count = static_cast<size_t>(threads);
  scratch_.resize(count * 2);
  for (PartialSums& s : scratch_) s.clear(queries, config.head_size);
  query_scratch_.assign(count, std::vector<unsigned char>(queries * config.head_size * 4));
  limits_scratch_.assign(count, std::vector<int32_t>(queries * 2));
  expanded_.resize(page_kernels_ == nullptr ? 0 : count);
  for (auto& pages : expanded_) pages.resize(kChunkPages * expanded_items() + kCacheLine / sizeof(uint16_t));
}

size_t Attention::expanded_items() const {
  return 2 * kPagePositions * config_.head_size;
}

// Cuts the batch's attention into tasks. Where there are few (decoding a long sequence), the chunks of one
// query group are spread over tasks and merged afterwards in the same order and with the same operations.
void Attention::plan(std::span<const Run> runs, int threads) {
  runs_ = runs;
  const size_t rows_per_task = std::max<size_t>(1, kQueriesPerTask / group_);
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

void Attention::finish_query(float* query) const {
  for (size_t i = 0; i < config_.head_size; ++i) query[i] *= query_scale_;
  if (is_spread_) kernels_.spread(query, config_.head_size);
}

void Attention::store(size_t layer, size_t kv_head, const KvSequence& sequence, size_t position, float* key,
                      float* value) const {
  const size_t d = config_.head_size, slot = position % kPagePositions;
  unsigned char* base = sequence.pages[position / kPagePositions]->data() +
                        (layer * config_.kv_heads + kv_head) * kv_.head_bytes();
  if (page_kernels_ != nullptr) {
    kernels_.spread(key, d);
    kernels_.spread(value, d);
    page_kernels_->store(key, value, d, slot, base);
    return;
  }
  if (is_float_) {
    auto* keys = reinterpret_cast<float*>(base) + slot / 16 * 16 * d + slot % 16;
    for (size_t i = 0; i < d; ++i) keys[i * 16] = key[i];
    std::copy(value, value + d, reinterpret_cast<float*>(base) + (kPagePositions + slot) * d);
    return;
  }
  auto* keys = reinterpret_cast<uint16_t*>(base) + slot * 2;
  auto* values = reinterpret_cast<uint16_t*>(base) + (kPagePositions + slot / 2 * 2) * d + slot % 2;
  uint16_t rounded[kHeadSizeMax];
  kernels_.round_bfloat(key, d, rounded);
  for (size_t i = 0; i < d; i += 2) std::memcpy(keys + i * kPagePositions, rounded + i, 4);
  kernels_.round_bfloat(value, d, rounded);
  for (size_t i = 0; i < d; ++i) values[i * 2] = rounded[i];
}

void Attention::run(Worker& worker, size_t layer, const float* query, Activations& out) {
  // A thread takes a few neighbours, so that it can fetch the next one's first page in time.
  const size_t few = std::max<size_t>(1, tasks_.size() / (static_cast<size_t>(worker.count()) * 8));
  worker.parallel_for(tasks_.size(), few, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i)
      attend(layer, tasks_[i], i + 1 < end ? &tasks_[i + 1] : nullptr, query, worker.index(), out);
  });
  worker.parallel_for(split_groups_.size(), 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) merge_partials(split_groups_[i], out);
  });
}

void Attention::PartialSums::clear(size_t queries, size_t head_size) {
  m.assign(queries, kNone);
  l.assign(queries, 0.0f);
  acc.assign(queries * head_size, 0.0f);
}

// A task's queries as the kernel reads them, and the positions that each may see.
void Attention::gather_queries(const Task& task, size_t window, const float* query, int thread) {
  const Run& run = runs_[task.run];
  const size_t d = config_.head_size, queries = task.rows * group_;
  unsigned char* to = query_scratch_[static_cast<size_t>(thread)].data();
  int32_t* last = limits_scratch_[static_cast<size_t>(thread)].data();
  int32_t* first = last + queries;
  for (size_t n = 0; n < queries; ++n) {
    const size_t row = task.row + n / group_, position = run.sequence->length + row;
    const float* from =
        query + (run.first_row + row) * query_width_ + (task.kv_head * group_ + n % group_) * d;
    if (is_float_) {
      std::copy(from, from + d, reinterpret_cast<float*>(to) + n * d);
    } else {
      uint16_t rounded[kHeadSizeMax];
      kernels_.round_bfloat(from, d, rounded);
      for (size_t k = 0; k < d; k += 2) std::memcpy(to + n * 4 + k * queries * 2, rounded + k, 4);
    }
    last[n] = static_cast<int32_t>(position);
    first[n] = window == 0 || position + 1 < window ? 0 : static_cast<int32_t>(position + 1 - window);
  }
}

// Pages [first, end), at most a chunk, in bfloat16 in the thread's own room, where a vector's load is one of
// a cache line.
void Attention::expand(std::vector<const void*>& pages, size_t first, size_t end, int thread) {
  uint16_t* out = expanded_[static_cast<size_t>(thread)].data();
  const size_t past = reinterpret_cast<uintptr_t>(out) % kCacheLine;
  if (past != 0) out += (kCacheLine - past) / sizeof(uint16_t);
  for (size_t p = first; p < end; ++p, out += expanded_items()) {
    page_kernels_->expand(static_cast<const unsigned char*>(pages[p]), config_.head_size, out);
    pages[p] = out;
  }
}

// Of the task's run and head.
const unsigned char* Attention::page_of(size_t layer, const Task& task, size_t page) const {
  return runs_[task.run].sequence->pages[page]->data() +
         (layer * config_.kv_heads + task.kv_head) * kv_.head_bytes();
}

void Attention::attend(size_t layer, const Task& task, const Task* next, const float* query, int thread,
                       Activations& out) {
  const size_t d = config_.head_size, queries = task.rows * group_;
  gather_queries(task, static_cast<size_t>(config_.layer[layer].sliding_window), query, thread);
  const int32_t* last = limits_scratch_[static_cast<size_t>(thread)].data();
  const int32_t* first = last + queries;
  // The pages of this layer and head.
  const size_t end_page = static_cast<size_t>(last[queries - 1]) / kPagePositions + 1;
  std::vector<const void*> pages(end_page);
  for (size_t p = 0; p < end_page; ++p) pages[p] = page_of(layer, task, p);
  PartialSums& part =
      task.partial == kWhole ? scratch_[static_cast<size_t>(thread) * 2] : partials_[task.partial];
  PartialSums& total = scratch_[static_cast<size_t>(thread) * 2 + 1];
  if (task.partial == kWhole) total.clear(queries, d);
  const size_t first_page = static_cast<size_t>(first[0]) / kPagePositions;
  // Without a window: that the next task begins where its first chunk does.
  const void* next_page = nullptr;
  if (next != nullptr && page_kernels_ == nullptr && config_.layer[layer].sliding_window == 0)
    next_page = page_of(layer, *next, next->chunk_first * kChunkPages);
  for (size_t c = task.chunk_first; c < task.chunk_end; ++c) {
    part.clear(queries, d);
    const size_t from = std::max(first_page, c * kChunkPages),
                 end = std::min(end_page, (c + 1) * kChunkPages);
    if (from < end) {
      if (page_kernels_ != nullptr) expand(pages, from, end, thread);
      (is_float_ ? kernels_.attend_float
                 : kernels_.attend)({.q = query_scratch_[static_cast<size_t>(thread)].data(),
                                     .queries = queries,
                                     .head_size = d,
                                     .last = last,
                                     .first = first,
                                     .pages = pages.data(),
                                     .page_first = from,
                                     .page_end = end,
                                     .next = c + 1 == task.chunk_end ? next_page : nullptr,
                                     .m = part.m.data(),
                                     .l = part.l.data(),
                                     .acc = part.acc.data()});
    }
    if (task.partial != kWhole) return;
    if (task.chunk_end == 1) return write(task, part, out);  // merging into nothing would give the same
    merge(total, part, queries);
  }
  write(task, total, out);
}

void Attention::merge(PartialSums& total, PartialSums& part, size_t queries) const {
  (is_float_ ? merge_float : kernels_.merge)(total.view(), part.view(), queries, config_.head_size);
}

void Attention::merge_partials(size_t group_task, Activations& out) {
  const Task& task = tasks_[group_task];
  const size_t queries = task.rows * group_;
  PartialSums total;
  total.clear(queries, config_.head_size);
  for (size_t i = group_task; i < tasks_.size(); ++i) {
    const Task& part = tasks_[i];
    if (part.run != task.run || part.kv_head != task.kv_head || part.row != task.row) break;
    merge(total, partials_[part.partial], queries);
  }
  write(task, total, out);
}

// The finished sums of a task's queries, each head beside the next as the output projection reads them.
void Attention::write(const Task& task, const PartialSums& total, Activations& out) const {
  const size_t d = config_.head_size;
  for (size_t n = 0; n < task.rows * group_; ++n) {
    float* to =
        out.row(runs_[task.run].first_row + task.row + n / group_) + (task.kv_head * group_ + n % group_) * d;
    kernels_.divide(total.acc.data() + n * d, d, total.l[n], to);
    if (is_spread_) kernels_.spread(to, d);
  }
}

}  // namespace cresset::engine
