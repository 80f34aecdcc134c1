// Attention of a batch against each of its sequences alone, bit for bit: whoever shares pages, however the
// work is cut, in each form of keys and values.
#include "engine/model/attention.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "engine/kernel/denormals.h"
#include "engine/kernel/kernels_testing.h"

namespace cresset::engine {
namespace {

constexpr size_t kHeads = 6, kKvHeads = 2, kHeadSize = 32, kWidth = kHeads * kHeadSize;

struct Form {
  Arithmetic arithmetic;
  KvFormat format;
};

// Sequences of some trees of pages: each has the first pages of the one before it, at random how many of
// them, and goes on alone.
class Batch {
 public:
  Batch(const Kernels& kernels, Form form, int window, int count, int pages_max, uint64_t seed)
      : kernels_(kernels), form_(form), random_(seed) {
    config_.layers = 1;
    config_.heads = kHeads;
    config_.kv_heads = kKvHeads;
    config_.head_size = kHeadSize;
    config_.attention_scale = 0.2f;
    config_.layer.resize(1);
    config_.layer[0].sliding_window = window;
    const bool is_float = form.arithmetic == Arithmetic::kFloat32;
    shape_ = {.layers = 1,
              .kv_heads = kKvHeads,
              .head_size = kHeadSize,
              .is_float = is_float,
              .format = form.format};
    cache_ = std::make_unique<KvCache>(shape_, 2048 * shape_.page_bytes());
    const Attention writer(config_, kernels, form.arithmetic, shape_, 1);
    const DenormalsFlushed flushed;
    for (int i = 0; i < count; ++i) add_sequence(writer, static_cast<size_t>(pages_max));
    queries_ = random_floats(rows_ * kWidth, seed + 1);
    for (size_t at = 0; at < queries_.size(); at += kHeadSize) writer.finish_query(queries_.data() + at);
  }
  ~Batch() {
    for (auto& s : sequences_) s->release(*cache_);
  }

  // All rows' results, computed at once.
  std::vector<float> together(int threads) {
    Pool pool(threads);
    return compute(pool, runs_, rows_);
  }
  // The same, a sequence at a time on one thread.
  std::vector<float> alone() {
    Pool pool(1);
    std::vector<float> out;
    for (Run run : runs_) {
      const std::vector<float> rows = compute(pool, {&run, 1}, run.first_row + run.rows);
      out.insert(out.end(), rows.begin() + static_cast<std::ptrdiff_t>(run.first_row * kWidth), rows.end());
    }
    return out;
  }

 private:
  void add_sequence(const Attention& writer, size_t pages_max) {
    auto s = std::make_unique<KvSequence>();
    const size_t pages = 1 + random_() % pages_max;
    if (!sequences_.empty()) {
      const KvSequence& other = *sequences_.back();
      const size_t full = std::min(other.length / kPagePositions, pages - 1);
      const size_t shared = random_() % 4 == 0 ? random_() % (full + 1) : full;
      s->pages.assign(other.pages.begin(), other.pages.begin() + static_cast<std::ptrdiff_t>(shared));
    }
    const size_t rows = random_() % 5 == 0 ? 1 + random_() % 70 : random_() % 4 == 0 ? 3 : 1;
    const size_t begin = s->pages.size() * kPagePositions;
    s->length = (pages - 1) * kPagePositions + random_() % kPagePositions;
    s->reserve(*cache_, s->length + rows);
    for (size_t position = begin; position < s->length + rows; ++position) {
      for (size_t h = 0; h < kKvHeads; ++h) {
        std::vector<float> key = random_floats(kHeadSize, random_()),
                           value = random_floats(kHeadSize, random_());
        writer.store(0, h, *s, position, key.data(), value.data());
      }
    }
    runs_.push_back({s.get(), rows_, rows});
    rows_ += rows;
    sequences_.push_back(std::move(s));
  }

  std::vector<float> compute(Pool& pool, std::span<const Run> runs, size_t rows) {
    Attention attention(config_, kernels_, form_.arithmetic, shape_, pool.threads());
    Activations out(rows, kWidth, false, Rounding::kPlain);
    attention.plan(runs, pool.threads());
    pool.run([&](Worker& worker) {
      const DenormalsFlushed flushed;
      attention.run(worker, 0, queries_.data(), out);
    });
    return {out.row(0), out.row(0) + rows * kWidth};
  }

  const Kernels& kernels_;
  const Form form_;
  std::mt19937_64 random_;
  ModelConfig config_;
  KvShape shape_;
  std::unique_ptr<KvCache> cache_;
  std::vector<std::unique_ptr<KvSequence>> sequences_;
  std::vector<Run> runs_;
  size_t rows_ = 0;
  std::vector<float> queries_;
};

TEST(Attention, ASequenceAmongOthersHasTheBitsOfItAlone) {
  std::vector<const Kernels*> tables = fast_kernels();
  tables.push_back(kScalarKernels);
  for (const Kernels* kernels : tables) {
    for (const Form form :
         {Form{Arithmetic::kInt8, KvFormat::kBf16}, Form{Arithmetic::kInt8, KvFormat::kQ8_0},
          Form{Arithmetic::kFloat32, KvFormat::kBf16}}) {
      for (const int window : {0, 100, 700}) {
        // Many short ones, whose tasks are whole; few long ones, whose chunks are tasks of their own.
        for (const auto& [count, pages] : {std::pair{24, 10}, std::pair{40, 2}, std::pair{4, 40}}) {
          if (kernels == kScalarKernels && pages > 10) continue;  // slow
          Batch batch(*kernels, form, window, count, pages, static_cast<uint64_t>(window + count));
          const std::vector<float> expected = batch.alone();
          for (const int threads : {1, 2, 3}) {
            ASSERT_TRUE(same_bits(batch.together(threads), expected))
                << kernels->name << " window " << window << " sequences " << count << " threads " << threads;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace cresset::engine
