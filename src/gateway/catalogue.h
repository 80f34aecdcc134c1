// Catalogue: what the model lists show of the installed models, of providers' and of aliases to one
// principal, in the shape of each dialect. Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gateway/route.h"
#include "provider/provider.h"
#include "wire/codec.h"
#include "wire/ollama.h"

namespace cresset::gateway {

Names names_of(const std::vector<provider::InstalledModel>& installed, std::string default_name,
               const std::vector<Alias>& aliases);

struct ListedModel {
  std::string id;  // "local/smollm2:latest"
  int64_t created_unix_s = 0;
  std::string owned_by;
  int context_length = 0, answer_tokens_max = 0;
  Json extra{};                            // additive members, or null
  std::optional<wire::OllamaModel> own{};  // of an installed one
};

// Every model and alias that the principal may use.
std::vector<ListedModel> list_models(const std::vector<provider::InstalledModel>& installed,
                                     const Names& names, const policy::Principal& principal);

// The one that a plan would ask first, under `id`; none when the plan is empty.
std::optional<ListedModel> show_model(const std::vector<provider::InstalledModel>& installed,
                                      const Plan& plan);

wire::OllamaModel ollama_model(const provider::InstalledModel& model);

// In the dialect of the codec; null: OpenAI's.
std::string encode_model_list(const wire::Codec* codec, std::span<const ListedModel> models);
std::string encode_model(const wire::Codec* codec, const ListedModel& model);

}  // namespace cresset::gateway
