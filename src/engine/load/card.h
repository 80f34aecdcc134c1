// The model card: what a file says of itself, and what we know of its family's terms.
#pragma once

#include "engine/engine.h"
#include "engine/load/gguf.h"
#include "engine/model/config.h"
#include "engine/token/vocabulary.h"

namespace cresset::engine {

Result<ModelCard> make_card(const Gguf& file, uint64_t file_bytes, const ModelConfig& config,
                            const Vocabulary& vocabulary);

}  // namespace cresset::engine
