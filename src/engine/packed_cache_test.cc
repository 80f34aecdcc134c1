// Keeping repacked weights changes how fast a start is and nothing else.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/engine.h"
#include "engine/load/gguf.h"
#include "engine/load/packed_file.h"
#include "testing/sim_env.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

using testing::SimEnv;

const std::string kSha256(64, 'a');
const std::string kKept = "/packed/" + kSha256 + ".packed";
const EngineOptions kKeeps{.threads = 2, .model_sha256 = kSha256, .packed_directory = "/packed"};

std::vector<float> logits(SimEnv& env, const EngineOptions& options) {
  const auto engine = Engine::open(env, "/tiny.gguf", options);
  EXPECT_TRUE(engine) << engine.error().message();
  if (!engine) return {};
  const auto out = (*engine)->evaluate({{5, 80, 17, 200, 31}}, false);
  EXPECT_TRUE(out);
  return (*out)[0][0].values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return !a.empty() && a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class PackedCache : public ::testing::Test {
 protected:
  PackedCache() {
    env_.put_file("/tiny.gguf", testing::tiny_model_text({}));
    without_ = logits(env_, {.threads = 2});
  }
  SimEnv env_{1};
  std::vector<float> without_;
};

TEST_F(PackedCache, GivesTheSameBitsAsPackingAndIsReallyUsed) {
  ASSERT_TRUE(keep_packed(env_, "/tiny.gguf", kKeeps));
  ASSERT_TRUE(env_.exists(kKept));
  EXPECT_TRUE(same_bits(logits(env_, kKeeps), without_));
  const std::string kept = env_.files().at(kKept);
  const size_t operations = env_.operations();
  ASSERT_TRUE(keep_packed(env_, "/tiny.gguf", kKeeps)) << "it is there";
  EXPECT_EQ(env_.operations(), operations) << "and is not written again";

  // A file whose sums are right and whose weights are others gives other answers: it was read, not repacked.
  Pool pool(1);
  auto file = PackedFile::open(env_, kKept, sys::sha256(std::string_view(kSha256)), pool);
  ASSERT_TRUE(file);
  std::vector<PackedPart> parts = (*file)->parts();
  std::vector<PackedMatrix> others;
  for (PackedPart& part : parts) {
    others.emplace_back(part.format, part.rows, part.columns);
    part.bytes = others.back().data();
  }
  ASSERT_TRUE(
      write_packed_file(env_, kKept, sys::sha256(std::string_view(kSha256)), parts, [] { return false; }));
  EXPECT_FALSE(same_bits(logits(env_, kKeeps), without_));
}

TEST_F(PackedCache, IsPackedAgainWhenItIsDamagedOrOfAnotherModel) {
  ASSERT_TRUE(keep_packed(env_, "/tiny.gguf", kKeeps));
  const std::string good = env_.files().at(kKept);
  for (size_t at = 0; at < good.size(); at += 1 + good.size() / 40) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 4);
    env_.put_file(kKept, bytes);
    EXPECT_TRUE(same_bits(logits(env_, kKeeps), without_)) << at;
  }
  for (const size_t size : {size_t{0}, size_t{40}, good.size() / 2, good.size() - 1}) {
    env_.put_file(kKept, good.substr(0, size));
    EXPECT_TRUE(same_bits(logits(env_, kKeeps), without_)) << size;
  }
  // Right in itself, and with matrices of other shapes than this model's.
  env_.put_file("/tiny.gguf", testing::tiny_model_text({.layers = 1}));
  std::string one_layer;
  {
    SimEnv other(1);
    other.put_file("/tiny.gguf", testing::tiny_model_text({.layers = 1}));
    ASSERT_TRUE(keep_packed(other, "/tiny.gguf", kKeeps));
    one_layer = other.files().at(kKept);
  }
  env_.put_file("/tiny.gguf", testing::tiny_model_text({}));
  env_.put_file(kKept, one_layer);
  EXPECT_TRUE(same_bits(logits(env_, kKeeps), without_));
}

TEST_F(PackedCache, ADirectoryThatCannotBeWrittenIsNoError) {
  for (size_t n = 1; n <= 3; ++n) {
    env_.fail_operation(n);
    EXPECT_FALSE(keep_packed(env_, "/tiny.gguf", kKeeps));
    EXPECT_FALSE(env_.exists(kKept));
    EXPECT_TRUE(same_bits(logits(env_, kKeeps), without_));
  }
}

TEST_F(PackedCache, ModelsOfUnknownDigestAndTheReferenceAreNotKept) {
  EngineOptions unknown = kKeeps, nowhere = kKeeps, reference = kKeeps;
  unknown.model_sha256.clear();
  nowhere.packed_directory.clear();
  reference.arithmetic = Arithmetic::kFloat32;
  for (const EngineOptions& options : {unknown, nowhere, reference}) {
    EXPECT_EQ(keep_packed(env_, "/tiny.gguf", options).error().code, Code::kUnsupported);
    EXPECT_EQ(env_.files().size(), 1u);
  }
  ASSERT_TRUE(keep_packed(env_, "/tiny.gguf", kKeeps));
  EXPECT_FALSE(logits(env_, reference).empty()) << "what is kept is not of the reference's form";
}

}  // namespace
}  // namespace cresset::engine
