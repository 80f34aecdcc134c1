#include "sys/env.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "testing/sim_env.h"

namespace cresset::sys {
namespace {

std::string some_bytes(size_t count) {
  std::string out(count, 0);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<char>(i * 131 + i / 251);
  return out;
}

// Parts across page borders, up to the end, and nothing.
void expect_copies_parts(Env& env, const std::string& path, const std::string& content) {
  const auto file = env.map(path);
  ASSERT_TRUE(file) << file.error().message();
  for (const auto& [first, count] : std::vector<std::pair<size_t, size_t>>{
           {0, 1}, {4000, 200}, {1, 9000}, {content.size() - 7, 7}, {5, 0}}) {
    std::vector<std::byte> to(count, std::byte{0x55});
    (*file)->copy((*file)->bytes().data() + first, to);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(to.data()), count), content.substr(first, count));
  }
}

TEST(MappedFile, CopiesItsParts) {
  const std::string content = some_bytes(12345);
  const std::string path = ::testing::TempDir() + "cresset-mapped-" + std::to_string(::getpid());
  std::ofstream(path, std::ios::binary) << content;
  expect_copies_parts(*make_posix_env(), path, content);
  std::filesystem::remove(path);
  testing::SimEnv sim(1);
  sim.put_file("/file", content);
  expect_copies_parts(sim, "/file", content);
}

// The name may be gone, or another file's, while the model is in use.
TEST(MappedFile, CopiesFromTheFileThatWasMapped) {
  const std::string content = some_bytes(5000);
  const std::string path = ::testing::TempDir() + "cresset-replaced-" + std::to_string(::getpid());
  std::ofstream(path, std::ios::binary) << content;
  const auto file = make_posix_env()->map(path);
  ASSERT_TRUE(file);
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << std::string(5000, 'x');
  std::vector<std::byte> to(5000);
  (*file)->copy((*file)->bytes().data(), to);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(to.data()), to.size()), content);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace cresset::sys
