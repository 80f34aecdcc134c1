#include <utility>

#include "wire/anthropic.h"
#include "wire/lenient.h"
#include "wire/media.h"
#include "wire/openai_responses.h"
#include "wire/openai_tools.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiResponses;

class Writer {
 public:
  Writer(const chat::Request& request, const Target& target, Dropped& dropped)
      : request_(request), target_(target), is_same_(request.dialect == kOwn), dropped_(dropped) {}

  std::string write() {
    out_ = Json::object({{"model", target_.model.empty() ? request_.model : std::string(target_.model)}});
    write_input();
    if (request_.tokens_max) out_.set("max_output_tokens", *request_.tokens_max);
    write_sampling();
    write_tools();
    write_options();
    if (request_.stream) out_.set("stream", true);
    if (!request_.user.empty()) out_.set("user", request_.user);
    if (!request_.metadata.is_null())
      is_same_ ? out_.set("metadata", request_.metadata) : dropped_.add("metadata");
    if (!request_.cache.is_null()) dropped_.add("cache_control");
    if (!is_same_) {
      out_.set("store", false);  // nobody asked the provider to keep it
      dropped_.add_members(request_.extras);
      return out_.write();
    }
    for (const char* name : {"text", "reasoning"}) {
      Json* written = out_.find(name);
      const Json* kept = request_.extras.find(name);
      if (written != nullptr && kept != nullptr) add_extras(*written, *kept);
    }
    add_extras(out_, request_.extras);
    return out_.write();
  }

 private:
  void write_input() {
    bool is_first = true;
    for (const chat::Message& message : request_.messages) {
      const bool is_instruction =
          is_same_ ? message.is_apart : is_first && message.role == chat::Role::kSystem;
      if (is_first && is_instruction && is_plain(message.parts)) {
        out_.set("instructions", message.text());
      } else {
        write_message(message);
      }
      is_first = false;
    }
    out_.set("input", std::move(items_));
  }

  bool is_plain(const std::vector<chat::Part>& parts) const {
    for (const chat::Part& part : parts) {
      const auto* text = std::get_if<chat::Text>(&part.body);
      if (text == nullptr || !text->citations.is_null() || !part.cache.is_null() ||
          (!part.extras.is_null() && is_same_))
        return false;
    }
    return parts.size() == 1 || (!is_same_ && !parts.empty());
  }

