// A kept file of packed weights is used when it is just what was written, and never otherwise.
#include "engine/load/packed_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "testing/sim_env.h"

namespace cresset::engine {
namespace {

constexpr const char* kPath = "/packed/model.packed";
const auto never = [] { return false; };

// A disk that has the directory.
struct Disk {
  explicit Disk(uint64_t seed) : env(seed) { EXPECT_TRUE(env.make_directories("/packed")); }
  testing::SimEnv env;
};

// Two matrices of several panels, one over a MiB, so that it has more than one sum.
class PackedFileTest : public ::testing::Test {
 protected:
  PackedFileTest() : small_(make(Format::kQ4_0, 48, 64, 1)), large_(make(Format::kF32, 512, 600, 2)) {}

  static PackedMatrix make(Format format, size_t rows, size_t columns, unsigned seed) {
    PackedMatrix matrix(format, rows, columns);
    std::vector<std::byte> file(row_bytes(format, columns).value() * rows);
    std::mt19937 random(seed);
    for (std::byte& b : file) b = static_cast<std::byte>(random() & 0x3F);
    matrix.pack(file, format, 0, matrix.panels());
    return matrix;
  }
  std::vector<PackedPart> parts() const {
    return {{3, Format::kQ4_0, 48, 64, small_.data()}, {0, Format::kF32, 512, 600, large_.data()}};
  }
  Result<std::unique_ptr<PackedFile>> open(sys::Env& env) {
    return PackedFile::open(env, kPath, model_, pool_);
  }
  std::string written() {
    Disk disk(1);
    auto& env = disk.env;
    EXPECT_TRUE(write_packed_file(env, kPath, model_, parts(), never));
    return env.files().at(kPath);
  }

  Pool pool_{2};
  const sys::Digest model_ = sys::sha256(std::string_view("a model"));
  PackedMatrix small_, large_;
};

TEST_F(PackedFileTest, GivesBackWhatWasWritten) {
  Disk disk(1);
  auto& env = disk.env;
  ASSERT_TRUE(write_packed_file(env, kPath, model_, parts(), never));
  EXPECT_EQ(env.files().size(), 1u) << "nothing else is left";
  const auto file = open(env);
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_EQ((*file)->parts().size(), 2u);
  const std::vector<PackedPart> given = parts();
  for (size_t i = 0; i < 2; ++i) {
    const PackedPart &a = given[i], &b = (*file)->parts()[i];
    EXPECT_EQ(a.tensor, b.tensor);
    EXPECT_EQ(a.format, b.format);
    EXPECT_EQ(a.rows, b.rows);
    EXPECT_EQ(a.columns, b.columns);
    ASSERT_EQ(a.bytes.size(), b.bytes.size());
    EXPECT_EQ(std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()), 0);
  }
}

TEST_F(PackedFileTest, IsNotOfAnotherModelOrVersion) {
  Disk disk(1);
  auto& env = disk.env;
  std::string bytes = written();
  env.put_file(kPath, bytes);
  const auto other = PackedFile::open(env, kPath, sys::sha256(std::string_view("another")), pool_);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kUnsupported);
  bytes[8] = static_cast<char>(bytes[8] + 1);
  env.put_file(kPath, bytes);
  ASSERT_FALSE(open(env));
  EXPECT_EQ(open(env).error().code, Code::kUnsupported);
  Disk empty(1);
  EXPECT_EQ(open(empty.env).error().code, Code::kNotFound);
}

TEST_F(PackedFileTest, RefusesEveryLengthButItsOwn) {
  const std::string bytes = written();
  Disk disk(1);
  auto& env = disk.env;
  for (size_t size = 0; size < bytes.size(); size += size < 512 ? 1 : 9973) {
    env.put_file(kPath, bytes.substr(0, size));
    EXPECT_FALSE(open(env)) << size;
  }
  env.put_file(kPath, bytes + std::string(64, '\0'));
  EXPECT_FALSE(open(env));
}

TEST_F(PackedFileTest, RefusesAnyFlippedBitThatCounts) {
  std::string bytes = written();
  // Padding counts for nothing: it lies between the directory's digest and the first matrix.
  const size_t directory = 56 + 2 * 32 + 3 * 16 + 32, content = (directory + 63) / 64 * 64;
  Disk disk(1);
  auto& env = disk.env;
  std::mt19937 random(7);
  for (size_t at = 0; at < bytes.size(); at += at < directory ? 1 : 1 + random() % 20'000) {
    if (at >= directory && at < content) continue;
    const char flipped = static_cast<char>(1 << random() % 8);
    bytes[at] ^= flipped;
    env.put_file(kPath, bytes);
    EXPECT_FALSE(open(env)) << at;
    bytes[at] ^= flipped;
  }
}

