#include <utility>

#include "wire/lenient.h"
#include "wire/media.h"
#include "wire/openai_request.h"
#include "wire/signature.h"
#include "wire/turns.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiChat;

std::string_view role_name(chat::Role role) {
  switch (role) {
    case chat::Role::kSystem:
      return "system";
    case chat::Role::kDeveloper:
      return "developer";
    case chat::Role::kUser:
      return "user";
    case chat::Role::kAssistant:
      return "assistant";
    case chat::Role::kTool:
      break;
  }
  return "tool";
}

class MessageWriter {
 public:
  MessageWriter(const chat::Request& request, Dropped& dropped)
      : is_same_(request.dialect == kOwn), dropped_(dropped) {}

  void write(const chat::Message& message) {
    if (message.role == chat::Role::kAssistant) return write_assistant(message);
    std::vector<chat::Part> rest;
    for (const chat::Part& part : message.parts) {
      const auto* result = std::get_if<chat::ToolResult>(&part.body);
      result != nullptr ? write_result(*result, part, message, rest) : rest.push_back(part);
    }
    if (rest.empty() && !message.parts.empty()) return;
    Json item = Json::object(
        {{"role", role_name(message.role == chat::Role::kTool ? chat::Role::kUser : message.role)}});
    if (!message.name.empty()) item.set("name", message.name);
    item.set("content", content_of(rest));
    finish(item, message);
  }

  JsonArray take() { return std::move(out_); }

 private:
  void finish(Json& item, const chat::Message& message) {
    is_same_ ? add_extras(item, message.extras) : dropped_.add_members(message.extras, "messages.");
    out_.push_back(std::move(item));
  }

  void write_result(const chat::ToolResult& result, const chat::Part& part, const chat::Message& message,
                    std::vector<chat::Part>& rest) {
    Json item = Json::object({{"role", "tool"}, {"tool_call_id", result.id}});
    if (!result.name.empty()) item.set("name", result.name);
    std::vector<chat::Part> parts;
    for (const chat::Part& p : result.parts) {
      // Only text can stand in a tool's message here; what it shows is shown by the user after it.
      const bool is_text = std::holds_alternative<chat::Text>(p.body);
      (is_text || is_same_ ? parts : rest).push_back(p);
    }
    item.set("content", parts.empty() ? Json("") : content_of(parts));
    if (result.is_error) dropped_.add("tool_result.is_error");
    if (!part.cache.is_null()) dropped_.add("cache_control");
    if (!is_same_) dropped_.add_members(part.extras, "tool_result.");
    message.role == chat::Role::kTool ? finish(item, message) : out_.push_back(std::move(item));
  }

