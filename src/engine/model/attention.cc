#include "engine/model/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/kernel/exp.h"

namespace cresset::engine {
namespace {

constexpr size_t kWhole = std::numeric_limits<size_t>::max();
constexpr size_t kChunkPositions = kPagePositions * kChunkPages;
constexpr size_t kQueriesPerTask = 48;  // query rows times heads of a group; of a larger group one row
constexpr size_t kSharingQueries = 24;  // that read pages together; and a run's rows with as many are few
static_assert(kQueriesPerTask <= kAttentionQueries && kSharingQueries <= kQueriesPerTask);
constexpr size_t kHeadSizeMax = 512;  // that config.cc lets through
constexpr size_t kCacheLine = 64;
constexpr size_t kLanes = 16;
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
  const size_t queries = std::max(group_, kQueriesPerTask);
  rooms_.resize(static_cast<size_t>(threads));
  for (Room& room : rooms_) {
    room.chunk.clear(queries, config.head_size);
    room.total.clear(queries, config.head_size);
    room.queries.resize(queries * config.head_size * 4);
    room.last.resize(queries);
    room.first.resize(queries);
    if (page_kernels_ != nullptr)
      room.expanded.resize(kChunkPages * expanded_items() + kCacheLine / sizeof(uint16_t));
  }
}

size_t Attention::expanded_items() const {
  return 2 * kPagePositions * config_.head_size;
}

size_t Attention::chunks_of(const Part& part) const {
  return (runs_[part.run].sequence->length + part.row + part.rows + kChunkPositions - 1) / kChunkPositions;
}

size_t Attention::queries_of(const Group& group) const {
  size_t rows = 0;
  for (size_t i = 0; i < group.parts; ++i) rows += parts_[group.first_part + i].rows;
  return rows * group_;
}

// Cuts the batch's attention into tasks. Where there are few (decoding a long sequence), the chunks of one
// group are spread over tasks and merged afterwards in the same order and with the same operations.
void Attention::plan(std::span<const Run> runs, int threads) {
  runs_ = runs;
  const size_t rows_per_task = std::max<size_t>(1, kQueriesPerTask / group_);
  parts_.clear();
  groups_.clear();
  tasks_.clear();
  split_groups_.clear();
  std::vector<Part> few;
  size_t pages = 0, chunks_max = 0;
  for (size_t r = 0; r < runs_.size(); ++r) {
    const Run& run = runs_[r];
    pages = std::max(pages, pages_for(run.sequence->length + run.rows));
    if (run.rows * group_ <= kSharingQueries) {
      few.push_back({r, 0, run.rows});
      chunks_max = std::max(chunks_max, chunks_of(few.back()));
      continue;
    }
    for (size_t row = 0; row < run.rows; row += rows_per_task) {
      groups_.push_back({parts_.size(), 1, 0});
      parts_.push_back({r, row, std::min(rows_per_task, run.rows - row)});
    }
  }
  for (Room& room : rooms_) room.pages.resize(pages);
  const auto wanted = static_cast<size_t>(threads) * 6;
  const bool is_split = (groups_.size() + few.size()) * config_.kv_heads < wanted;
  // Sharing leaves enough tasks for all threads.
  group_parts(few.size() * config_.kv_heads * (is_split ? chunks_max : 1) / wanted, few);
  size_t partial = 0;
  for (const Group& group : groups_) {
    const size_t chunks = chunks_of(parts_[group.first_part]);
    for (size_t h = 0; h < config_.kv_heads; ++h) {
      if (!is_split || chunks == 1) {
        tasks_.push_back({group, h, 0, chunks, kWhole});
        continue;
      }
      split_groups_.push_back(tasks_.size());
      Group in_chunk = group;
      for (size_t c = 0; c < chunks; ++c) {
        while (chunks_of(parts_[in_chunk.first_part + in_chunk.parts - 1]) <= c) --in_chunk.parts;
        tasks_.push_back({in_chunk, h, c, c + 1, partial++});
      }
    }
  }
  if (partials_.size() < partial) partials_.resize(partial);
}

// Groups of at most `parts_max` of those whose runs begin with the same pages.
void Attention::group_parts(size_t parts_max, std::vector<Part>& few) {
  const auto pages_of = [&](const Part& part) -> const std::vector<KvPage*>& {
    return runs_[part.run].sequence->pages;
  };
  const auto common = [&](const Part& a, const Part& b) {
    const auto [end, unused] =
        std::mismatch(pages_of(a).begin(), pages_of(a).end(), pages_of(b).begin(), pages_of(b).end());
    return static_cast<size_t>(end - pages_of(a).begin());
  };
  if (parts_max > 1) {
    std::sort(few.begin(), few.end(),
              [&](const Part& a, const Part& b) { return pages_of(a) < pages_of(b); });
  }
  size_t rows = 0;
  for (const Part& part : few) {
    if (rows > 0) {
      Group& group = groups_.back();
      const size_t shared = common(parts_[group.first_part], part);
      const size_t both = group.parts == 1 ? shared : std::min(group.shared_pages, shared);
      // Where it would cost the others more than it gains, it begins another.
      const bool gains = group.parts * both > (group.parts - 1) * group.shared_pages;
      if (gains && group.parts < parts_max && (rows + part.rows) * group_ <= kSharingQueries) {
        ++group.parts;
        group.shared_pages = both;
        parts_.push_back(part);
        rows += part.rows;
        continue;
      }
    }
    groups_.push_back({parts_.size(), 1, 0});
    parts_.push_back(part);
    rows = part.rows;
  }
  for (const Group& group : groups_) {
    const auto first = parts_.begin() + static_cast<std::ptrdiff_t>(group.first_part);
    std::sort(first, first + static_cast<std::ptrdiff_t>(group.parts), [&](const Part& a, const Part& b) {
      return std::pair(chunks_of(b), a.run) < std::pair(chunks_of(a), b.run);
    });
  }
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
      attend(layer, tasks_[i], i + 1 < end ? &tasks_[i + 1] : nullptr, query,
             rooms_[static_cast<size_t>(worker.index())], out);
  });
  worker.parallel_for(split_groups_.size(), 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) merge_partials(split_groups_[i], out);
  });
}

