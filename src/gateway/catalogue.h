// Catalogue: what /v1/models shows of the installed models and aliases to one principal. Pure; any thread.
#pragma once

#include <optional>
#include <vector>

#include "gateway/route.h"
#include "provider/provider.h"
#include "wire/openai_chat.h"

namespace cresset::gateway {

Names names_of(const std::vector<provider::InstalledModel>& installed, std::string default_name,
               const std::vector<Alias>& aliases);

// Every model and alias that the principal may use.
std::vector<wire::OpenAiModel> list_models(const std::vector<provider::InstalledModel>& installed,
                                           const Names& names, const policy::Principal& principal);

// The one that a plan would ask first, under `id`; none when the plan is empty.
std::optional<wire::OpenAiModel> show_model(const std::vector<provider::InstalledModel>& installed,
                                            const Plan& plan);

}  // namespace cresset::gateway
