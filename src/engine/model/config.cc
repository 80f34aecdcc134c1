#include "engine/model/config.h"

#include <algorithm>

#include "engine/kernel/kernels.h"

namespace cresset::engine {
namespace {

// A new architecture is one recipe file and one line here.
struct Recipe {
  std::string_view architecture;
  Result<ModelConfig> (*read)(const Gguf& file);
};
constexpr Recipe kRecipes[] = {
    {"llama", read_llama}, {"gemma3", read_gemma3},     {"qwen2", read_qwen2},
    {"qwen3", read_qwen3}, {"qwen3moe", read_qwen3moe},
};

Result<size_t> read_size(const Gguf& file, const std::string& key, uint64_t least, uint64_t most) {
  CRESSET_TRY(value, file.read_unsigned(key));
  if (value < least || value > most) {
    return fail(Code::kCorrupt,
                key + " is " + std::to_string(value) + ", outside " + std::to_string(least) + " to " +
                    std::to_string(most),
                file.where());
  }
  return static_cast<size_t>(value);
}

}  // namespace

Result<ModelConfig> read_common_config(const Gguf& file, std::string_view prefix) {
  const std::string p = std::string(prefix) + ".";
  ModelConfig c;
  c.architecture = prefix;
  CRESSET_TRY(layers, read_size(file, p + "block_count", 1, 1024));
  CRESSET_TRY(embedding, read_size(file, p + "embedding_length", 1, 1u << 20));
  CRESSET_TRY(heads, read_size(file, p + "attention.head_count", 1, 4096));
  CRESSET_TRY(feed_forward, read_size(file, p + "feed_forward_length", 1, 1u << 22));
  CRESSET_TRY(context, read_size(file, p + "context_length", 1, 1u << 26));
  if (embedding % 16 != 0) {
    return fail(
        Code::kUnsupported,
        p + "embedding_length is " + std::to_string(embedding) + " (this engine takes multiples of 16)",
        file.where());
  }
  c.layers = layers;
  c.embedding = embedding;
  c.heads = heads;
  c.feed_forward = feed_forward;
  c.context = context;
  c.kv_heads = heads;
  if (file.has(p + "attention.head_count_kv")) {
    CRESSET_TRY(kv_heads, read_size(file, p + "attention.head_count_kv", 1, heads));
    c.kv_heads = kv_heads;
  }
  if (heads % c.kv_heads != 0) {
    return fail(Code::kCorrupt, p + "attention.head_count is not a multiple of head_count_kv", file.where());
  }
  if (heads / c.kv_heads > kAttentionQueries) {
    return fail(Code::kUnsupported,
                p + "attention.head_count: " + std::to_string(heads / c.kv_heads) +
                    " heads share one of keys and values (this engine takes up to " +
                    std::to_string(kAttentionQueries) + ")",
                file.where());
  }
  if (file.has(p + "attention.key_length")) {
    CRESSET_TRY(head_size, read_size(file, p + "attention.key_length", 1, 4096));
    c.head_size = head_size;
    CRESSET_TRY(value_size, file.read_unsigned_or(p + "attention.value_length", head_size));
    if (value_size != head_size) {
      return fail(Code::kUnsupported, p + "attention.value_length differs from key_length", file.where());
    }
  } else {
    if (embedding % heads != 0) {
      return fail(Code::kCorrupt, p + "embedding_length is not a multiple of attention.head_count",
                  file.where());
    }
    c.head_size = embedding / heads;
  }
  if (c.head_size % 16 != 0 || c.head_size > 512) {
    return fail(Code::kUnsupported,
                "heads of " + std::to_string(c.head_size) +
                    " dimensions (this engine takes multiples of 16 up to 512)",
                file.where());
  }
  CRESSET_TRY(epsilon, file.read_float(p + "attention.layer_norm_rms_epsilon"));
  if (!(epsilon > 0 && epsilon < 1)) {
    return fail(Code::kCorrupt, p + "attention.layer_norm_rms_epsilon is not between 0 and 1", file.where());
  }
  c.epsilon = static_cast<float>(epsilon);
  CRESSET_TRY(rope_size, file.read_unsigned_or(p + "rope.dimension_count", c.head_size));
  if (rope_size == 0 || rope_size > c.head_size || rope_size % 2 != 0) {
    return fail(Code::kCorrupt, p + "rope.dimension_count is not an even number up to the head's size",
                file.where());
  }
  c.rope_size = static_cast<size_t>(rope_size);
  CRESSET_TRY(base, file.read_float_or(p + "rope.freq_base", 10000.0));
  if (!(base >= 1 && base <= 1e12))
    return fail(Code::kCorrupt, p + "rope.freq_base is out of range", file.where());
  RopeConfig rope{static_cast<float>(base), 1.0f};
  CRESSET_TRY(scaling, file.read_string_or(p + "rope.scaling.type", "none"));
  CRESSET_TRY(factor, file.read_float_or(p + "rope.scaling.factor", 1.0));
  if (scaling == "linear") {
    if (!(factor >= 1 && factor <= 1e6))
      return fail(Code::kCorrupt, p + "rope.scaling.factor is out of range", file.where());
    rope.position_scale = static_cast<float>(1.0 / factor);
  } else if (scaling != "none") {
    return fail(Code::kUnsupported,
                p + "rope.scaling.type \"" + std::string(scaling) + "\" (this engine takes linear)",
                file.where());
  }
  c.ropes = {rope};
  c.attention_scale = 0;  // the recipe sets it
  c.layer.resize(c.layers);
  return c;
}

Result<ExpertConfig> read_experts(const Gguf& file, std::string_view prefix) {
  const std::string p = std::string(prefix) + ".";
  CRESSET_TRY(count, read_size(file, p + "expert_count", 1, 1024));
  CRESSET_TRY(used, read_size(file, p + "expert_used_count", 1, count));
  CRESSET_TRY(feed_forward, read_size(file, p + "expert_feed_forward_length", 1, 1u << 22));
  if (feed_forward % kBlockItems != 0) {
    return fail(Code::kUnsupported,
                p + "expert_feed_forward_length is " + std::to_string(feed_forward) +
                    " (this engine takes multiples of 32)",
                file.where());
  }
  return ExpertConfig{count, used, feed_forward, false};
}

Result<ModelConfig> ModelConfig::read(const Gguf& file) {
  CRESSET_TRY(architecture, file.read_string("general.architecture"));
  std::string known;
  for (const Recipe& recipe : kRecipes) {
    if (recipe.architecture == architecture) return recipe.read(file);
    known += (known.empty() ? "" : ", ") + std::string(recipe.architecture);
  }
  return fail(Code::kUnsupported,
              "the architecture \"" + std::string(architecture.substr(0, 64)) +
                  "\" is not one this engine runs (" + known + ")",
              file.where());
}

}  // namespace cresset::engine
