// However rows and panels are dealt out to threads, a row's product has the bits that it has alone.
#include "engine/model/product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/kernel/dispatch.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

// So wide that a few hundred rows are more than are multiplied at a stretch.
constexpr size_t kColumns = 2048, kRowsMax = 520;

PackedMatrix random_matrix(size_t rows, uint64_t seed) {
  PackedMatrix out(Format::kQ8_0, rows, kColumns);
  const auto file = testing::random_blocks(Format::kQ8_0, rows * kColumns / kBlockItems, 1.0f, seed);
  out.pack(file, Format::kQ8_0, 0, out.panels());
  return out;
}

class ProductTest : public ::testing::Test {
 protected:
  ProductTest() : x_(kRowsMax, kColumns, true, Rounding::kFine) {
    for (size_t t = 0; t < kRowsMax; ++t) {
      for (size_t c = 0; c < kColumns; ++c) {
        const bool is_coarse =
            c / kBlockItems == t % (kColumns / kBlockItems);  // such a block is rounded twice
        x_.row(t)[c] =
            (static_cast<float>((t * 31 + c * 17) % 201) / 100.0f - 1.0f) * (is_coarse ? 9.0f : 1.0f);
      }
    }
  }
  void prepare(Rounding rounding) {
    for (size_t t = 0; t < kRowsMax; ++t) x_.prepare(kernels_, t, rounding);
  }
  // Row 0 of other activations, alone on one thread.
  std::vector<float> alone(size_t row, Rounding rounding, const PackedMatrix& weights) const {
    Activations one(1, kColumns, true, Rounding::kFine);
    one.copy_floats(x_, row, 0);
    one.prepare(kernels_, 0, rounding);
    std::vector<float> out(weights.panels() * kPanelRows), scratch(kGemmScratchBytes / 4 + 16);
    void* room = scratch.data();
    size_t space = scratch.size() * 4;
    auto* aligned = static_cast<unsigned char*>(std::align(64, kGemmScratchBytes, room, space));
    multiply_part(kernels_, aligned, one, 0, 1, rounding, {&weights, out.data(), out.size(), false}, 0,
                  weights.panels());
    return out;
  }

  const Kernels& kernels_ = **choose_kernels(KernelKind::kAuto, sys::read_cpu_features());
  Activations x_;
  const PackedMatrix narrow_ = random_matrix(40, 1), wide_ = random_matrix(16 * 21, 2);
};

TEST_F(ProductTest, ARowIsWhatItIsAloneForAnyRowsThreadsAndRounding) {
  const size_t narrow = narrow_.panels() * kPanelRows, wide = wide_.panels() * kPanelRows;
  for (const Rounding rounding : {Rounding::kPlain, Rounding::kOutliers, Rounding::kFine}) {
    prepare(rounding);
    for (const int threads : {1, 3}) {
      Pool pool(threads);
      const ProductScratch scratch(threads);
      for (const size_t rows : {size_t{1}, size_t{5}, size_t{205}, kRowsMax}) {
        std::vector<float> a(kRowsMax * narrow, -7.0f), b(kRowsMax * wide, -7.0f);
        pool.run([&](Worker& worker) {
          multiply(worker, kernels_, scratch, x_, rows, rounding,
                   {{&narrow_, a.data(), narrow, false}, {&wide_, b.data(), wide, false}});
        });
        for (size_t t = 0; t < rows; t += rows < 10 ? 1 : 37) {
          const std::vector<float> x = alone(t, rounding, narrow_), y = alone(t, rounding, wide_);
          EXPECT_EQ(std::memcmp(x.data(), a.data() + t * narrow, narrow * sizeof(float)), 0)
              << rows << " " << t;
          EXPECT_EQ(std::memcmp(y.data(), b.data() + t * wide, wide * sizeof(float)), 0) << rows << " " << t;
        }
        EXPECT_TRUE(std::all_of(a.begin() + static_cast<std::ptrdiff_t>(rows * narrow), a.end(), [](float v) {
          return v == -7.0f;
        })) << "rows behind the last are not touched";
      }
    }
  }
}

}  // namespace
}  // namespace cresset::engine
