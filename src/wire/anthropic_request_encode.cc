#include <algorithm>
#include <utility>

#include "wire/anthropic.h"
#include "wire/lenient.h"
#include "wire/media.h"
#include "wire/signature.h"
#include "wire/turns.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kAnthropic;
constexpr int kAnswerTokensDefault = 4096;  // Anthropic demands a limit; others leave it out
constexpr int kBudgetMin = 1024;            // of thinking tokens, by Anthropic's reference

class Writer {
 public:
  Writer(const chat::Request& request, const Target& target, Dropped& dropped)
      : request_(request), target_(target), is_same_(request.dialect == kOwn), dropped_(dropped) {}

  std::string write() {
    out_ = Json::object({{"model", target_.model.empty() ? request_.model : std::string(target_.model)}});
    write_conversation();
    write_tools();
    write_thinking();
    write_sampling();
    if (request_.stream) out_.set("stream", true);
    if (!request_.cache.is_null()) out_.set("cache_control", request_.cache);
    Json metadata = request_.user.empty() ? Json() : Json::object({{"user_id", request_.user}});
    if (is_same_) {
      if (request_.metadata.is_object())
        add_extras(metadata.is_null() ? metadata = Json::object() : metadata, request_.metadata);
    } else if (!request_.metadata.is_null()) {
      dropped_.add("metadata");
    }
    if (!metadata.is_null()) out_.set("metadata", std::move(metadata));
    if (is_same_) {
      for (const char* name : {"thinking", "output_config"}) {
        Json* written = out_.find(name);
        const Json* kept = request_.extras.find(name);
        if (written != nullptr && kept != nullptr) add_extras(*written, *kept);
      }
      add_extras(out_, request_.extras);
    } else {
      dropped_.add_members(request_.extras);
    }
    return out_.write();
  }

 private:
  void write_conversation() {
    Split split;
    if (is_same_) {
      split.rest = request_.messages;
      if (!split.rest.empty() && split.rest[0].is_apart) {
        split.system = split.rest[0].parts;
        split.rest.erase(split.rest.begin());
      }
    } else {
      split = split_system(request_.messages);
      split.rest = join_turns(split.rest);
    }
    if (!split.system.empty()) {
      if (Json system = content_of(split.system); !system.is_array() || !system.as_array().empty())
        out_.set("system", std::move(system));
    }
    JsonArray messages;
    for (chat::Message& message : split.rest) {
      if (!is_same_) put_results_first(message.parts);
      const char* role = message.role == chat::Role::kAssistant ? "assistant"
                         : message.role == chat::Role::kSystem  ? "system"
                                                                : "user";
      Json item = Json::object({{"role", role}, {"content", content_of(message.parts)}});
      is_same_ ? add_extras(item, message.extras) : dropped_.add_members(message.extras, "messages.");
      if (!message.name.empty()) dropped_.add("messages.name");
      if (is_same_ || !item.find("content")->is_array() || !item.find("content")->as_array().empty())
        messages.push_back(std::move(item));
    }
    out_.set("messages", std::move(messages));
  }

  // This dialect wants a turn's tool results before anything else in it.
  static void put_results_first(std::vector<chat::Part>& parts) {
    std::vector<chat::Part> results, rest;
    for (chat::Part& part : parts)
      (std::holds_alternative<chat::ToolResult>(part.body) ? results : rest).push_back(std::move(part));
    for (chat::Part& part : rest) results.push_back(std::move(part));
    parts = std::move(results);
  }

  Json content_of(const std::vector<chat::Part>& parts) {
    if (parts.size() == 1 && parts[0].cache.is_null() && parts[0].extras.is_null() &&
        parts[0].signature.empty()) {
      const auto* text = std::get_if<chat::Text>(&parts[0].body);
      if (text != nullptr && text->citations.is_null()) return text->text;
    }
    JsonArray out;
    for (const chat::Part& part : parts) {
      Json block = block_of(part);
      if (block.is_null()) continue;
      if (!part.cache.is_null()) block.set("cache_control", part.cache);
      is_same_ ? add_extras(block, part.extras) : dropped_.add_members(part.extras, "content.");
      out.push_back(std::move(block));
      const bool is_thought = std::holds_alternative<chat::Reasoning>(part.body);
      if (!is_thought && !part.signature.empty()) dropped_.add("signature");
    }
    return out;
  }

