// KvCache: keys and values of all sequences in pages of 64 positions.
//
// A page holds every layer and KV head for 64 positions. For each (layer, head), in bfloat16: the keys as
// [pair of dimensions][64 positions][2] (so that a vector of scores is 16 positions), then the values as
// [pair of positions][dimension][2]. In float32 (the reference arithmetic): the keys as
// [tile][dimension][16], then the values [64][dimension]. In 8 or 4 bits: see kernel/kv_page.h. Pages are
// recycled, never given back to the system; a byte budget bounds them. A sequence reads shared pages
// (prefix_tree.h) and then its own. Owned by the engine's leader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/kernel/kernels.h"
#include "engine/run/pool.h"
#include "sys/env.h"

namespace cresset::engine {

struct KvShape {
  size_t layers = 0, kv_heads = 0, head_size = 0;
  bool is_float = false;              // float32 instead of bfloat16
  KvFormat format = KvFormat::kBf16;  // not with is_float
  size_t head_bytes() const;          // of one layer and KV head
  size_t page_bytes() const { return layers * kv_heads * head_bytes(); }
};

// A page of a cache, which outlives it.
class KvPage {
 public:
  explicit KvPage(unsigned char* data) : data_(data) {}
  KvPage(const KvPage&) = delete;
  KvPage& operator=(const KvPage&) = delete;
  unsigned char* data() const { return data_; }

 private:
  unsigned char* data_;
};

class KvCache {
 public:
  KvCache(KvShape shape, uint64_t bytes_max);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  const KvShape& shape() const { return shape_; }
  uint64_t pages_max() const { return pages_max_; }
  uint64_t pages_free() const { return pages_max_ - in_use_; }
  uint64_t bytes_used() const { return in_use_ * shape_.page_bytes(); }
  uint64_t bytes_max() const { return pages_max_ * shape_.page_bytes(); }

  std::unique_ptr<KvPage> take();  // CHECKs that one is free: admission has reserved it
  void give_back(std::unique_ptr<KvPage> page);
  // Has the system map the memory of the next `pages` to be taken, as far as there may be so many, on all
  // threads of the pool at once. Without it each is mapped at its first touch, while the others wait. Where
  // that is slow by `clock`, as in a guest whose host has to find the memory first, later ones are mapped in
  // small pages, which the system has at hand.
  void prepare(Pool& pool, sys::Env& clock, uint64_t pages);

 private:
  struct Slab;
  unsigned char* carve();
  void add_slab();

  KvShape shape_;
  uint64_t pages_max_, in_use_ = 0;
  std::vector<std::unique_ptr<KvPage>> spare_;
  // Pages are cut from slabs, so that the system can map many at once; what is not cut yet is not touched,
  // except by prepare().
  struct Slab {
    void* memory;
    size_t bytes;
    unsigned char* next;    // page to cut
    uint64_t uncut;         // pages
    unsigned char* mapped;  // up to here, at the least
  };
  std::vector<Slab> slabs_;
  bool is_huge_ = true;  // in large pages of the system
  size_t cutting_ = 0;   // the slab that pages are cut from; the later ones are whole
  uint64_t uncut_ = 0;   // pages of all slabs
};

inline uint64_t pages_for(size_t positions) {
  return (positions + kPagePositions - 1) / kPagePositions;
}

// One sequence's pages: `pages` is what a forward pass reads and writes, shared ones first, then `own`.
// Positions [0, length) are written.
struct KvSequence {
  std::vector<KvPage*> pages;
  std::vector<std::unique_ptr<KvPage>> own;
  size_t length = 0;

  size_t shared() const { return pages.size() - own.size(); }
  // Makes room for positions up to `end` with pages of its own.
  void reserve(KvCache& cache, size_t end);
  void add_own(std::unique_ptr<KvPage> page);
  // Forgets the positions from `end` on, and gives back the pages of its own that nothing is left of.
  void trim(KvCache& cache, size_t end);
  // Gives its own pages back and forgets the shared ones.
  void release(KvCache& cache);
};

}  // namespace cresset::engine
