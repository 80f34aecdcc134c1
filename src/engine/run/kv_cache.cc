#include "engine/run/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>

#include "base/check.h"
#include "engine/kernel/kv_page.h"

namespace cresset::engine {
namespace {

constexpr size_t kSlabBytes = 32u << 20, kHugePage = 2u << 20, kSmallPage = 4096;
// Small pages take less for as many bytes than this for a large one.
constexpr sys::Instant kSlowHugePage = std::chrono::milliseconds(1);

}  // namespace

size_t KvShape::head_bytes() const {
  if (format == KvFormat::kQ8_0) return kv_page_layout(head_size, 8, 8).end;
  if (format == KvFormat::kQ8Q4) return kv_page_layout(head_size, 8, 4).end;
  if (format == KvFormat::kQ4) return kv_page_layout(head_size, 4, 4).end;
  return 2 * kPagePositions * head_size * (is_float ? sizeof(float) : sizeof(uint16_t));
}

KvCache::KvCache(KvShape shape, uint64_t bytes_max)
    : shape_(shape), pages_max_(bytes_max / shape.page_bytes()) {}

KvCache::~KvCache() {
  for (const Slab& slab : slabs_) ::munmap(slab.memory, slab.bytes);
}

void KvCache::add_slab() {
  const size_t page = shape_.page_bytes();
  const uint64_t pages = std::clamp<uint64_t>(kSlabBytes / page, 1, pages_max_);
  const size_t bytes = pages * page + kHugePage;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  if (is_huge_) ::madvise(memory, bytes, MADV_HUGEPAGE);  // where the system has none, nothing is lost
  auto* first = static_cast<unsigned char*>(memory);
  first += (kHugePage - reinterpret_cast<uintptr_t>(first) % kHugePage) % kHugePage;
  slabs_.push_back({memory, bytes, first, pages, first});
  uncut_ += pages;
}

unsigned char* KvCache::carve() {
  if (uncut_ == 0) add_slab();
  while (slabs_[cutting_].uncut == 0) ++cutting_;
  Slab& slab = slabs_[cutting_];
  --slab.uncut;
  --uncut_;
  return std::exchange(slab.next, slab.next + shape_.page_bytes());
}

void KvCache::prepare(Pool& pool, sys::Env& clock, uint64_t pages) {
  const size_t page = shape_.page_bytes();
  uint64_t allowed = pages_free() - std::min<uint64_t>(pages_free(), spare_.size());
  pages = std::min(allowed, pages - std::min<uint64_t>(pages, spare_.size()));
  while (uncut_ < pages) add_slab();
  // Up to borders of the system's large pages, as many pieces for each thread where there is more to come.
  struct Piece {
    unsigned char *begin, *end;
    sys::Instant took{};
  };
  std::vector<Piece> pieces;
  for (size_t i = cutting_; pages > 0; ++i) {
    Slab& slab = slabs_[i];
    slab.mapped = std::max(slab.mapped, slab.next);
    const uint64_t here = std::min(pages, slab.uncut), may_be_here = std::min(allowed, slab.uncut);
    pages -= here;
    allowed -= may_be_here;
    unsigned char *const wanted = slab.next + here * page, *const end = slab.next + may_be_here * page;
    const auto is_uneven = [&] { return pieces.size() % static_cast<size_t>(pool.threads()) != 0; };
    while (slab.mapped < wanted || (pages == 0 && is_uneven() && slab.mapped < end)) {
      unsigned char* const from = slab.mapped;
      slab.mapped = std::min(end, from + kHugePage - reinterpret_cast<uintptr_t>(from) % kHugePage);
      pieces.push_back({from, slab.mapped});
    }
  }
  if (pieces.empty()) return;
  pool.run([&](Worker& worker) {
    worker.parallel_for(pieces.size(), 1, [&](size_t begin, size_t end) {
      for (Piece& piece : std::span(pieces).subspan(begin, end - begin)) {
        const sys::Instant begun = clock.now();
        for (volatile unsigned char* at = piece.begin; at < piece.end; at += kSmallPage) *at = 0;
        piece.took = clock.now() - begun;
      }
    });
  });
  const auto is_slow = [](const Piece& piece) { return piece.took > kSlowHugePage; };
  if (is_huge_ && std::all_of(pieces.begin(), pieces.end(), is_slow)) {
    is_huge_ = false;
    for (const Slab& slab : slabs_) ::madvise(slab.memory, slab.bytes, MADV_NOHUGEPAGE);
  }
}

std::unique_ptr<KvPage> KvCache::take() {
  CHECK(in_use_ < pages_max_);
  ++in_use_;
  if (spare_.empty()) return std::make_unique<KvPage>(carve());
  auto page = std::move(spare_.back());
  spare_.pop_back();
  // Positions not written yet are read with weight zero, and zero times another sequence's infinity is not
  // zero.
  std::memset(page->data(), 0, shape_.page_bytes());
  return page;
}

void KvCache::give_back(std::unique_ptr<KvPage> page) {
  CHECK(in_use_ > 0);
  --in_use_;
  spare_.push_back(std::move(page));
}

void KvSequence::reserve(KvCache& cache, size_t end) {
  while (pages.size() * kPagePositions < end) add_own(cache.take());
}

void KvSequence::add_own(std::unique_ptr<KvPage> page) {
  pages.push_back(page.get());
  own.push_back(std::move(page));
}

void KvSequence::trim(KvCache& cache, size_t end) {
  CHECK(end <= length);
  length = end;
  for (; pages.size() > pages_for(end); pages.pop_back()) {
    CHECK(!own.empty());
    cache.give_back(std::move(own.back()));
    own.pop_back();
  }
}

void KvSequence::release(KvCache& cache) {
  for (auto& page : own) cache.give_back(std::move(page));
  own.clear();
  pages.clear();
  length = 0;
}

}  // namespace cresset::engine
