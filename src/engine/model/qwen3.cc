// The qwen3 and qwen3moe recipes: normed queries and keys instead of qwen2's biases; in qwen3moe every
// layer's feed-forward is a choice of experts, whose weights add up to 1. Source: Qwen3 technical report
// (arXiv 2505.09388).
#include <cmath>

#include "engine/model/config.h"

namespace cresset::engine {
namespace {

Result<ModelConfig> read_family(const Gguf& file, std::string_view architecture) {
  CRESSET_TRY(config, read_common_config(file, architecture));
  config.rope_pairs = RopePairs::kHalves;
  config.activation = Activation::kSilu;
  config.has_query_key_norm = true;
  config.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_size)));
  return config;
}

}  // namespace

Result<ModelConfig> read_qwen3(const Gguf& file) {
  return read_family(file, "qwen3");
}

Result<ModelConfig> read_qwen3moe(const Gguf& file) {
  CRESSET_TRY(config, read_family(file, "qwen3moe"));
  CRESSET_TRY(experts, read_experts(file, "qwen3moe"));
  config.experts = experts;
  // Files rarely say it: norm_topk_prob of transformers, true in every published model and so in llama.cpp.
  CRESSET_TRY(is_renormalised, file.read_bool_or("qwen3moe.expert_weights_norm", true));
  config.experts.is_renormalised = is_renormalised;
  config.feed_forward = 0;
  for (LayerConfig& layer : config.layer) layer.has_experts = true;
  return config;
}

}  // namespace cresset::engine
