// A model file that is not what its architecture says is refused with one line that names the field.
#include "engine/load/weights.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "testing/paths.h"
#include "testing/sim_env.h"
#include "testing/tiny_model.h"

namespace cresset::engine {
namespace {

using testing::TinyModelOptions;

Result<ModelCard> card_of(const TinyModelOptions& options) {
  testing::SimEnv env(1);
  env.put_file("/tiny.gguf", testing::tiny_model_text(options));
  return read_card(env, "/tiny.gguf");
}

struct Broken {
  const char* name;
  TinyModelOptions model;
  Code code;
  const char* says;
};

std::vector<Broken> broken_models() {
  const auto key = [](std::string name, testing::TinyValue value) {
    TinyModelOptions o;
    o.keys[std::move(name)] = std::move(value);
    return o;
  };
  const auto dims = [](std::string name, std::vector<uint64_t> d) {
    TinyModelOptions o;
    o.dims[std::move(name)] = std::move(d);
    return o;
  };
  const auto without = [](std::string name) { return TinyModelOptions{.without = {std::move(name)}}; };
  const auto also = [](std::string name, std::vector<uint64_t> d) {
    return TinyModelOptions{.also = {{std::move(name), std::move(d)}}};
  };
  TinyModelOptions gemma{.architecture = "gemma3"};
  const auto gemma_with = [&](std::string name, testing::TinyValue value) {
    TinyModelOptions o = gemma;
    o.keys[std::move(name)] = std::move(value);
    return o;
  };
  TinyModelOptions no_query_norm = gemma;
  no_query_norm.without = {"blk.0.attn_q_norm.weight"};
  const auto of = [](std::string architecture, std::string name, testing::TinyValue value) {
    TinyModelOptions o{.architecture = std::move(architecture)};
    o.keys[std::move(name)] = std::move(value);
    return o;
  };
  const auto of_without = [](std::string architecture, std::string name) {
    return TinyModelOptions{.architecture = std::move(architecture), .without = {std::move(name)}};
  };
  const auto of_dims = [](std::string architecture, std::string name, std::vector<uint64_t> d) {
    return TinyModelOptions{.architecture = std::move(architecture),
                            .dims = {{std::move(name), std::move(d)}}};
  };
  const std::string text = "words";
  return {
      {"missing matrix", without("blk.1.ffn_up.weight"), Code::kCorrupt, "blk.1.ffn_up.weight"},
      {"missing norm", without("blk.0.attn_norm.weight"), Code::kCorrupt, "blk.0.attn_norm.weight"},
      {"missing embeddings", without("token_embd.weight"), Code::kCorrupt, "token_embd.weight"},
      {"missing output norm", without("output_norm.weight"), Code::kCorrupt, "output_norm.weight"},
      {"missing query norm", no_query_norm, Code::kCorrupt, "blk.0.attn_q_norm.weight"},
      {"matrix of another shape", dims("blk.0.attn_q.weight", {64, 32}), Code::kCorrupt,
       "blk.0.attn_q.weight"},
      {"matrix turned over", dims("blk.0.ffn_down.weight", {64, 96}), Code::kCorrupt,
       "blk.0.ffn_down.weight"},
      {"norm too long", dims("output_norm.weight", {128}), Code::kCorrupt, "output_norm.weight"},
      {"embeddings with fewer rows", dims("token_embd.weight", {64, 100}), Code::kCorrupt, ""},
      {"embeddings of another width", dims("token_embd.weight", {96, 265}), Code::kCorrupt,
       "token_embd.weight"},
      {"bias", also("blk.0.attn_q.bias", {64}), Code::kUnsupported, "blk.0.attn_q.bias"},
      {"layer too many", also("blk.2.attn_norm.weight", {64}), Code::kUnsupported, "blk.2.attn_norm.weight"},
      {"unknown tensor", also("surprise", {3}), Code::kUnsupported, "surprise"},
      {"rope factors of another size", also("rope_freqs.weight", {5}), Code::kCorrupt, "rope_freqs.weight"},
      {"rope factors of zero", also("rope_freqs.weight", {8}), Code::kCorrupt, "rope_freqs.weight"},
      {"no layers", key("llama.block_count", 0u), Code::kCorrupt, "llama.block_count"},
      {"absurd layers", key("llama.block_count", 4'000'000'000u), Code::kCorrupt, "llama.block_count"},
      {"more layers than tensors", key("llama.block_count", 3u), Code::kCorrupt, "blk.2."},
      {"layers as text", key("llama.block_count", text), Code::kCorrupt, "llama.block_count"},
      {"layers as a float", key("llama.block_count", 2.0f), Code::kCorrupt, "llama.block_count"},
      {"layers not given", key("llama.block_count", {}), Code::kNotFound, "llama.block_count"},
      {"heads that do not divide the width", key("llama.attention.head_count", 3u), Code::kCorrupt,
       "attention.head_count"},
      {"heads not a multiple of the KV heads", key("llama.attention.head_count_kv", 3u), Code::kCorrupt,
       "head_count"},
      {"more KV heads than heads", key("llama.attention.head_count_kv", 8u), Code::kCorrupt, "head_count_kv"},
      {"more heads to a KV head than attention takes at once",
       [&] {
         TinyModelOptions o = key("llama.attention.head_count", 65u);
         o.keys["llama.attention.head_count_kv"] = 1u;
         o.keys["llama.attention.key_length"] = 16u;
         return o;
       }(),
       Code::kUnsupported, "up to 64"},
      {"no heads", key("llama.attention.head_count", 0u), Code::kCorrupt, "attention.head_count"},
      {"odd head size", key("llama.attention.key_length", 17u), Code::kUnsupported, "17"},
      {"values of another size",
       [&] {
         TinyModelOptions o = key("llama.attention.key_length", 16u);
         o.keys["llama.attention.value_length"] = 32u;
         return o;
       }(),
       Code::kUnsupported, "value_length"},
      {"width not in sixteens", key("llama.embedding_length", 72u), Code::kUnsupported, "embedding_length"},
      {"absurd context", key("llama.context_length", 4'294'967'295u), Code::kCorrupt, "llama.context_length"},
      {"no epsilon", key("llama.attention.layer_norm_rms_epsilon", {}), Code::kNotFound,
       "layer_norm_rms_epsilon"},
      {"epsilon of zero", key("llama.attention.layer_norm_rms_epsilon", 0.0f), Code::kCorrupt,
       "layer_norm_rms_epsilon"},
      {"epsilon not a number",
       key("llama.attention.layer_norm_rms_epsilon", std::numeric_limits<float>::quiet_NaN()), Code::kCorrupt,
       "layer_norm_rms_epsilon"},
      {"yarn", key("llama.rope.scaling.type", std::string("yarn")), Code::kUnsupported, "yarn"},
      {"linear scaling below one",
       [&] {
         TinyModelOptions o = key("llama.rope.scaling.type", std::string("linear"));
         o.keys["llama.rope.scaling.factor"] = 0.0f;
         return o;
       }(),
       Code::kCorrupt, "rope.scaling.factor"},
      {"rope base of zero", key("llama.rope.freq_base", 0.0f), Code::kCorrupt, "rope.freq_base"},
      {"rope of odd dimensions", key("llama.rope.dimension_count", 15u), Code::kCorrupt,
       "rope.dimension_count"},
      {"rope beyond the head", key("llama.rope.dimension_count", 32u), Code::kCorrupt,
       "rope.dimension_count"},
      {"experts", key("llama.expert_count", 8u), Code::kUnsupported, "expert_count"},
      {"qwen2 without a bias", of_without("qwen2", "blk.1.attn_k.bias"), Code::kCorrupt, "blk.1.attn_k.bias"},
      {"bias of another size", of_dims("qwen2", "blk.0.attn_v.bias", {64}), Code::kCorrupt,
       "blk.0.attn_v.bias"},
      {"qwen2 with biases that nobody reads",
       {.architecture = "qwen2", .also = {{"blk.0.attn_output.bias", {64}}}},
       Code::kUnsupported,
       "blk.0.attn_output.bias"},
      {"qwen3 without a key norm", of_without("qwen3", "blk.0.attn_k_norm.weight"), Code::kCorrupt,
       "blk.0.attn_k_norm.weight"},
      {"no experts", of("qwen3moe", "qwen3moe.expert_count", 0u), Code::kCorrupt, "qwen3moe.expert_count"},
      {"expert count not given", of("qwen3moe", "qwen3moe.expert_count", {}), Code::kNotFound,
       "qwen3moe.expert_count"},
      {"absurd experts", of("qwen3moe", "qwen3moe.expert_count", 4'000'000'000u), Code::kCorrupt,
       "qwen3moe.expert_count"},
      {"more experts than in the tensors", of("qwen3moe", "qwen3moe.expert_count", 6u), Code::kCorrupt,
       "blk.0.ffn_gate_inp.weight"},
      {"no expert used", of("qwen3moe", "qwen3moe.expert_used_count", 0u), Code::kCorrupt,
       "qwen3moe.expert_used_count"},
      {"more experts used than there are", of("qwen3moe", "qwen3moe.expert_used_count", 6u), Code::kCorrupt,
       "qwen3moe.expert_used_count"},
      {"experts' width not given", of("qwen3moe", "qwen3moe.expert_feed_forward_length", {}), Code::kNotFound,
       "qwen3moe.expert_feed_forward_length"},
      {"experts' width not in blocks", of("qwen3moe", "qwen3moe.expert_feed_forward_length", 48u),
       Code::kUnsupported, "qwen3moe.expert_feed_forward_length"},
      {"experts' width of another file", of("qwen3moe", "qwen3moe.expert_feed_forward_length", 64u),
       Code::kCorrupt, "blk.0.ffn_gate_exps.weight"},
      {"weights of experts as text", of("qwen3moe", "qwen3moe.expert_weights_norm", text), Code::kCorrupt,
       "qwen3moe.expert_weights_norm"},
      {"missing router", of_without("qwen3moe", "blk.1.ffn_gate_inp.weight"), Code::kCorrupt,
       "blk.1.ffn_gate_inp.weight"},
      {"missing experts", of_without("qwen3moe", "blk.1.ffn_down_exps.weight"), Code::kCorrupt,
       "blk.1.ffn_down_exps.weight"},
      {"experts as one matrix", of_dims("qwen3moe", "blk.0.ffn_up_exps.weight", {64, 480}), Code::kCorrupt,
       "blk.0.ffn_up_exps.weight"},
      {"fewer experts in one tensor", of_dims("qwen3moe", "blk.0.ffn_up_exps.weight", {64, 96, 4}),
       Code::kCorrupt, "blk.0.ffn_up_exps.weight"},
      {"experts turned over", of_dims("qwen3moe", "blk.0.ffn_down_exps.weight", {64, 96, 5}), Code::kCorrupt,
       "blk.0.ffn_down_exps.weight"},
      {"dense matrices beside the experts",
       {.architecture = "qwen3moe", .also = {{"blk.0.ffn_up.weight", {64, 96}}}},
       Code::kUnsupported,
       "blk.0.ffn_up.weight"},
      {"unknown architecture", key("general.architecture", std::string("mamba")), Code::kUnsupported,
       "mamba"},
      {"architecture as a number", key("general.architecture", 1u), Code::kCorrupt, "general.architecture"},
      {"no architecture", key("general.architecture", {}), Code::kNotFound, "general.architecture"},
      {"no vocabulary", without("tokenizer.ggml.tokens"), Code::kNotFound, "tokenizer.ggml.tokens"},
      {"unknown tokenizer", key("tokenizer.ggml.model", std::string("t5")), Code::kUnsupported, "t5"},
      {"unknown pre-tokenizer", key("tokenizer.ggml.pre", std::string("klingon")), Code::kUnsupported,
       "klingon"},
      {"end token outside the vocabulary", key("tokenizer.ggml.eos_token_id", 70'000u), Code::kCorrupt,
       "eos_token_id"},
      {"template that is no template", key("tokenizer.chat_template", std::string("{% for %}")),
       Code::kInvalid, "chat template"},
      {"window pattern of zero",
       [&] {
         TinyModelOptions o = gemma;
         o.sliding_window = 64;
         o.keys["gemma3.attention.sliding_window_pattern"] = 0u;
         return o;
       }(),
       Code::kCorrupt, "sliding_window_pattern"},
      {"window as text", gemma_with("gemma3.attention.sliding_window", text), Code::kCorrupt,
       "sliding_window"},
  };
}

TEST(ModelFile, TheWholeOnesOpen) {
  const auto llama = card_of({});
  ASSERT_TRUE(llama) << llama.error().message();
  EXPECT_EQ(llama->architecture, "llama");
  EXPECT_EQ(llama->quantisation, "Q8_0");
  EXPECT_EQ(llama->layers, 2);
  EXPECT_EQ(llama->kv_heads, 2);
  EXPECT_EQ(llama->context_length, 512);
  EXPECT_EQ(llama->tokenizer, "bpe/smollm");
  EXPECT_TRUE(llama->has_chat_template);
  EXPECT_EQ(static_cast<size_t>(llama->vocabulary_size), testing::tiny_vocabulary_size());
  const auto gemma = card_of({.architecture = "gemma3", .has_chat_template = false});
  ASSERT_TRUE(gemma) << gemma.error().message();
  EXPECT_EQ(gemma->licence, "Gemma Terms of Use");
  EXPECT_FALSE(gemma->has_chat_template);
  for (const FormatTraits& f : all_formats()) {
    const auto card = card_of({.format = f.format, .width = 256, .feed_forward = 256});
    ASSERT_TRUE(card) << f.name << ": " << card.error().message();
    EXPECT_EQ(card->quantisation, f.name);
  }
  for (const char* architecture : {"qwen2", "qwen3", "qwen3moe"}) {
    const auto card = card_of({.architecture = architecture});
    ASSERT_TRUE(card) << architecture << ": " << card.error().message();
    EXPECT_EQ(card->architecture, architecture);
  }
  // The embeddings serve as the output where the file has none.
  EXPECT_TRUE(card_of({.without = {"output.weight"}}));
}

TEST(ModelFile, TheBrokenOnesAreRefusedInOneLineThatNamesTheField) {
  for (const Broken& broken : broken_models()) {
    const auto card = card_of(broken.model);
    ASSERT_FALSE(card) << broken.name;
    const std::string message = card.error().message();
    EXPECT_NE(message.find(broken.says), std::string::npos) << broken.name << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << broken.name << ": " << message;
    EXPECT_EQ(card.error().code, broken.code) << broken.name << ": " << message;
  }
}

// Files that are sound as GGUF and wrong as models.
TEST(ModelFile, TheHostileSeedsAreRefused) {
  const auto env = sys::make_posix_env();
  size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testing::source_path("fuzz/corpus/gguf"))) {
    if (!entry.path().filename().string().starts_with("later-")) continue;
    ++seen;
    const auto card = read_card(*env, entry.path().string());
    EXPECT_FALSE(card) << entry.path();
  }
  EXPECT_GE(seen, 3u);
}

}  // namespace
}  // namespace cresset::engine
