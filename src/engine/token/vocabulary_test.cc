#include "engine/token/vocabulary.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "engine/load/gguf.h"
#include "testing/gguf_writer.h"

namespace cresset::engine {
namespace {

using testing::GgufWriter;

// What a small honest file says; a test changes one thing.
struct File {
  std::string model = "gpt2", pre = "smollm";
  std::vector<std::string> texts{"<|endoftext|>", "<|im_end|>", "a", "b", "ab"};
  std::vector<int32_t> kinds{3, 1, 1, 1, 1};
  std::vector<float> scores{0, 0, -1, -2, -3};
  std::vector<std::string> merges{"a b"};
  std::vector<std::pair<std::string, uint32_t>> ids{{"tokenizer.ggml.eos_token_id", 0}};

  Result<Vocabulary> read() const {
    GgufWriter w;
    w.put_string("tokenizer.ggml.model", model);
    w.put_string("tokenizer.ggml.pre", pre);
    w.put_strings("tokenizer.ggml.tokens", texts);
    w.put_i32s("tokenizer.ggml.token_type", kinds);
    w.put_floats("tokenizer.ggml.scores", scores);
    w.put_strings("tokenizer.ggml.merges", merges);
    for (const auto& [key, id] : ids) w.put_u32(key, id);
    const auto bytes = w.finish();
    auto file = Gguf::open(bytes, "test.gguf");
    if (!file) return tl::unexpected<Error>(file.error());
    return Vocabulary::read(*file);
  }
};

TEST(Vocabulary, ReadsWhatTheFileSaysAndFindsTheEnds) {
  auto v = File().read();
  ASSERT_TRUE(v) << v.error().message();
  EXPECT_EQ(v->texts.size(), 5u);
  EXPECT_EQ(v->merges, (std::vector<MergeRule>{{"ab", 1}}));
  EXPECT_EQ(v->eos, 0);
  EXPECT_EQ(v->bos, kNoToken);
  // By key, and by its text although the file calls it a normal token: it becomes a control token.
  EXPECT_EQ(v->ends, (std::vector<Token>{0, 1}));
  EXPECT_EQ(v->kinds[1], TokenKind::kControl);
}

TEST(Vocabulary, RefusesWhatDoesNotFitTogetherAndNamesTheField) {
  struct Case {
    std::string field;
    std::function<void(File&)> spoil;
  };
  const std::vector<Case> cases{
      {"tokenizer.ggml.model", [](File& f) { f.model = "t5"; }},
      {"tokenizer.ggml.tokens", [](File& f) { f.texts.clear(); }},
      {"tokenizer.ggml.tokens[4]", [](File& f) { f.texts[4] = "a"; }},
      {"tokenizer.ggml.tokens[2]", [](File& f) { f.texts[2] = std::string(100'000, 'x'); }},
      {"tokenizer.ggml.token_type", [](File& f) { f.kinds.pop_back(); }},
      {"tokenizer.ggml.token_type", [](File& f) { f.kinds.push_back(1); }},
      {"tokenizer.ggml.token_type[3]", [](File& f) { f.kinds[3] = 7; }},
      {"tokenizer.ggml.token_type[3]", [](File& f) { f.kinds[3] = -1; }},
      {"tokenizer.ggml.merges[0]", [](File& f) { f.merges[0] = "ab"; }},
      {"tokenizer.ggml.merges[0]", [](File& f) { f.merges[0] = "a "; }},
      {"tokenizer.ggml.merges[0]", [](File& f) { f.merges[0] = ""; }},
      {"tokenizer.ggml.eos_token_id", [](File& f) { f.ids[0].second = 5; }},
      {"tokenizer.ggml.bos_token_id",
       [](File& f) { f.ids.push_back({"tokenizer.ggml.bos_token_id", 0xFFFFFFFF}); }},
      {"tokenizer.ggml.eot_token_id", [](File& f) { f.ids.push_back({"tokenizer.ggml.eot_token_id", 99}); }},
      {"tokenizer.ggml.scores",
       [](File& f) {
         f.model = "llama";
         f.scores.pop_back();
       }},
      {"tokenizer.ggml.scores",
       [](File& f) {
         f.model = "llama";
         f.scores[1] = std::numeric_limits<float>::quiet_NaN();
       }},
  };
  for (const Case& c : cases) {
    File file;
    c.spoil(file);
    auto v = file.read();
    ASSERT_FALSE(v) << c.field;
    EXPECT_NE(v.error().message().find(c.field), std::string::npos) << v.error().message();
    EXPECT_EQ(v.error().message().find('\n'), std::string::npos);
  }
}

TEST(Vocabulary, RefusesAnAbsurdOne) {
  File file;
  file.texts.clear();
  for (uint64_t i = 0; i <= Vocabulary::kSizeMax; ++i) file.texts.push_back(std::to_string(i));
  auto v = file.read();
  ASSERT_FALSE(v);
  EXPECT_NE(v.error().message().find("tokenizer.ggml.tokens"), std::string::npos) << v.error().message();
}

TEST(Vocabulary, GivesSentencePieceItsDefaults) {
  File file;
  file.model = "llama";
  file.texts = {"<unk>", "<s>", "</s>", "a", "b"};
  file.kinds = {2, 3, 3, 1, 1};
  file.ids.clear();
  auto v = file.read();
  ASSERT_TRUE(v) << v.error().message();
  EXPECT_EQ(v->unknown, 0);
  EXPECT_EQ(v->bos, 1);
  EXPECT_EQ(v->eos, 2);
  EXPECT_TRUE(v->add_bos);
  EXPECT_TRUE(v->add_space_prefix);
}

}  // namespace
}  // namespace cresset::engine
