// A model's card as JSON (what the store keeps and scripts read) and as text. Pure but for describe_file.
#pragma once

#include <string>

#include "cli/context.h"

namespace cresset::cli {

Json card_json(const engine::ModelCard& card);
engine::ModelCard card_from_json(const Json& card);  // what is absent stays empty
// Reads and checks the file: the store's door.
Result<Json> describe_file(Context& context, const std::string& path);
// The name that a file is imported under when none is given: "SmolLM2-135M.Q4_1.gguf" -> "smollm2-135m.q4_1".
std::string name_from_path(std::string_view path);
// A member of a card as text; empty when absent.
std::string card_text(const Json& card, std::string_view key);
uint64_t card_count(const Json& card, std::string_view key);
std::string human_count(uint64_t count);  // "134.5M"
std::string human_date(int64_t unix_ms);  // "2026-11-24 22:03 UTC"
Json record_json(const store::ModelRecord& record, bool is_default);

}  // namespace cresset::cli
