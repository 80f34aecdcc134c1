// The llama recipe: Llama 2 and 3, SmolLM2, Mistral and what shares their shape.
// Source: Touvron et al., "LLaMA" (arXiv 2302.13971); GGUF stores Q and K permuted for adjacent-pair
// rotation.
#include <cmath>

#include "engine/model/config.h"

namespace cresset::engine {

Result<ModelConfig> read_llama(const Gguf& file) {
  CRESSET_TRY(config, read_common_config(file, "llama"));
  CRESSET_TRY(experts, file.read_unsigned_or("llama.expert_count", 0));
  if (experts != 0) {
    return fail(Code::kUnsupported, "llama.expert_count: mixture-of-experts models are not run yet",
                file.where());
  }
  config.rope_pairs = RopePairs::kAdjacent;
  config.activation = Activation::kSilu;
  config.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_size)));
  return config;
}

}  // namespace cresset::engine
