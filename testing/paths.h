// Where tests find the tree and what ./dev fetched; each is empty when absent, and the test then skips by
// name.
#pragma once

#include <string>

namespace cresset::testing {

std::string source_path(const std::string& relative);  // in the checkout
std::string default_model_path();                      // SmolLM2-135M-Instruct, or ""
std::string gemma_model_path();                        // Gemma 3 270M, or ""

}  // namespace cresset::testing
