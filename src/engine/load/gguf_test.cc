#include "engine/load/gguf.h"

#include <gtest/gtest.h>

#include "sys/env.h"
#include "testing/paths.h"

namespace cresset::engine {
namespace {

TEST(Gguf, ReadsTheDefaultModel) {
  const std::string path = testing::default_model_path();
  if (path.empty()) GTEST_SKIP() << "SmolLM2-135M-Instruct is not fetched";
  const auto env = sys::make_posix_env();
  const auto mapped = env->map(path);
  ASSERT_TRUE(mapped) << mapped.error().message();
  const auto file = Gguf::open((*mapped)->bytes(), path);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->read_string("general.architecture").value(), "llama");
}

}  // namespace
}  // namespace cresset::engine