void Attention::PartialSums::clear(size_t queries, size_t head_size) {
  m.assign(queries, kNone);
  l.assign(queries, 0.0f);
  lanes.assign(queries * kLanes, 0.0f);
  acc.assign(queries * head_size, 0.0f);
}

// A task's queries as the kernel reads them, and the positions that each may see.
void Attention::gather_queries(const Task& task, size_t window, const float* query, size_t queries,
                               Room& room) {
  const size_t d = config_.head_size;
  unsigned char* const to = room.queries.data();
  size_t n = 0;
  for (size_t p = 0; p < task.group.parts; ++p) {
    const Part& part = parts_[task.group.first_part + p];
    const Run& run = runs_[part.run];
    for (size_t i = 0; i < part.rows * group_; ++i, ++n) {
      const size_t row = part.row + i / group_, position = run.sequence->length + row;
      const float* from =
          query + (run.first_row + row) * query_width_ + (task.kv_head * group_ + i % group_) * d;
      if (is_float_) {
        std::copy(from, from + d, reinterpret_cast<float*>(to) + n * d);
      } else {
        uint16_t rounded[kHeadSizeMax];
        kernels_.round_bfloat(from, d, rounded);
        for (size_t k = 0; k < d; k += 2) std::memcpy(to + n * 4 + k * queries * 2, rounded + k, 4);
      }
      room.last[n] = static_cast<int32_t>(position);
      room.first[n] = window == 0 || position + 1 < window ? 0 : static_cast<int32_t>(position + 1 - window);
    }
  }
}

const unsigned char* Attention::page_of(size_t layer, size_t kv_head, const Part& part, size_t page) const {
  return runs_[part.run].sequence->pages[page]->data() +
         (layer * config_.kv_heads + kv_head) * kv_.head_bytes();
}

// Where a page of the chunk in work is expanded to: there a vector's load is one of a cache line.
uint16_t* Attention::expanded_page(Room& room, size_t page) const {
  uint16_t* out = room.expanded.data();
  const size_t past = reinterpret_cast<uintptr_t>(out) % kCacheLine;
  if (past != 0) out += (kCacheLine - past) / sizeof(uint16_t);
  return out + page % kChunkPages * expanded_items();
}

void Attention::attend(size_t layer, const Task& task, const Task* next, const float* query, Room& room,
                       Activations& out) {
  const size_t d = config_.head_size, queries = queries_of(task.group);
  gather_queries(task, static_cast<size_t>(config_.layer[layer].sliding_window), query, queries, room);
  const void* next_page = nullptr;
  if (next != nullptr) {
    next_page =
        page_of(layer, next->kv_head, parts_[next->group.first_part], next->chunk_first * kChunkPages);
  }
  if (task.partial != kWhole) {
    PartialSums& sums = partials_[task.partial];
    sums.clear(queries, d);
    return attend_chunk(layer, task, task.chunk_first, next_page, queries, room, sums);
  }
  room.total.clear(queries, d);
  for (size_t c = 0; c < task.chunk_end; ++c) {
    room.chunk.clear(queries, d);
    attend_chunk(layer, task, c, c + 1 == task.chunk_end ? next_page : nullptr, queries, room, room.chunk);
    if (task.chunk_end == 1) return write(task, room.chunk, out);  // merging into nothing gives the same
    merge(room.total, room.chunk, queries);
  }
  write(task, room.total, out);
}