  void write_assistant(const chat::Message& message) {
    Json item = Json::object({{"role", "assistant"}});
    if (!message.name.empty()) item.set("name", message.name);
    std::vector<chat::Part> content;
    JsonArray calls, details;
    std::string thoughts, refusal;
    bool has_refusal = false;
    for (const chat::Part& part : message.parts) {
      if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) {
        calls.push_back(tool_call(*call, part));
      } else if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body)) {
        add_reasoning(*reasoning, part, thoughts, details);
      } else if (const auto* r = std::get_if<chat::Refusal>(&part.body)) {
        refusal += r->text;
        has_refusal = true;
      } else {
        content.push_back(part);
      }
    }
    item.set("content", content.empty() ? Json() : content_of(content));
    if (has_refusal) item.set("refusal", refusal);
    if (!thoughts.empty()) item.set("reasoning_content", thoughts);
    if (!details.empty()) item.set("reasoning_details", std::move(details));
    if (!calls.empty()) item.set("tool_calls", std::move(calls));
    finish(item, message);
  }

  void add_reasoning(const chat::Reasoning& reasoning, const chat::Part& part, std::string& thoughts,
                     JsonArray& details) {
    if (!is_same_ && part.signature.origin != kOwn)
      return dropped_.add("reasoning");  // another model's thoughts
    const std::string signature = signature_for_provider(part.signature, kOwn);
    if (reasoning.is_redacted || reasoning.is_summary || !signature.empty() || !part.extras.is_null()) {
      if (!part.signature.empty() && signature.empty()) return dropped_.add("reasoning");
      details.push_back(reasoning_detail(reasoning, signature, part.extras));
    } else if (part.signature.empty()) {
      thoughts += reasoning.text;
    } else {
      dropped_.add("reasoning");
    }
  }

  Json tool_call(const chat::ToolCall& call, const chat::Part& part) {
    const char* type = call.is_custom ? "custom" : "function";
    Json item = Json::object(
        {{"id", call.id},
         {"type", type},
         {type,
          Json::object({{"name", call.name}, {call.is_custom ? "input" : "arguments", call.arguments}})}});
    const std::string signature = signature_for_provider(part.signature, kOwn);
    if (!signature.empty()) {
      item.set("extra_content", Json::object({{"google", Json::object({{"thought_signature", signature}})}}));
    } else if (!part.signature.empty()) {
      dropped_.add("tool_calls.signature");
    }
    is_same_ ? add_extras(item, part.extras) : dropped_.add_members(part.extras, "tool_calls.");
    if (!part.cache.is_null()) dropped_.add("cache_control");
    return item;
  }

  Json content_of(const std::vector<chat::Part>& parts) {
    if (parts.size() == 1 && parts[0].cache.is_null() && (parts[0].extras.is_null() || !is_same_)) {
      if (const auto* text = std::get_if<chat::Text>(&parts[0].body)) {
        note(parts[0]);
        return text->text;
      }
    }
    JsonArray out;
    for (const chat::Part& part : parts) {
      if (Json item = content_part(part); !item.is_null()) {
        note(part);
        if (is_same_) {
          add_extras(item, part.extras);
          if (!part.cache.is_null()) item.set("cache_control", part.cache);
        }
        out.push_back(std::move(item));
      }
    }
    return out;
  }

  void note(const chat::Part& part) {
    if (is_same_) return;
    dropped_.add_members(part.extras, "content.");
    if (!part.cache.is_null()) dropped_.add("cache_control");
    if (const auto* text = std::get_if<chat::Text>(&part.body); text != nullptr && !text->citations.is_null())
      dropped_.add("citations");
  }

  Json content_part(const chat::Part& part) {
    if (const auto* text = std::get_if<chat::Text>(&part.body))
      return Json::object({{"type", "text"}, {"text", text->text}});
    if (const auto* refusal = std::get_if<chat::Refusal>(&part.body))
      return Json::object({{"type", "refusal"}, {"refusal", refusal->text}});
    if (const auto* image = std::get_if<chat::Image>(&part.body)) {
      if (image->media.source == chat::Media::Source::kFileId) return drop("image.file_id");
      Json url = Json::object({{"url", url_of_media(image->media)}});
      if (!image->detail.empty()) url.set("detail", image->detail);
      return Json::object({{"type", "image_url"}, {"image_url", std::move(url)}});
    }
    if (const auto* document = std::get_if<chat::Document>(&part.body)) return file(*document);
    if (const auto* opaque = std::get_if<chat::Opaque>(&part.body)) {
      if (is_same_) return opaque->value;
      const std::string_view type = string_at(opaque->value, "type");
      return drop(type.empty() ? "content" : "content." + std::string(type));
    }
    return drop("content");
  }

  Json file(const chat::Document& document) {
    Json inner = Json::object();
    switch (document.media.source) {
      case chat::Media::Source::kPlain:
        return Json::object({{"type", "text"}, {"text", document.media.data}});
      case chat::Media::Source::kUrl:
        return drop("document.url");
      case chat::Media::Source::kFileId:
        if (!is_same_) return drop("document.file_id");
        inner.set("file_id", document.media.data);
        break;
      case chat::Media::Source::kBase64:
        inner.set("file_data",
                  document.media.type.empty() ? document.media.data : url_of_media(document.media));
        break;
    }
    if (!document.name.empty()) inner.set("filename", document.name);
    return Json::object({{"type", "file"}, {"file", std::move(inner)}});
  }

  Json drop(const std::string& name) {
    dropped_.add(name);
    return {};
  }

  const bool is_same_;
  Dropped& dropped_;
  JsonArray out_;
};

}  // namespace

Json encode_messages(const chat::Request& request, Dropped& dropped) {
  MessageWriter writer(request, dropped);
  if (request.dialect == kOwn || request.dialect == chat::Dialect::kNone) {
    for (const chat::Message& message : request.messages) writer.write(message);
  } else {
    for (const chat::Message& message : join_turns(request.messages)) writer.write(message);
  }
  return writer.take();
}

}  // namespace cresset::wire
