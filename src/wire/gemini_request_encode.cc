#include <utility>

#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/lenient.h"
#include "wire/signature.h"
#include "wire/turns.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kGemini;

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

class Writer {
 public:
  Writer(const chat::Request& request, Dropped& dropped)
      : request_(request), is_same_(request.dialect == kOwn), dropped_(dropped) {}

  std::string write() {
    out_ = Json::object();
    write_contents();
    write_tools();
    write_config();
    if (!request_.user.empty()) dropped_.add("user");
    if (!request_.metadata.is_null()) dropped_.add("metadata");
    if (!request_.cache.is_null()) dropped_.add("cache_control");
    if (!is_same_) {
      dropped_.add_members(request_.extras);
      return out_.write();
    }
    for (const char* name : {"toolConfig", "generationConfig"}) {
      Json* written = out_.find(name);
      const Json* kept = request_.extras.find(name);
      if (written == nullptr || kept == nullptr) continue;
      Json* thinking = written->find("thinkingConfig");
      const Json* kept_thinking = kept->find("thinkingConfig");
      if (thinking != nullptr && kept_thinking != nullptr) add_extras(*thinking, *kept_thinking);
      add_extras(*written, *kept);
    }
    add_extras(out_, request_.extras);
    return out_.write();
  }

 private:
  void write_contents() {
    std::vector<chat::Message> rest;
    std::vector<chat::Part> system;
    if (is_same_) {
      rest = request_.messages;
      if (!rest.empty() && rest[0].is_apart) {
        system = rest[0].parts;
        rest.erase(rest.begin());
      }
    } else {
      Split split = split_system(request_.messages);
      system = std::move(split.system);
      rest = join_turns(split.rest);
    }
    if (!system.empty()) out_.set("systemInstruction", Json::object({{"parts", parts_of(system)}}));
    JsonArray contents;
    for (const chat::Message& message : rest) {
      Json parts = parts_of(message.parts);
      if (parts.as_array().empty() && !is_same_) continue;
      Json item = Json::object({{"role", message.role == chat::Role::kAssistant ? "model"
                                         : message.role == chat::Role::kSystem  ? "system"
                                                                                : "user"},
                                {"parts", std::move(parts)}});
      is_same_ ? add_extras(item, message.extras) : dropped_.add_members(message.extras, "messages.");
      if (!message.name.empty()) dropped_.add("messages.name");
      contents.push_back(std::move(item));
    }
    out_.set("contents", std::move(contents));
  }

  Json parts_of(const std::vector<chat::Part>& parts) {
    JsonArray out;
    for (const chat::Part& part : parts) {
      Json item = part_of(part);
      if (item.is_null()) continue;
      if (const std::string signature = signature_for_provider(part.signature, kOwn); !signature.empty()) {
        item.set("thoughtSignature", signature);
      } else if (!part.signature.empty()) {
        dropped_.add("signature");
      }
      if (!part.cache.is_null()) dropped_.add("cache_control");
      is_same_ ? add_extras(item, part.extras) : dropped_.add_members(part.extras, "content.");
      out.push_back(std::move(item));
      for (Json& image : std::exchange(shown_, {})) out.push_back(std::move(image));
    }
    return out;
  }