// The pages of a chunk that the group's parts share with all their queries, then each part's own.
void Attention::attend_chunk(size_t layer, const Task& task, size_t chunk, const void* next, size_t queries,
                             Room& room, PartialSums& sums) {
  const size_t d = config_.head_size, chunk_begin = chunk * kChunkPages,
               chunk_end = chunk_begin + kChunkPages;
  // Without a window the next pages are known.
  const bool is_foreseen = page_kernels_ == nullptr && config_.layer[layer].sliding_window == 0;
  const auto visit = [&](const Part& part, size_t n, size_t count, size_t begin, size_t end,
                         const void* next_page) {
    if (begin >= end) return;
    for (size_t p = begin; p < end; ++p) {
      const unsigned char* const page = page_of(layer, task.kv_head, part, p);
      room.pages[p] = page;
      if (page_kernels_ == nullptr) continue;
      page_kernels_->expand(page, d, expanded_page(room, p));
      room.pages[p] = expanded_page(room, p);
    }
    (is_float_ ? kernels_.attend_float
               : kernels_.attend)({.q = room.queries.data() + n * (is_float_ ? d * sizeof(float) : 4),
                                   .q_stride = queries,
                                   .queries = count,
                                   .head_size = d,
                                   .last = room.last.data() + n,
                                   .first = room.first.data() + n,
                                   .pages = room.pages.data(),
                                   .page_first = begin,
                                   .page_end = end,
                                   .next = is_foreseen ? next_page : nullptr,
                                   .m = sums.m.data() + n,
                                   .l = sums.l.data() + n,
                                   .lanes = sums.lanes.data() + n * kLanes,
                                   .acc = sums.acc.data() + n * d});
  };
  const Group& group = task.group;
  const Part* const parts = parts_.data() + group.first_part;
  const size_t own_begin = std::max(group.shared_pages, chunk_begin);
  if (group.shared_pages > chunk_begin) {
    const int32_t first =
        *std::min_element(room.first.begin(), room.first.begin() + static_cast<ptrdiff_t>(queries));
    const bool has_own = group.shared_pages < chunk_end;  // a task's first part has all its chunks
    visit(parts[0], 0, queries, std::max(chunk_begin, static_cast<size_t>(first) / kPagePositions),
          std::min(group.shared_pages, chunk_end),
          has_own ? page_of(layer, task.kv_head, parts[0], group.shared_pages) : next);
  }
  for (size_t p = 0, n = 0; p < group.parts && chunks_of(parts[p]) > chunk; ++p) {
    const size_t count = parts[p].rows * group_;
    const auto first = static_cast<size_t>(room.first[n]),
               last = static_cast<size_t>(room.last[n + count - 1]);
    const bool has_next = p + 1 < group.parts && chunks_of(parts[p + 1]) > chunk;
    visit(parts[p], n, count, std::max(own_begin, first / kPagePositions),
          std::min(chunk_end, last / kPagePositions + 1),
          has_next ? page_of(layer, task.kv_head, parts[p + 1], own_begin) : next);
    n += count;
  }
}

void Attention::merge(PartialSums& total, PartialSums& part, size_t queries) const {
  (is_float_ ? merge_float : kernels_.merge)(total.view(), part.view(), queries, config_.head_size);
}

void Attention::merge_partials(size_t group_task, Activations& out) {
  const Task& task = tasks_[group_task];
  PartialSums total;
  total.clear(queries_of(task.group), config_.head_size);
  for (size_t i = group_task; i < tasks_.size(); ++i) {
    const Task& part = tasks_[i];
    if (part.group.first_part != task.group.first_part || part.kv_head != task.kv_head) break;
    merge(total, partials_[part.partial], queries_of(part.group));  // those that have this chunk come first
  }
  write(task, total, out);
}

// The finished sums of a task's queries, each head beside the next as the output projection reads them.
void Attention::write(const Task& task, const PartialSums& total, Activations& out) const {
  const size_t d = config_.head_size;
  size_t n = 0;
  for (size_t p = 0; p < task.group.parts; ++p) {
    const Part& part = parts_[task.group.first_part + p];
    for (size_t i = 0; i < part.rows * group_; ++i, ++n) {
      float* to = out.row(runs_[part.run].first_row + part.row + i / group_) +
                  (task.kv_head * group_ + i % group_) * d;
      kernels_.divide(total.acc.data() + n * d, d, total.l[n], to);
      if (is_spread_) kernels_.spread(to, d);
    }
  }
}

}  // namespace cresset::engine
