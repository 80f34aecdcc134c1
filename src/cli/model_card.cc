#include "cli/model_card.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace cresset::cli {

Json card_json(const engine::ModelCard& card) {
  return Json::object({{"architecture", card.architecture},
                       {"name", card.name},
                       {"quantisation", card.quantisation},
                       {"licence", card.licence},
                       {"licence_note", card.licence_note},
                       {"parameters", card.parameters},
                       {"file_bytes", card.file_bytes},
                       {"context_length", card.context_length},
                       {"layers", card.layers},
                       {"embedding_length", card.embedding_length},
                       {"heads", card.heads},
                       {"kv_heads", card.kv_heads},
                       {"vocabulary_size", card.vocabulary_size},
                       {"tokenizer", card.tokenizer},
                       {"has_chat_template", card.has_chat_template},
                       {"chat_template", card.chat_template}});
}

engine::ModelCard card_from_json(const Json& json) {
  engine::ModelCard card;
  const auto number = [&](const char* key) {
    return static_cast<int>(std::min<uint64_t>(card_count(json, key), INT32_MAX));
  };
  card.architecture = card_text(json, "architecture");
  card.name = card_text(json, "name");
  card.quantisation = card_text(json, "quantisation");
  card.licence = card_text(json, "licence");
  card.licence_note = card_text(json, "licence_note");
  card.parameters = card_count(json, "parameters");
  card.file_bytes = card_count(json, "file_bytes");
  card.context_length = number("context_length");
  card.layers = number("layers");
  card.embedding_length = number("embedding_length");
  card.heads = number("heads");
  card.kv_heads = number("kv_heads");
  card.vocabulary_size = number("vocabulary_size");
  card.tokenizer = card_text(json, "tokenizer");
  card.chat_template = card_text(json, "chat_template");
  const Json* has_template = json.find("has_chat_template");
  card.has_chat_template = has_template != nullptr && *has_template == Json(true);
  return card;
}

Result<Json> describe_file(Context& context, const std::string& path) {
  CRESSET_TRY(card, context.parts.read_card(context.env, path));
  return card_json(card);
}

std::string name_from_path(std::string_view path) {
  path = path.substr(path.rfind('/') + 1);
  if (path.ends_with(".gguf") || path.ends_with(".GGUF")) path.remove_suffix(5);
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : plain ? c : '-';
    if (out.empty() && (lower == '.' || lower == '-' || lower == '_')) continue;
    out += lower;
  }
  return out;
}

std::string card_text(const Json& card, std::string_view key) {
  const Json* value = card.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

uint64_t card_count(const Json& card, std::string_view key) {
  const Json* value = card.find(key);
  return value != nullptr && value->is_integer() && value->as_integer() > 0
             ? static_cast<uint64_t>(value->as_integer())
             : 0;
}

std::string human_count(uint64_t count) {
  char text[32];
  const double n = static_cast<double>(count);
  if (count >= 1'000'000'000) {
    std::snprintf(text, sizeof text, "%.1fB", n / 1e9);
  } else if (count >= 1'000'000) {
    std::snprintf(text, sizeof text, count >= 100'000'000 ? "%.0fM" : "%.1fM", n / 1e6);
  } else {
    return std::to_string(count);
  }
  return text;
}

std::string human_date(int64_t unix_ms) {
  const auto seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm utc{};
  char text[48] = "";
  if (::gmtime_r(&seconds, &utc) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc);
  return text;
}

Json record_json(const store::ModelRecord& record, bool is_default) {
  return Json::object({{"name", record.name},
                       {"digest", "sha256:" + record.digest},
                       {"size", record.size},
                       {"imported_unix_s", record.imported_unix_ms / 1000},
                       {"source", record.source},
                       {"default", is_default},
                       {"whole", record.is_whole},
                       {"card", record.card}});
}

}  // namespace cresset::cli
