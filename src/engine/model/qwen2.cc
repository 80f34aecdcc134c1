// The qwen2 recipe (Qwen2 and Qwen2.5): a llama whose queries, keys and values have biases. Source: Qwen2
// technical report (arXiv 2407.10671).
#include <cmath>

#include "engine/model/config.h"

namespace cresset::engine {

Result<ModelConfig> read_qwen2(const Gguf& file) {
  CRESSET_TRY(config, read_common_config(file, "qwen2"));
  config.rope_pairs = RopePairs::kHalves;
  config.activation = Activation::kSilu;
  config.has_attention_biases = true;
  config.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_size)));
  return config;
}

}  // namespace cresset::engine
