// Attention: the part of a layer that reads and writes keys and values. It knows how pages lie and cuts a
// batch's attention into tasks for the pool's threads; the arithmetic is Kernels::attend's.
//
// A query's result is the sum over chunks of positions that begin at absolute positions, merged in order, so
// it has the same bits however the tasks are cut. Decoding sequences that begin with the same pages (a system
// prompt, copies of one prompt) read these together, a few to a task: a page once for their queries. Owned by
// Forward.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/zeroed.h"
#include "engine/engine.h"
#include "engine/kernel/kernels.h"
#include "engine/model/config.h"
#include "engine/model/product.h"
#include "engine/run/kv_cache.h"
#include "engine/run/pool.h"

namespace cresset::engine {

struct Run {
  KvSequence* sequence = nullptr;  // length is the run's first position; pages are reserved up to its end
  size_t first_row = 0;            // of the batch
  size_t rows = 0;
};

class Attention {
 public:
  Attention(const ModelConfig& config, const Kernels& kernels, Arithmetic arithmetic, const KvShape& kv,
            int threads);

  // Cuts the attention of a batch into tasks. `runs` must outlive the pass.
  void plan(std::span<const Run> runs, int threads);

  // A head's rotated query, to what run() takes.
  void finish_query(float* query) const;
  // Writes a head's rotated key and its value, which are changed on the way.
  void store(size_t layer, size_t kv_head, const KvSequence& sequence, size_t position, float* key,
             float* value) const;

  // For each row of the batch, all heads of `query` ([row][head][dimension]) to a row of `out`. Called by
  // every thread, once all keys and values of the layer are stored.
  void run(Worker& worker, size_t layer, const float* query, Activations& out);

 private:
  // Some rows of a run.
  struct Part {
    size_t run, row, rows;
  };
  // Parts whose runs begin with the same pages, those with more chunks first.
  struct Group {
    size_t first_part, parts, shared_pages;
  };
  // One KV head's queries for a group, over chunks [chunk_first, chunk_end).
  struct Task {
    Group group;
    size_t kv_head, chunk_first, chunk_end;
    size_t partial;  // where a part of the chunks leaves its sums; kWhole: it covers all chunks
  };
  struct PartialSums {
    std::vector<float> m, l, lanes, acc;
    void clear(size_t queries, size_t head_size);
    AttentionSums view() { return {m.data(), l.data(), acc.data()}; }
  };
  // A thread's.
  struct Room {
    PartialSums chunk, total;
    std::vector<unsigned char> queries;  // of a task, as the kernel reads them
    std::vector<int32_t> last, first;    // positions that each may see
    std::vector<const void*> pages;      // of a run, layer and head
    ZeroedVector<uint16_t> expanded;     // a chunk's pages in bfloat16
  };

  size_t chunks_of(const Part& part) const;
  size_t queries_of(const Group& group) const;
  void group_parts(size_t parts_max, std::vector<Part>& few);
  const unsigned char* page_of(size_t layer, size_t kv_head, const Part& part, size_t page) const;
  // `next`: the task that this thread does afterwards, or null.
  void attend(size_t layer, const Task& task, const Task* next, const float* query, Room& room,
              Activations& out);
  void attend_chunk(size_t layer, const Task& task, size_t chunk, const void* next, size_t queries,
                    Room& room, PartialSums& sums);
  void gather_queries(const Task& task, size_t window, const float* query, size_t queries, Room& room);
  uint16_t* expanded_page(Room& room, size_t page) const;
  void merge(PartialSums& total, PartialSums& part, size_t queries) const;
  void merge_partials(size_t group_task, Activations& out);
  void write(const Task& task, const PartialSums& total, Activations& out) const;
  size_t expanded_items() const;  // of a layer's and head's page

  const ModelConfig& config_;
  const Kernels& kernels_;
  const bool is_float_;
  const KvShape kv_;
  const KvPageKernels* const page_kernels_;  // null: pages are as `attend` reads them
  const bool is_spread_;              // queries, keys and values of a head lie spread (Kernels::spread)
  const float query_scale_;           // for scores to the base 2, or e in the reference arithmetic
  const size_t group_, query_width_;  // query heads of a KV head; floats of a row of queries

  std::span<const Run> runs_;
  std::vector<Part> parts_;
  std::vector<Group> groups_;
  std::vector<Task> tasks_;
  std::vector<size_t> split_groups_;  // first task of each group and head whose chunks are spread over tasks
  std::vector<PartialSums> partials_;
  std::vector<Room> rooms_;  // per thread
};

}  // namespace cresset::engine
