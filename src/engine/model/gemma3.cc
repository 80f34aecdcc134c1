// The gemma3 recipe (text): norms before and after each part, normed queries and keys, five layers with a
// sliding window for one that sees all, two rotation bases, embeddings scaled by sqrt(width). Source: Gemma 3
// technical report (arXiv 2503.19786). GGUF stores the norms' weights with their 1 added.
#include <cmath>

#include "engine/model/config.h"

namespace cresset::engine {

Result<ModelConfig> read_gemma3(const Gguf& file) {
  CRESSET_TRY(config, read_common_config(file, "gemma3"));
  config.rope_pairs = RopePairs::kHalves;
  config.activation = Activation::kGeluTanh;
  config.has_query_key_norm = true;
  config.has_post_norms = true;
  config.embedding_scale = std::sqrt(static_cast<float>(config.embedding));
  // The 27B model scales by embedding / heads; the others by the head's size.
  const bool is_27b = config.layers == 62;
  const double scale_of = is_27b ? static_cast<double>(config.embedding) / static_cast<double>(config.heads)
                                 : static_cast<double>(config.head_size);
  config.attention_scale = static_cast<float>(1.0 / std::sqrt(scale_of));

  CRESSET_TRY(window, file.read_unsigned_or("gemma3.attention.sliding_window", 0));
  if (window > (1u << 26))
    return fail(Code::kCorrupt, "gemma3.attention.sliding_window is out of range", file.where());
  if (window > 0) {
    CRESSET_TRY(pattern, file.read_unsigned_or("gemma3.attention.sliding_window_pattern", 6));
    if (pattern < 1 || pattern > 1024) {
      return fail(Code::kCorrupt, "gemma3.attention.sliding_window_pattern is out of range", file.where());
    }
    CRESSET_TRY(local_base, file.read_float_or("gemma3.rope.freq_base_swa", 10000.0));
    if (!(local_base >= 1 && local_base <= 1e12)) {
      return fail(Code::kCorrupt, "gemma3.rope.freq_base_swa is out of range", file.where());
    }
    config.ropes.push_back({static_cast<float>(local_base), 1.0f});
    for (size_t i = 0; i < config.layers; ++i) {
      if (i % pattern == pattern - 1) continue;
      config.layer[i].rope = 1;
      config.layer[i].sliding_window = static_cast<int>(window);
    }
  }
  return config;
}

}  // namespace cresset::engine
