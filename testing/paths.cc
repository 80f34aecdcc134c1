#include "testing/paths.h"

#include <cstdlib>
#include <filesystem>

namespace cresset::testing {
namespace {

std::string root() {
  const char* set = std::getenv("CRESSET_SOURCE_DIR");
  if (set != nullptr) return set;
  // From build/<preset>/ upwards.
  for (auto p = std::filesystem::current_path(); p.has_parent_path() && p != p.parent_path();
       p = p.parent_path()) {
    if (std::filesystem::exists(p / "CMakePresets.json")) return p.string();
  }
  return ".";
}

std::string fetched(const char* variable, const char* name) {
  const char* set = std::getenv(variable);
  const std::string path = set != nullptr ? set : root() + "/.cache/models/" + name;
  return std::filesystem::exists(path) ? path : "";
}

}  // namespace

std::string source_path(const std::string& relative) {
  return root() + "/" + relative;
}
std::string default_model_path() {
  return fetched("CRESSET_TEST_MODEL", "smollm2-135m-instruct-q4_1.gguf");
}
std::string gemma_model_path() {
  return fetched("CRESSET_TEST_GEMMA", "gemma3-270m-q4_k_m.gguf");
}

}  // namespace cresset::testing
