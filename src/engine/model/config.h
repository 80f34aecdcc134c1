// ModelConfig: an architecture as plain data. Layers differ by fields, not by subclasses; a recipe (llama.cc,
// gemma3.cc, qwen2.cc, qwen3.cc) fills one from a file's metadata, and forward.cc reads it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/load/gguf.h"

namespace cresset::engine {

enum class Activation { kSilu, kGeluTanh };
enum class RopePairs { kAdjacent, kHalves };  // (0,1),(2,3).. or (0,d/2),(1,d/2+1)..

struct RopeConfig {
  float base = 10000.0f;
  float position_scale = 1.0f;  // linear scaling: positions are multiplied by this
};

struct LayerConfig {
  int rope = 0;              // index into ModelConfig::ropes
  int sliding_window = 0;    // positions seen including its own; 0: all
  bool has_experts = false;  // its feed-forward is a choice of experts instead of one set of matrices
};

// A mixture of experts: a router scores all of them for each token, the best `used` compute, and their
// results are added up with the scores as weights (experts.h).
struct ExpertConfig {
  size_t count = 0, used = 0;
  size_t feed_forward = 0;       // the inner width of one
  bool is_renormalised = false;  // the weights of the chosen add up to 1
};

struct ModelConfig {
  std::string architecture;
  size_t layers = 0, embedding = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0;
  size_t feed_forward = 0;  // of the layers without experts
  ExpertConfig experts;     // of the layers with them
  size_t context = 0;
  float epsilon = 1e-5f;
  float embedding_scale = 1.0f;  // multiplies the token's embedding
  float attention_scale = 0.0f;  // multiplies the queries
  Activation activation = Activation::kSilu;
  RopePairs rope_pairs = RopePairs::kAdjacent;
  size_t rope_size = 0;  // dimensions of a head that are rotated
  std::vector<RopeConfig> ropes;
  std::vector<float> rope_factors;    // per pair, from the file's rope_freqs tensor; empty: none
  bool has_attention_biases = false;  // added to queries, keys and values
  bool has_query_key_norm = false;    // RMS norm of each head's query and key
  bool has_post_norms = false;        // norms after attention and after the feed-forward, before the residual
  std::vector<LayerConfig> layer;

  // Reads and checks everything; another architecture is kUnsupported by name, a number out of range
  // kCorrupt.
  static Result<ModelConfig> read(const Gguf& file);
};

// Fields that all recipes share: sizes, norms, context. `prefix` is the architecture's name in the keys.
Result<ModelConfig> read_common_config(const Gguf& file, std::string_view prefix);
// The keys of a mixture of experts; its feed-forward width must be whole blocks of activations.
Result<ExpertConfig> read_experts(const Gguf& file, std::string_view prefix);

// The recipes.
Result<ModelConfig> read_llama(const Gguf& file);
Result<ModelConfig> read_gemma3(const Gguf& file);
Result<ModelConfig> read_qwen2(const Gguf& file);
Result<ModelConfig> read_qwen3(const Gguf& file);
Result<ModelConfig> read_qwen3moe(const Gguf& file);

}  // namespace cresset::engine