// Directories with a good digest that say what is not so: what an enemy, or a broken writer, would make.
TEST_F(PackedFileTest, BelievesNoDirectory) {
  const std::string good = written();
  const size_t end = 56 + 2 * 32 + 3 * 16;
  Disk disk(1);
  auto& env = disk.env;
  const auto refuses = [&](std::string bytes) {
    const auto digest = sys::sha256(std::string_view(bytes).substr(0, end));
    std::memcpy(bytes.data() + end, digest.data(), digest.size());
    env.put_file(kPath, bytes);
    return !open(env);
  };
  EXPECT_FALSE(refuses(good)) << "the digest is made as the writer makes it";
  const uint64_t values[] = {
      0, 1, 15, 17, 63, 65, 1u << 20, 1ull << 31, 1ull << 32, 1ull << 63, UINT64_MAX - 63, UINT64_MAX};
  for (size_t field : {56 + 8, 56 + 16, 56 + 24, 88 + 8, 88 + 16, 88 + 24}) {  // rows, columns, offsets
    for (const uint64_t value : values) {
      std::string bytes = good;
      if (std::memcmp(bytes.data() + field, &value, 8) == 0) continue;
      std::memcpy(bytes.data() + field, &value, 8);
      EXPECT_TRUE(refuses(bytes)) << field << " " << value;
    }
  }
  for (const uint32_t value : {0u, 1u, 3u, 1000u, UINT32_MAX}) {  // matrices
    std::string bytes = good;
    std::memcpy(bytes.data() + 12, &value, 4);
    EXPECT_TRUE(refuses(bytes)) << value;
  }
  for (const uint32_t value : {0u, 8u, 77u, UINT32_MAX}) {  // the first one's format
    std::string bytes = good;
    std::memcpy(bytes.data() + 56 + 4, &value, 4);
    EXPECT_TRUE(refuses(bytes)) << value;
  }
  std::string overlap = good;  // the second where the first is
  std::memcpy(overlap.data() + 88 + 24, good.data() + 56 + 24, 8);
  EXPECT_TRUE(refuses(overlap));
}

// What an enemy makes who knows the sums' key: all sums are right.
TEST_F(PackedFileTest, RefusesMatricesThatOverlapOrAreNotAligned) {
  const std::vector<PackedPart> twice = {{0, Format::kF32, 512, 600, large_.data()},
                                         {1, Format::kF32, 512, 600, large_.data()}};
  Disk disk(1);
  ASSERT_TRUE(write_packed_file(disk.env, kPath, model_, twice, never));
  const std::string good = disk.env.files().at(kPath);
  const size_t first_offset = 56 + 24, second_offset = 88 + 24, end = 56 + 2 * 32 + 4 * 16;
  const auto opens = [&](std::string bytes, uint64_t first, uint64_t second) {
    const uint64_t size = bytes.size();
    std::memcpy(bytes.data() + 16, &size, 8);
    std::memcpy(bytes.data() + first_offset, &first, 8);
    std::memcpy(bytes.data() + second_offset, &second, 8);
    const auto digest = sys::sha256(std::string_view(bytes).substr(0, end));
    std::memcpy(bytes.data() + end, digest.data(), digest.size());
    disk.env.put_file(kPath, bytes);
    return open(disk.env).has_value();
  };
  uint64_t first, second;
  std::memcpy(&first, good.data() + first_offset, 8);
  std::memcpy(&second, good.data() + second_offset, 8);
  EXPECT_TRUE(opens(good, first, second));
  EXPECT_FALSE(opens(good.substr(0, second), first, first));
  std::string shifted = good;
  shifted.insert(first, 4, '\0');
  EXPECT_FALSE(opens(shifted, first + 4, second + 4));
}

// Whatever is cut short, a start finds the old file, the new one, or none; and the directory is not littered
// by what merely failed.
TEST_F(PackedFileTest, ACrashOrAFullDiskLeavesNothingHalf) {
  size_t operations = 0;
  {
    Disk disk(1);
    auto& env = disk.env;
    ASSERT_TRUE(write_packed_file(env, kPath, model_, parts(), never));
    operations = env.operations() - 1;  // the directory was made before
  }
  for (size_t n = 1; n <= operations; ++n) {
    Disk failing(n);
    failing.env.fail_operation(n);
    EXPECT_FALSE(write_packed_file(failing.env, kPath, model_, parts(), never));
    EXPECT_TRUE(failing.env.files().empty()) << n;

    Disk crashing(n);
    crashing.env.crash_operation(n);
    EXPECT_FALSE(write_packed_file(crashing.env, kPath, model_, parts(), never));
    crashing.env.restart();
    EXPECT_TRUE(!crashing.env.exists(kPath) || open(crashing.env)) << n;
  }
  Disk full(1);
  full.env.set_free_bytes(1u << 20);
  EXPECT_EQ(write_packed_file(full.env, kPath, model_, parts(), never).error().code, Code::kLimit);
  Disk stopped(1);
  int left = 3;
  EXPECT_EQ(write_packed_file(stopped.env, kPath, model_, parts(), [&] { return --left < 0; }).error().code,
            Code::kCancelled);
  EXPECT_TRUE(stopped.env.files().empty());
}

}  // namespace
}  // namespace cresset::engine
