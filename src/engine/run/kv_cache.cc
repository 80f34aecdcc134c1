#include "engine/run/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "engine/kernel/kv_page.h"

namespace cresset::engine {
namespace {

constexpr size_t kSlabBytes = 32u << 20, kHugePage = 2u << 20;

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

unsigned char* KvCache::carve() {
  const size_t page = shape_.page_bytes();
  if (uncut_ == 0) {
    uncut_ = std::clamp<size_t>(kSlabBytes / page, 1, pages_max_);
    const size_t bytes = uncut_ * page + kHugePage;
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    slabs_.push_back({memory, bytes});
    ::madvise(memory, bytes, MADV_HUGEPAGE);  // where the system has none, nothing is lost
    next_ = static_cast<unsigned char*>(memory);
    next_ += (kHugePage - reinterpret_cast<uintptr_t>(next_) % kHugePage) % kHugePage;
  }
  --uncut_;
  return std::exchange(next_, next_ + page);
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
