#include "gateway/catalogue.h"

#include <utility>

namespace cresset::gateway {

namespace {

wire::OpenAiModel entry_of(const provider::InstalledModel& model, std::string id) {
  Json card = Json::object({{"architecture", model.card.architecture},
                            {"quantisation", model.card.quantisation},
                            {"parameters", model.card.parameters},
                            {"licence", model.card.licence},
                            {"has_chat_template", model.card.has_chat_template}});
  return {std::move(id), model.created_unix_s, "cresset",
          Json::object({{"max_model_len", model.card.context_length}, {"cresset", std::move(card)}})};
}

}  // namespace

Names names_of(const std::vector<provider::InstalledModel>& installed, std::string default_name,
               const std::vector<Alias>& aliases) {
  Names names{{}, std::move(default_name), aliases};
  for (const provider::InstalledModel& model : installed) names.installed.push_back(model.name);
  return names;
}

std::optional<wire::OpenAiModel> show_model(const std::vector<provider::InstalledModel>& installed,
                                            const Plan& plan) {
  if (plan.candidates.empty()) return std::nullopt;
  for (const provider::InstalledModel& model : installed) {
    if (model.name == plan.candidates[0].model) return entry_of(model, plan.candidates[0].id);
  }
  return std::nullopt;
}

std::vector<wire::OpenAiModel> list_models(const std::vector<provider::InstalledModel>& installed,
                                           const Names& names, const policy::Principal& principal) {
  std::vector<wire::OpenAiModel> out;
  for (const provider::InstalledModel& model : installed) {
    if (auto entry = show_model(installed, make_plan(names, principal, "local/" + model.name, false))) {
      out.push_back(std::move(*entry));
    }
  }
  for (const Alias& alias : names.aliases) {
    if (auto entry = show_model(installed, make_plan(names, principal, alias.name, false))) {
      entry->id = alias.name;
      out.push_back(std::move(*entry));
    }
  }
  return out;
}

}  // namespace cresset::gateway