  Json block_of(const chat::Part& part) {
    if (const auto* text = std::get_if<chat::Text>(&part.body)) {
      if (text->text.empty() && !is_same_) return {};  // an empty block is refused, and says nothing
      Json out = Json::object({{"type", "text"}, {"text", text->text}});
      if (!text->citations.is_null()) {
        is_same_ ? out.set("citations", text->citations) : dropped_.add("citations");
      }
      return out;
    }
    if (const auto* image = std::get_if<chat::Image>(&part.body)) {
      if (!image->detail.empty() && image->detail != "auto") dropped_.add("image.detail");
      return media_block("image", image->media);
    }
    if (const auto* document = std::get_if<chat::Document>(&part.body)) {
      Json out = media_block("document", document->media);
      if (!out.is_null() && !document->name.empty()) out.set("title", document->name);
      return out;
    }
    if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) {
      return Json::object({{"type", "tool_use"},
                           {"id", call->id},
                           {"name", call->name},
                           {"input", arguments_object(call->arguments, call->is_custom)}});
    }
    if (const auto* result = std::get_if<chat::ToolResult>(&part.body)) {
      Json out = Json::object({{"type", "tool_result"}, {"tool_use_id", result->id}});
      if (!result->parts.empty()) out.set("content", content_of(result->parts));
      if (result->is_error) out.set("is_error", true);
      return out;
    }
    if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body)) return thought(*reasoning, part);
    if (const auto* refusal = std::get_if<chat::Refusal>(&part.body))
      return Json::object({{"type", "text"}, {"text", refusal->text}});
    const auto& opaque = std::get<chat::Opaque>(part.body);
    if (is_same_) return opaque.value;
    return drop("content." + std::string(string_at(opaque.value, "type")));
  }

  Json thought(const chat::Reasoning& reasoning, const chat::Part& part) {
    const std::string signature = signature_for_provider(part.signature, kOwn);
    if (signature.empty() && !is_same_) return drop("reasoning");  // refused without one
    if (signature.empty() && !part.signature.empty()) return drop("reasoning");
    if (reasoning.is_redacted) return Json::object({{"type", "redacted_thinking"}, {"data", signature}});
    return Json::object({{"type", "thinking"}, {"thinking", reasoning.text}, {"signature", signature}});
  }

  Json media_block(const char* type, const chat::Media& media) {
    const bool is_image = std::string_view(type) == "image";
    switch (media.source) {
      case chat::Media::Source::kBase64:
        if (!is_same_ && !is_image && media.type.starts_with("audio/")) return drop("audio");
        return block(type, {{"type", "base64"}, {"media_type", media.type}, {"data", media.data}});
      case chat::Media::Source::kUrl:
        if (!is_same_ && !media.data.starts_with("http")) return drop(std::string(type) + ".url");
        return block(type, {{"type", "url"}, {"url", media.data}});
      case chat::Media::Source::kFileId:
        if (!is_same_) return drop(std::string(type) + ".file_id");
        return block(type, {{"type", "file"}, {"file_id", media.data}});
      case chat::Media::Source::kPlain:
        break;
    }
    return block(type, {{"type", "text"},
                        {"media_type", media.type.empty() ? "text/plain" : media.type},
                        {"data", media.data}});
  }
  static Json block(const char* type, std::initializer_list<Json::Member> source) {
    return Json::object({{"type", type}, {"source", Json::object(source)}});
  }

  Json drop(const std::string& name) {
    dropped_.add(name);
    return {};
  }

  void write_tools() {
    JsonArray tools;
    const bool is_filtered = request_.tool_choice && !request_.tool_choice->allowed.empty();
    for (const chat::Tool& tool : request_.tools) {
      if (is_filtered) {
        const auto& allowed = request_.tool_choice->allowed;
        if (std::find(allowed.begin(), allowed.end(), tool.name) == allowed.end()) continue;
      }
      if (tool.kind == chat::Tool::Kind::kOpaque) {
        is_same_ ? tools.push_back(tool.extras) : dropped_.add("tools." + tool.name);
        continue;
      }
      const bool is_custom = tool.kind == chat::Tool::Kind::kCustom;
      Json item = Json::object({{"name", tool.name}});
      if (!tool.description.empty()) item.set("description", tool.description);
      item.set("input_schema", is_custom ? custom_tool_schema()
                               : tool.schema.is_null()
                                   ? Json::object({{"type", "object"}, {"properties", Json::object()}})
                                   : tool.schema);
      if (tool.is_strict) item.set("strict", *tool.is_strict);
      if (!tool.cache.is_null()) item.set("cache_control", tool.cache);
      is_same_ ? add_extras(item, tool.extras) : dropped_.add_members(tool.extras, "tools.");
      tools.push_back(std::move(item));
    }
    if (!tools.empty()) out_.set("tools", std::move(tools));
    if (!request_.tool_choice && !request_.parallel_tools) return;
    if (!is_same_ && out_.find("tools") == nullptr) return;
    using Mode = chat::ToolChoice::Mode;
    const chat::ToolChoice choice = request_.tool_choice.value_or(chat::ToolChoice{});
    Json value = Json::object({{"type", choice.mode == Mode::kAuto   ? "auto"
                                        : choice.mode == Mode::kAny  ? "any"
                                        : choice.mode == Mode::kNone ? "none"
                                                                     : "tool"}});
    if (choice.mode == Mode::kNamed) value.set("name", choice.name);
    if (request_.parallel_tools && choice.mode != Mode::kNone && (is_same_ || !*request_.parallel_tools))
      value.set("disable_parallel_tool_use", !*request_.parallel_tools);
    out_.set("tool_choice", std::move(value));
  }

  bool forces_a_tool() const {
    using Mode = chat::ToolChoice::Mode;
    return request_.tool_choice &&
           (request_.tool_choice->mode == Mode::kAny || request_.tool_choice->mode == Mode::kNamed);
  }

  void write_thinking() {
    using Mode = chat::Thinking::Mode;
    const chat::Thinking& thinking = request_.thinking;
    int tokens_max = request_.tokens_max.value_or(0);
    if (tokens_max == 0) {
      tokens_max = target_.answer_tokens_max > 0 ? target_.answer_tokens_max : kAnswerTokensDefault;
      if (!is_same_) dropped_.add("(max_tokens=" + std::to_string(tokens_max) + ")");
    }
    out_.set("max_tokens", tokens_max);
    Json config;
    if (is_same_) {
      if (thinking.mode != Mode::kUnset) {
        Json value = Json::object({{"type", thinking.mode == Mode::kOn    ? "enabled"
                                            : thinking.mode == Mode::kOff ? "disabled"
                                                                          : "adaptive"}});
        if (thinking.budget_tokens) value.set("budget_tokens", *thinking.budget_tokens);
        out_.set("thinking", std::move(value));
      }
      if (!thinking.effort.empty()) config.set("effort", thinking.effort);
    } else {
      translate_thinking(tokens_max, config);
    }
    if (request_.format && request_.format->kind == chat::Format::Kind::kSchema) {
      Json format = Json::object({{"type", "json_schema"}});
      if (!request_.format->schema.is_null()) format.set("schema", request_.format->schema);
      config.set("format", std::move(format));
    } else if (request_.format && request_.format->kind == chat::Format::Kind::kJson) {
      dropped_.add("response_format");
    }
    if (!config.is_null()) out_.set("output_config", std::move(config));
  }

  void translate_thinking(int tokens_max, Json& config) {
    using Mode = chat::Thinking::Mode;
    const chat::Thinking& thinking = request_.thinking;
    const std::string& effort = thinking.effort;
    if (thinking.mode == Mode::kOff || effort == "none") {
      out_.set("thinking", Json::object({{"type", "disabled"}}));
      return;
    }
    if (effort.empty() && thinking.mode == Mode::kUnset) return;
    if (forces_a_tool()) return dropped_.add("reasoning_effort");  // the two exclude each other here
    if (target_.has_adaptive_thinking || thinking.mode == Mode::kAdaptive) {
      out_.set("thinking", Json::object({{"type", "adaptive"}}));
      if (!effort.empty())
        config.set("effort", effort == "minimal" ? "low" : effort == "xhigh" ? "max" : effort);
      return;
    }
    int budget = thinking.budget_tokens.value_or(effort == "low" || effort == "minimal" ? 2048
                                                 : effort == "medium"                   ? 8192
                                                                                        : 24576);
    budget = std::min(budget, tokens_max - 1);
    if (budget < kBudgetMin) return dropped_.add("reasoning_effort");
    out_.set("thinking", Json::object({{"type", "enabled"}, {"budget_tokens", budget}}));
  }

  void write_sampling() {
    const chat::Sampling& s = request_.sampling;
    const Json* thinking = out_.find("thinking");
    const bool thinks = !is_same_ && thinking != nullptr && string_at(*thinking, "type") != "disabled";
    if (s.temperature && thinks && *s.temperature != 1) {
      dropped_.add("temperature");  // fixed at 1 while it thinks
    } else if (s.temperature) {
      if (*s.temperature > 1 && !is_same_) dropped_.add("(temperature=1)");
      out_.set("temperature", is_same_ ? *s.temperature : std::min(*s.temperature, 1.0));
    }
    if (s.top_p) out_.set("top_p", *s.top_p);
    if (s.top_k && (is_same_ || *s.top_k > 0)) thinks ? dropped_.add("top_k") : out_.set("top_k", *s.top_k);
    if (s.min_p) dropped_.add("min_p");
    if (s.repetition_penalty) dropped_.add("repetition_penalty");
    if (s.presence_penalty) dropped_.add("presence_penalty");
    if (s.frequency_penalty) dropped_.add("frequency_penalty");
    if (!s.logit_bias.empty()) dropped_.add("logit_bias");
    if (s.seed) dropped_.add("seed");
    if (request_.choices != 1) dropped_.add("n");
    if (request_.logprobs) dropped_.add("logprobs");
    if (request_.tokens_min != 0) dropped_.add("min_tokens");
    if (request_.ignore_eos) dropped_.add("ignore_eos");
    if (!request_.template_kwargs.is_null()) dropped_.add("chat_template_kwargs");
    if (!request_.stop.empty())
      out_.set("stop_sequences", JsonArray(request_.stop.begin(), request_.stop.end()));
  }

  const chat::Request& request_;
  const Target& target_;
  const bool is_same_;
  Dropped& dropped_;
  Json out_;
};

}  // namespace

std::string encode_anthropic_request(const chat::Request& request, const Target& target, Dropped& dropped) {
  return Writer(request, target, dropped).write();
}

}  // namespace cresset::wire