  // One item of the parts that stand in a message, and one of each that does not.
  void write_message(const chat::Message& message) {
    std::vector<chat::Part> content, thoughts;
    const auto flush = [&] {
      if (!content.empty()) write_content(message, std::exchange(content, {}));
    };
    const auto flush_thoughts = [&] {
      if (!thoughts.empty()) write_reasoning(message, std::exchange(thoughts, {}));
    };
    if (message.parts.empty()) write_content(message, {});
    for (const chat::Part& part : message.parts) {
      if (std::holds_alternative<chat::Reasoning>(part.body)) {
        flush();
        thoughts.push_back(part);
        continue;
      }
      flush_thoughts();
      if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) {
        flush();
        write_call(message, *call, part);
      } else if (const auto* result = std::get_if<chat::ToolResult>(&part.body)) {
        flush();
        write_result(message, *result);
      } else if (const auto* opaque = std::get_if<chat::Opaque>(&part.body);
                 opaque != nullptr && is_same_ && message.parts.size() == 1 && !is_content(opaque->value)) {
        items_.push_back(opaque->value);
      } else {
        content.push_back(part);
      }
    }
    flush();
    flush_thoughts();
  }

  // Parts of a message have types that begin so; anything else is an item.
  static bool is_content(const Json& value) { return string_at(value, "type").starts_with("input_"); }

  void finish(Json item, const chat::Message& message) {
    is_same_ ? add_extras(item, message.extras) : dropped_.add_members(message.extras, "messages.");
    items_.push_back(std::move(item));
  }

  void write_content(const chat::Message& message, const std::vector<chat::Part>& parts) {
    const bool is_assistant = message.role == chat::Role::kAssistant;
    const char* role = is_assistant                             ? "assistant"
                       : message.role == chat::Role::kSystem    ? "system"
                       : message.role == chat::Role::kDeveloper ? "developer"
                                                                : "user";
    if (!message.name.empty()) dropped_.add("messages.name");
    Json item = Json::object({{"type", "message"}, {"role", role}});
    item.set("content", is_plain(parts) && parts.size() == 1 ? Json(chat::text_of(parts))
                                                             : parts_of(parts, is_assistant));
    finish(std::move(item), message);
  }

  Json parts_of(const std::vector<chat::Part>& parts, bool is_assistant) {
    JsonArray out;
    for (const chat::Part& part : parts) {
      Json item = part_of(part, is_assistant);
      if (item.is_null()) continue;
      if (is_same_) {
        if (!part.cache.is_null()) item.set("prompt_cache_breakpoint", part.cache);
        add_extras(item, part.extras);
      } else {
        if (!part.cache.is_null()) dropped_.add("cache_control");
        dropped_.add_members(part.extras, "content.");
        if (!part.signature.empty()) dropped_.add("signature");
      }
      out.push_back(std::move(item));
    }
    return out;
  }

  Json part_of(const chat::Part& part, bool is_assistant) {
    if (const auto* text = std::get_if<chat::Text>(&part.body)) {
      Json out = Json::object({{"type", is_assistant ? "output_text" : "input_text"}, {"text", text->text}});
      if (!text->citations.is_null()) {
        is_same_ ? out.set("annotations", text->citations) : dropped_.add("citations");
      }
      return out;
    }
    if (const auto* refusal = std::get_if<chat::Refusal>(&part.body))
      return Json::object({{"type", "refusal"}, {"refusal", refusal->text}});
    if (const auto* image = std::get_if<chat::Image>(&part.body)) {
      Json out = Json::object({{"type", "input_image"}});
      if (image->media.source == chat::Media::Source::kFileId) {
        if (!is_same_) return drop("image.file_id");
        out.set("file_id", image->media.data);
      } else {
        out.set("image_url", url_of_media(image->media));
      }
      if (!image->detail.empty()) out.set("detail", image->detail);
      return out;
    }
    if (const auto* document = std::get_if<chat::Document>(&part.body)) return file(*document);
    if (const auto* opaque = std::get_if<chat::Opaque>(&part.body)) {
      if (is_same_) return opaque->value;
      return drop("content." + std::string(string_at(opaque->value, "type")));
    }
    return drop("content");
  }

  Json file(const chat::Document& document) {
    Json out = Json::object({{"type", "input_file"}});
    switch (document.media.source) {
      case chat::Media::Source::kPlain:
        return Json::object({{"type", "input_text"}, {"text", document.media.data}});
      case chat::Media::Source::kUrl:
        out.set("file_url", document.media.data);
        break;
      case chat::Media::Source::kFileId:
        if (!is_same_) return drop("document.file_id");
        out.set("file_id", document.media.data);
        break;
      case chat::Media::Source::kBase64:
        out.set("file_data",
                document.media.type.empty() ? document.media.data : url_of_media(document.media));
        break;
    }
    if (!document.name.empty()) out.set("filename", document.name);
    return out;
  }

  void write_call(const chat::Message& message, const chat::ToolCall& call, const chat::Part& part) {
    if (!is_same_) {
      if (!part.signature.empty()) dropped_.add("signature");
      if (!part.cache.is_null()) dropped_.add("cache_control");
      dropped_.add_members(part.extras, "tool_calls.");
    }
    finish(Json::object({{"type", call.is_custom ? "custom_tool_call" : "function_call"},
                         {"call_id", call.id},
                         {"name", call.name},
                         {call.is_custom ? "input" : "arguments",
                          call.is_custom || is_same_ || !call.arguments.empty() ? call.arguments : "{}"}}),
           message);
  }

  void write_result(const chat::Message& message, const chat::ToolResult& result) {
    if (result.is_error) dropped_.add("tool_result.is_error");
    const bool is_text = is_plain(result.parts) && result.parts.size() == 1;
    Json output = result.parts.empty() && !is_same_ ? Json("")
                  : is_text                         ? Json(chat::text_of(result.parts))
                                                    : parts_of(result.parts, false);
    finish(Json::object(
               {{"type", result.is_custom || is_custom_tool(request_, result.name) ? "custom_tool_call_output"
                                                                                   : "function_call_output"},
                {"call_id", result.id},
                {"output", std::move(output)}}),
           message);
  }

  void write_reasoning(const chat::Message& message, const std::vector<chat::Part>& parts) {
    // Another model's thoughts are not this one's; its own it takes back.
    if (!is_same_ && parts.back().signature.origin != kOwn) return dropped_.add("reasoning");
    JsonArray summary, content;
    std::string signature;
    for (const chat::Part& part : parts) {
      const auto& reasoning = std::get<chat::Reasoning>(part.body);
      if (!part.signature.empty()) {
        signature = signature_for_provider(part.signature, kOwn);
        if (signature.empty()) return dropped_.add("reasoning");
      }
      if (reasoning.text.empty()) continue;
      (reasoning.is_summary ? summary : content)
          .push_back(Json::object({{"type", reasoning.is_summary ? "summary_text" : "reasoning_text"},
                                   {"text", reasoning.text}}));
    }
    Json item = Json::object({{"type", "reasoning"}, {"summary", std::move(summary)}});
    if (!content.empty()) item.set("content", std::move(content));
    if (!signature.empty()) item.set("encrypted_content", signature);
    finish(std::move(item), message);
  }

  Json drop(const std::string& name) {
    dropped_.add(name);
    return {};
  }

  void write_sampling() {
    const chat::Sampling& s = request_.sampling;
    if (s.temperature) out_.set("temperature", *s.temperature);
    if (s.top_p) out_.set("top_p", *s.top_p);
    if (s.top_k) dropped_.add("top_k");
    if (s.min_p) dropped_.add("min_p");
    if (s.repetition_penalty) dropped_.add("repetition_penalty");
    if (s.presence_penalty) dropped_.add("presence_penalty");
    if (s.frequency_penalty) dropped_.add("frequency_penalty");
    if (!s.logit_bias.empty()) dropped_.add("logit_bias");
    if (s.seed) dropped_.add("seed");
    if (!request_.stop.empty()) dropped_.add("stop");
    if (request_.choices != 1) dropped_.add("n");
    if (request_.logprobs) dropped_.add("logprobs");
    if (request_.tokens_min != 0) dropped_.add("min_tokens");
    if (request_.ignore_eos) dropped_.add("ignore_eos");
    if (!request_.template_kwargs.is_null()) dropped_.add("chat_template_kwargs");
  }

  void write_tools() {
    JsonArray tools;
    for (const chat::Tool& tool : request_.tools) {
      if (tool.kind == chat::Tool::Kind::kOpaque) {
        is_same_ ? tools.push_back(tool.extras) : dropped_.add("tools." + tool.name);
        continue;
      }
      const bool is_custom = tool.kind == chat::Tool::Kind::kCustom;
      Json item = Json::object({{"type", is_custom ? "custom" : "function"}, {"name", tool.name}});
      if (!tool.description.empty()) item.set("description", tool.description);
      if (!is_custom && !tool.schema.is_null()) item.set("parameters", tool.schema);
      if (tool.is_strict) {
        item.set("strict", *tool.is_strict);
      } else if (!is_same_ && !is_custom) {
        item.set("strict", false);  // the default here is true, and others' schemas are not made for it
      }
      if (!tool.cache.is_null()) dropped_.add("tools.cache_control");
      is_same_ ? add_extras(item, tool.extras) : dropped_.add_members(tool.extras, "tools.");
      tools.push_back(std::move(item));
    }
    if (!tools.empty()) out_.set("tools", std::move(tools));
    if (request_.parallel_tools) out_.set("parallel_tool_calls", *request_.parallel_tools);
    if (!request_.tool_choice || (!is_same_ && out_.find("tools") == nullptr)) return;
    const chat::ToolChoice& choice = *request_.tool_choice;
    using Mode = chat::ToolChoice::Mode;
    if (!choice.allowed.empty()) {
      JsonArray allowed;
      for (const std::string& name : choice.allowed)
        allowed.push_back(
            Json::object({{"type", is_custom_tool(request_, name) ? "custom" : "function"}, {"name", name}}));
      out_.set("tool_choice", Json::object({{"type", "allowed_tools"},
                                            {"mode", choice.mode == Mode::kAny ? "required" : "auto"},
                                            {"tools", std::move(allowed)}}));
    } else if (choice.mode == Mode::kNamed) {
      out_.set("tool_choice",
               Json::object({{"type", is_custom_tool(request_, choice.name) ? "custom" : "function"},
                             {"name", choice.name}}));
    } else {
      out_.set("tool_choice", encode_openai_tool_choice(choice));
    }
  }

  void write_options() {
    if (request_.format && (is_same_ || request_.format->kind != chat::Format::Kind::kText)) {
      Json format =
          Json::object({{"type", request_.format->kind == chat::Format::Kind::kText   ? "text"
                                 : request_.format->kind == chat::Format::Kind::kJson ? "json_object"
                                                                                      : "json_schema"}});
      if (request_.format->kind == chat::Format::Kind::kSchema) set_schema_members(*request_.format, format);
      out_.set("text", Json::object({{"format", std::move(format)}}));
    }
    const chat::Thinking& thinking = request_.thinking;
    std::string effort = thinking.effort;
    if (!is_same_ && effort == "max") effort = "xhigh";
    if (effort.empty() && thinking.mode == chat::Thinking::Mode::kOff) effort = "none";
    if (thinking.budget_tokens) {
      dropped_.add("thinking.budget_tokens");
      if (effort.empty())
        effort = *thinking.budget_tokens <= 2048   ? "low"
                 : *thinking.budget_tokens <= 8192 ? "medium"
                                                   : "high";
    }
    Json reasoning;
    if (!effort.empty()) reasoning.set("effort", effort);
    if (!thinking.summary.empty()) reasoning.set("summary", thinking.summary);
    if (!is_same_ && thinking.mode == chat::Thinking::Mode::kOn) reasoning.set("summary", "auto");
    if (!reasoning.is_null()) out_.set("reasoning", std::move(reasoning));
  }

  const chat::Request& request_;
  const Target& target_;
  const bool is_same_;
  Dropped& dropped_;
  Json out_;
  JsonArray items_;
};

}  // namespace

std::string encode_responses_request(const chat::Request& request, const Target& target, Dropped& dropped) {
  return Writer(request, target, dropped).write();
}

}  // namespace cresset::wire
