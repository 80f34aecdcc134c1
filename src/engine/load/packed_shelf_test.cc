// The thread that keeps packed weights: it writes them once, and never holds up or litters an end.
#include "engine/load/packed_shelf.h"

#include <gtest/gtest.h>

#include <chrono>

#include "testing/sim_env.h"

namespace cresset::engine {
namespace {

using namespace std::chrono_literals;

const std::string kSha256(64, 'a');
const std::string kKept = "/packed/" + kSha256 + ".packed";
constexpr auto kAtOnce = 0ms, kNever = std::chrono::milliseconds(24h);

class PackedShelfTest : public ::testing::Test {
 protected:
  PackedShelfTest() {
    std::vector<std::byte> file(row_bytes(Format::kF32, kColumns).value() * kRows, std::byte{0x3F});
    matrix_.pack(file, Format::kF32, 0, matrix_.panels());
  }
  std::vector<PackedPart> parts() const { return {{0, Format::kF32, kRows, kColumns, matrix_.data()}}; }
  void wait_for_operations(size_t count) {
    while (env_.operations() < count) std::this_thread::yield();
  }
  void wait_for_kept() {
    while (!env_.exists(kKept)) std::this_thread::yield();
  }

  static constexpr size_t kRows = 512, kColumns = 2048;  // 4 MiB
  testing::SimEnv env_{1};
  Pool pool_{1};
  PackedMatrix matrix_{Format::kF32, kRows, kColumns};
};

TEST_F(PackedShelfTest, WritesLaterWhatIsThenFound) {
  PackedShelf shelf(env_, "/packed", kSha256, kAtOnce);
  EXPECT_EQ(shelf.find(pool_), nullptr);
  shelf.keep_later(parts());
  wait_for_kept();
  const auto found = shelf.find(pool_);
  ASSERT_NE(found, nullptr);
  ASSERT_EQ(found->parts().size(), 1u);
  EXPECT_EQ(found->parts()[0].bytes.size(), matrix_.data().size());
  EXPECT_EQ(env_.files().size(), 1u);
  const PackedShelf of_another(env_, "/packed", std::string(64, 'b'));
  EXPECT_EQ(of_another.find(pool_), nullptr);
}

TEST_F(PackedShelfTest, AnEndBeforeItsTimeIsNotHeldUpAndLeavesNothing) {
  {
    PackedShelf shelf(env_, "/packed", kSha256, kNever);
    shelf.keep_later(parts());
  }
  EXPECT_EQ(env_.operations(), 0u);
}

// However far the writer has come: the file is whole, or there is none.
TEST_F(PackedShelfTest, AnEndInTheMiddleLeavesNothingHalf) {
  for (size_t n = 1; n <= 8; ++n) {
    const size_t before = env_.operations();
    {
      PackedShelf shelf(env_, "/packed", kSha256, kAtOnce);
      shelf.keep_later(parts());
      wait_for_operations(before + n);
    }
    if (env_.exists(kKept)) {
      EXPECT_NE(PackedShelf(env_, "/packed", kSha256).find(pool_), nullptr) << n;
      EXPECT_EQ(env_.files().size(), 1u) << n;
      ASSERT_TRUE(env_.remove(kKept));
    }
    EXPECT_TRUE(env_.files().empty()) << n;
  }
}

TEST_F(PackedShelfTest, ADiskThatFailsIsNoError) {
  env_.fail_operation(2);  // the first makes the directory
  {
    PackedShelf shelf(env_, "/packed", kSha256, kAtOnce);
    shelf.keep_later(parts());
    wait_for_operations(2);
  }
  EXPECT_TRUE(env_.files().empty());
}

TEST_F(PackedShelfTest, WithoutADigestOrADirectoryNothingIsKept) {
  for (const auto& [directory, digest] : {std::pair{std::string(), kSha256}, {std::string("/packed"), ""}}) {
    PackedShelf shelf(env_, directory, digest, kAtOnce);
    EXPECT_FALSE(shelf.keeps());
    EXPECT_EQ(shelf.find(pool_), nullptr);
    shelf.keep_later(parts());
  }
  EXPECT_EQ(env_.operations(), 0u);
}

}  // namespace
}  // namespace cresset::engine