  Json part_of(const chat::Part& part) {
    if (const auto* text = std::get_if<chat::Text>(&part.body)) {
      if (!text->citations.is_null()) dropped_.add("citations");
      if (text->text.empty() && !is_same_ && part.signature.empty()) return {};
      return Json::object({{"text", text->text}});
    }
    if (const auto* image = std::get_if<chat::Image>(&part.body)) {
      if (!image->detail.empty() && image->detail != "auto") dropped_.add("image.detail");
      return media(image->media, "image", "image/*", {});
    }
    if (const auto* document = std::get_if<chat::Document>(&part.body))
      return media(document->media, "document", "application/pdf", document->name);
    if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) return tool_call(*call);
    if (const auto* result = std::get_if<chat::ToolResult>(&part.body)) return tool_result(*result);
    if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body)) {
      // Another model's thought is not this one's; its own it takes back.
      if ((!is_same_ && part.signature.origin != kOwn) || reasoning->is_redacted) return drop("reasoning");
      return Json::object({{"text", reasoning->text}, {"thought", true}});
    }
    if (const auto* refusal = std::get_if<chat::Refusal>(&part.body))
      return Json::object({{"text", refusal->text}});
    const auto& opaque = std::get<chat::Opaque>(part.body);
    if (is_same_) return opaque.value;
    return drop("content." + std::string(string_at(opaque.value, "type")));
  }

  Json media(const chat::Media& media, const std::string& kind, const char* type_default,
             const std::string& name) {
    const std::string& type = media.type;
    switch (media.source) {
      case chat::Media::Source::kBase64: {
        Json data = Json::object({{"mimeType", type.empty() ? type_default : type}, {"data", media.data}});
        if (!name.empty()) data.set("displayName", name);
        return Json::object({{"inlineData", std::move(data)}});
      }
      case chat::Media::Source::kUrl: {
        Json data = Json::object({{"fileUri", media.data}});
        if (!type.empty()) data.set("mimeType", type);
        if (type.empty() && !is_same_) data.set("mimeType", type_default);
        if (!name.empty()) data.set("displayName", name);
        return Json::object({{"fileData", std::move(data)}});
      }
      case chat::Media::Source::kPlain:
        return Json::object({{"text", media.data}});
      case chat::Media::Source::kFileId:
        break;
    }
    return drop(kind + ".file_id");
  }

  Json tool_call(const chat::ToolCall& call) {
    Json inner = Json::object({{"name", call.name}});
    if (!call.id.empty() && !call.id.starts_with(kGeminiCallPrefix)) inner.set("id", call.id);
    if (!call.arguments.empty() || !is_same_)
      inner.set("args", arguments_object(call.arguments, call.is_custom));
    return Json::object({{"functionCall", std::move(inner)}});
  }

  Json tool_result(const chat::ToolResult& result) {
    Json inner = Json::object({{"name", tool_name_of(request_.messages, result)}});
    if (!result.id.empty() && !result.id.starts_with(kGeminiCallPrefix)) inner.set("id", result.id);
    const std::string text = chat::text_of(result.parts);
    for (const chat::Part& part : result.parts) {
      if (std::holds_alternative<chat::Text>(part.body)) continue;
      // What a tool shows stands beside its answer.
      if (Json item = part_of(part); !item.is_null()) shown_.push_back(std::move(item));
    }
    if (!result.parts.empty() || !is_same_) {
      const auto value = parse_json(text);
      inner.set("response", result.is_error               ? Json::object({{"error", text}})
                            : value && value->is_object() ? *value
                                                          : Json::object({{"result", text}}));
    }
    return Json::object({{"functionResponse", std::move(inner)}});
  }

  Json drop(const std::string& name) {
    dropped_.add(name);
    return {};
  }

  void write_tools() {
    JsonArray tools, declarations;
    for (const chat::Tool& tool : request_.tools) {
      if (tool.kind == chat::Tool::Kind::kOpaque) {
        is_same_ ? tools.push_back(tool.extras) : dropped_.add("tools." + tool.name);
        continue;
      }
      Json item = Json::object({{"name", tool.name}});
      if (!tool.description.empty()) item.set("description", tool.description);
      const bool is_custom = tool.kind == chat::Tool::Kind::kCustom;
      const Json schema = is_custom ? custom_tool_schema() : tool.schema;
      const bool is_kept = is_same_ && tool.extras.find("parametersJsonSchema") != nullptr;
      if (!schema.is_null() && !is_kept) item.set(is_same_ ? "parameters" : "parametersJsonSchema", schema);
      if (tool.is_strict.value_or(false)) dropped_.add("tools.strict");
      if (!tool.cache.is_null()) dropped_.add("tools.cache_control");
      is_same_ ? add_extras(item, tool.extras) : dropped_.add_members(tool.extras, "tools.");
      declarations.push_back(std::move(item));
    }
    if (!declarations.empty())
      tools.insert(tools.begin(), Json::object({{"functionDeclarations", std::move(declarations)}}));
    if (!tools.empty()) out_.set("tools", std::move(tools));
    if (request_.parallel_tools && !*request_.parallel_tools) dropped_.add("parallel_tool_calls");
    if (!request_.tool_choice || (!is_same_ && out_.find("tools") == nullptr)) return;
    using Mode = chat::ToolChoice::Mode;
    const chat::ToolChoice& choice = *request_.tool_choice;
    Json config = Json::object({{"mode", choice.mode == Mode::kAuto   ? "AUTO"
                                         : choice.mode == Mode::kNone ? "NONE"
                                                                      : "ANY"}});
    if (choice.mode == Mode::kNamed) config.set("allowedFunctionNames", Json::array({choice.name}));
    if (!choice.allowed.empty())
      config.set("allowedFunctionNames", JsonArray(choice.allowed.begin(), choice.allowed.end()));
    out_.set("toolConfig", Json::object({{"functionCallingConfig", std::move(config)}}));
  }

  void write_config() {
    Json config;
    const chat::Sampling& s = request_.sampling;
    if (s.temperature) config.set("temperature", *s.temperature);
    if (s.top_p) config.set("topP", *s.top_p);
    if (s.top_k && (is_same_ || *s.top_k > 0)) config.set("topK", *s.top_k);
    if (request_.tokens_max) config.set("maxOutputTokens", *request_.tokens_max);
    if (request_.choices != 1) config.set("candidateCount", request_.choices);
    if (s.seed) config.set("seed", *s.seed);
    if (s.presence_penalty) config.set("presencePenalty", *s.presence_penalty);
    if (s.frequency_penalty) config.set("frequencyPenalty", *s.frequency_penalty);
    if (!request_.stop.empty())
      config.set("stopSequences", JsonArray(request_.stop.begin(), request_.stop.end()));
    if (s.min_p) dropped_.add("min_p");
    if (s.repetition_penalty) dropped_.add("repetition_penalty");
    if (!s.logit_bias.empty()) dropped_.add("logit_bias");
    if (request_.logprobs) dropped_.add("logprobs");
    if (request_.tokens_min != 0) dropped_.add("min_tokens");
    if (request_.ignore_eos) dropped_.add("ignore_eos");
    if (!request_.template_kwargs.is_null()) dropped_.add("chat_template_kwargs");
    write_format(config);
    write_thinking(config);
    if (!config.is_null()) out_.set("generationConfig", std::move(config));
  }

  void write_format(Json& config) {
    if (!request_.format || request_.format->kind == chat::Format::Kind::kText) return;
    config.set("responseMimeType", "application/json");
    const Json* kept = request_.extras.find("generationConfig");
    const bool is_kept = is_same_ && kept != nullptr && kept->find("responseJsonSchema") != nullptr;
    if (!request_.format->schema.is_null() && !is_kept)
      config.set(is_same_ ? "responseSchema" : "responseJsonSchema", request_.format->schema);
  }

  void write_thinking(Json& config) {
    const chat::Thinking& thinking = request_.thinking;
    using Mode = chat::Thinking::Mode;
    Json out;
    const std::string& effort = thinking.effort;
    if (!is_same_ && effort == "none") {
      out.set("thinkingBudget", 0);
    } else if (!effort.empty()) {
      const bool is_top = effort == "xhigh" || effort == "max";
      out.set("thinkingLevel", upper(is_same_ ? effort : is_top ? "high" : effort));
    }
    if (thinking.mode == Mode::kOff) {
      out.set("thinkingBudget", 0);
    } else if (thinking.mode == Mode::kAdaptive) {
      if (is_same_ || effort.empty()) out.set("thinkingBudget", -1);
    } else if (thinking.budget_tokens && (is_same_ || effort.empty())) {
      out.set("thinkingBudget", *thinking.budget_tokens);
    }
    if (thinking.is_shown) out.set("includeThoughts", *thinking.is_shown);
    // Who asks another dialect's model to think is shown the thoughts.
    if (!is_same_ && !out.is_null() && !thinking.is_shown && thinking.mode != Mode::kOff && effort != "none")
      out.set("includeThoughts", true);
    if (!thinking.summary.empty()) dropped_.add("reasoning.summary");
    if (!out.is_null()) config.set("thinkingConfig", std::move(out));
  }

  const chat::Request& request_;
  const bool is_same_;
  Dropped& dropped_;
  Json out_;
  std::vector<Json> shown_;
};

}  // namespace

std::string encode_gemini_request(const chat::Request& request, Dropped& dropped) {
  return Writer(request, dropped).write();
}

}  // namespace cresset::wire
