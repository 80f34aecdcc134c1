// What a model costs in memory: one copy of its weights, the keys and values in use, and 64 MiB for all else.
// Runs in a process of its own (ctest starts one for each test), so that the peak is this test's.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "testing/paths.h"
#include "testing/real_model.h"
#include "testing/tiny_engine.h"

namespace cresset::engine {
namespace {

constexpr uint64_t kAllElse = 64u << 20;

// A line of /proc/self/status in bytes; 0 where there is none.
uint64_t read_status(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::stoull(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

void expect_one_copy(const std::string& path, uint64_t kv_bytes_a_token, const EngineOptions& options = {}) {
  if (path.empty()) GTEST_SKIP() << "no model file";
  if (testing::kIsSanitized) GTEST_SKIP() << "a sanitizer's own memory would be measured";
  if (read_status("VmRSS") == 0) GTEST_SKIP() << "the system does not say what is resident";
  if (read_status("VmHWM") > kAllElse) GTEST_SKIP() << "other tests ran in this process before";
  const auto env = sys::make_posix_env();
  const uint64_t file_bytes = env->stat(path)->size;
  const auto engine = Engine::open(*env, path, options);
  ASSERT_TRUE(engine) << engine.error().message();
  const auto in_mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::cout << "file " << in_mib(file_bytes) << " MiB; opened: resident " << in_mib(read_status("VmRSS"))
            << ", peak " << in_mib(read_status("VmHWM")) << " MiB\n";
  EXPECT_LE(read_status("VmRSS"), file_bytes + kAllElse) << "after opening";
  EXPECT_LE(read_status("VmHWM"), file_bytes + kAllElse) << "while opening";

  constexpr size_t kTokens = 1024;
  std::vector<int32_t> ids = (*engine)->tokenize(testing::read_prose("english"), false);
  ids.resize(kTokens);
  ASSERT_TRUE((*engine)->evaluate({ids}, false));
  std::cout << "after " << kTokens << " tokens: resident " << in_mib(read_status("VmRSS")) << ", peak "
            << in_mib(read_status("VmHWM")) << " MiB\n";
  EXPECT_LE(read_status("VmHWM"), file_bytes + kAllElse + kTokens * kv_bytes_a_token) << "while answering";
}

// Layers x heads x dimensions x (key and value) x 2 bytes.
TEST(Memory, SmolLM2TakesItsFileAndItsKeysAndValues) {
  expect_one_copy(testing::default_model_path(), 30 * 3 * 64 * 2 * 2);
}
TEST(Memory, Gemma3TakesItsFileAndItsKeysAndValues) {
  expect_one_copy(testing::gemma_model_path(), 18 * 1 * 256 * 2 * 2);
}

// Mapped while opening, and so resident before anyone asks; as far as the budget goes.
TEST(Memory, KeysAndValuesThatAreToBeReadyAre) {
  if (testing::kIsSanitized) GTEST_SKIP() << "a sanitizer's own memory would be measured";
  if (read_status("VmRSS") == 0) GTEST_SKIP() << "the system does not say what is resident";
  constexpr uint64_t kReady = 24u << 20, kBudget = 16u << 20, kSlack = 4u << 20;
  const auto resident_with = [](const EngineOptions& options) {
    testing::TinyEngine tiny({}, options);
    const uint64_t resident = read_status("VmRSS");
    EXPECT_FALSE(tiny.answer(testing::complete(std::vector<int32_t>(100, 5), 3))->error());
    return resident;
  };
  const uint64_t least = resident_with({.threads = 2});
  EXPECT_GE(resident_with({.threads = 2, .kv_bytes_ready = kReady}), least + kReady - kSlack);
  const uint64_t bounded = resident_with({.threads = 2, .kv_bytes_max = kBudget, .kv_bytes_ready = kReady});
  EXPECT_GE(bounded, least + kBudget - kSlack);
  EXPECT_LE(bounded, least + kBudget + kSlack);
}

bool write_at_once(const std::string& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  return !!out.write(content.data(), static_cast<std::streamsize>(content.size())).flush();
}

// What was kept is mapped in place of a copy, never beside one. Of a file written in large pieces, as some
// file systems then keep it in large pages, each of which is mapped whole by one touch.
TEST(Memory, KeptWeightsTakeNoMore) {
  const std::string original = testing::default_model_path();
  if (original.empty()) GTEST_SKIP() << "no model file";
  const std::filesystem::path directory =
      std::filesystem::path(::testing::TempDir()) / ("cresset-packed-" + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  const std::string path = (directory / "model.gguf").string();
  const EngineOptions options{.model_sha256 = std::string(64, 'a'), .packed_directory = directory.string()};
  // In a child: copying and packing have peaks of their own.
  const pid_t child = ::fork();
  if (child == 0) {
    const auto env = sys::make_posix_env();
    const auto content = env->read_file(original, uint64_t{1} << 30);
    if (!content || !write_at_once(path, *content)) ::_exit(2);
    ::_exit(keep_packed(*env, path, options) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  expect_one_copy(path, 30 * 3 * 64 * 2 * 2, options);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace cresset::engine
