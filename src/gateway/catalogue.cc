#include "gateway/catalogue.h"

#include <utility>

#include "wire/openai_chat.h"

namespace cresset::gateway {

namespace {

ListedModel entry_of(const provider::InstalledModel& model, std::string id) {
  Json card = Json::object({{"architecture", model.card.architecture},
                            {"quantisation", model.card.quantisation},
                            {"parameters", model.card.parameters},
                            {"licence", model.card.licence},
                            {"has_chat_template", model.card.has_chat_template}});
  ListedModel out{std::move(id), model.created_unix_s, "cresset"};
  out.context_length = model.card.context_length;
  out.extra = Json::object({{"max_model_len", model.card.context_length}, {"cresset", std::move(card)}});
  out.own = ollama_model(model);
  return out;
}

// What the catalogue knows of a provider's model; a name that it does not list has only its name.
ListedModel entry_of(const provider::RemoteCard& card, std::string_view model, std::string id) {
  ListedModel out{std::move(id), 0, card.name};
  for (const provider::RemoteModel& known : card.models) {
    if (known.id != model) continue;
    out.context_length = known.context_length;
    out.answer_tokens_max = known.answer_tokens_max;
    if (!known.facts.is_null()) out.extra = Json::object({{"cresset", known.facts}});
    if (known.context_length > 0) out.extra.set("max_model_len", known.context_length);
  }
  return out;
}

wire::OpenAiModel openai_model(const ListedModel& model) {
  return {model.id, model.created_unix_s, model.owned_by, model.extra};
}

Json anthropic_model(const ListedModel& model) {
  Json out = Json::object({{"type", "model"},
                           {"id", model.id},
                           {"display_name", model.id},
                           {"created_at", wire::rfc3339(model.created_unix_s)}});
  if (model.context_length > 0) out.set("max_input_tokens", model.context_length);
  if (model.answer_tokens_max > 0) out.set("max_tokens", model.answer_tokens_max);
  return out;
}

Json gemini_model(const ListedModel& model) {
  Json out = Json::object({{"name", "models/" + model.id},
                           {"version", ""},
                           {"displayName", model.id},
                           {"supportedGenerationMethods",
                            Json::array({"generateContent", "streamGenerateContent", "countTokens"})}});
  if (model.context_length > 0) out.set("inputTokenLimit", model.context_length);
  if (model.answer_tokens_max > 0) out.set("outputTokenLimit", model.answer_tokens_max);
  return out;
}

chat::Dialect dialect_of(const wire::Codec* codec) {
  return codec == nullptr ? chat::Dialect::kOpenAiChat : codec->dialect();
}

// Ollama's clients know models by their bare names.
wire::OllamaModel for_ollama(const ListedModel& model) {
  if (model.own) return *model.own;
  wire::OllamaModel out;
  out.name = model.id;
  out.context_length = model.context_length;
  out.family = model.owned_by;
  return out;
}

}  // namespace

Names names_of(const std::vector<provider::InstalledModel>& installed, std::string default_name,
               const std::vector<Alias>& aliases) {
  Names names{{}, std::move(default_name), aliases};
  for (const provider::InstalledModel& model : installed) names.installed.push_back(model.name);
  return names;
}

wire::OllamaModel ollama_model(const provider::InstalledModel& model) {
  wire::OllamaModel out;
  out.name = model.name;
  out.modified_unix_s = model.created_unix_s;
  out.bytes = model.card.file_bytes;
  out.parameters = model.card.parameters;
  out.family = model.card.architecture;
  out.quantisation = model.card.quantisation;
  out.license = model.card.licence;
  out.chat_template = model.card.chat_template;
  out.context_length = model.card.context_length;
  out.can_chat = model.card.has_chat_template;
  return out;
}

std::optional<ListedModel> show_model(const std::vector<provider::InstalledModel>& installed,
                                      const Plan& plan) {
  if (plan.candidates.empty()) return std::nullopt;
  const Candidate& first = plan.candidates[0];
  if (!first.is_local()) return entry_of(*first.remote, first.model, first.id);
  for (const provider::InstalledModel& model : installed) {
    if (model.name == first.model) return entry_of(model, first.id);
  }
  return std::nullopt;
}

std::vector<ListedModel> list_models(const std::vector<provider::InstalledModel>& installed,
                                     const Names& names, const policy::Principal& principal) {
  std::vector<ListedModel> out;
  const auto add = [&](const std::string& id) {
    auto entry = show_model(installed, make_plan(names, principal, id, false));
    if (entry) out.push_back(std::move(*entry));
    return entry.has_value();
  };
  for (const provider::InstalledModel& model : installed) add("local/" + model.name);
  for (const provider::RemoteCard& card : names.remotes) {
    for (const provider::RemoteModel& model : card.models) add(card.name + "/" + model.id);
  }
  for (const Alias& alias : names.aliases) {
    if (!add(alias.name)) continue;
    out.back().id = alias.name;
    if (out.back().own) out.back().own->name = alias.name;
  }
  return out;
}

std::string encode_model(const wire::Codec* codec, const ListedModel& model) {
  switch (dialect_of(codec)) {
    case chat::Dialect::kAnthropic:
      return anthropic_model(model).write();
    case chat::Dialect::kGemini:
      return gemini_model(model).write();
    case chat::Dialect::kOllama:
      return wire::encode_ollama_show(for_ollama(model));
    default:
      return wire::encode_openai_model(openai_model(model));
  }
}

std::string encode_model_list(const wire::Codec* codec, std::span<const ListedModel> models) {
  Json data = Json::array();
  switch (dialect_of(codec)) {
    case chat::Dialect::kAnthropic:
      for (const ListedModel& model : models) data.push(anthropic_model(model));
      return Json::object({{"data", std::move(data)},
                           {"has_more", false},
                           {"first_id", models.empty() ? Json() : Json(models.front().id)},
                           {"last_id", models.empty() ? Json() : Json(models.back().id)}})
          .write();
    case chat::Dialect::kGemini:
      for (const ListedModel& model : models) data.push(gemini_model(model));
      return Json::object({{"models", std::move(data)}}).write();
    case chat::Dialect::kOllama: {
      std::vector<wire::OllamaModel> list;
      for (const ListedModel& model : models) list.push_back(for_ollama(model));
      return wire::encode_ollama_tags(list);
    }
    default:
      break;
  }
  std::vector<wire::OpenAiModel> list;
  for (const ListedModel& model : models) list.push_back(openai_model(model));
  return wire::encode_openai_model_list(list);
}

}  // namespace cresset::gateway
