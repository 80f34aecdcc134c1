#include <limits>
#include <utility>

#include "wire/anthropic.h"
#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/signature.h"
#include "wire/tool_members.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kAnthropic;
constexpr int kIntMax = std::numeric_limits<int>::max();

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

Checked take_text(const Field& block, std::string_view name, std::string& out) {
  const Json* value = get(block.value, name);
  const std::string path = block.path + "." + std::string(name);
  if (value == nullptr) return refuse(missing_parameter(path));
  return take_string({*value, path}, kTextBytesMax, out);
}

Checked take_source(const Field& block, chat::Media& media) {
  const Json* source = get(block.value, "source");
  const std::string path = block.path + ".source";
  if (source == nullptr) return refuse(missing_parameter(path));
  const Field field{*source, path};
  if (Checked ok = check_object(field); !ok) return ok;
  const std::string_view type = string_at(*source, "type");
  media.type = string_at(*source, "media_type");
  if (type == "base64" || type == "text") {
    media.source = type == "text" ? chat::Media::Source::kPlain : chat::Media::Source::kBase64;
    return take_text(field, "data", media.data);
  }
  if (type == "url" || type == "file") {
    media.source = type == "url" ? chat::Media::Source::kUrl : chat::Media::Source::kFileId;
    return take_text(field, type == "url" ? "url" : "file_id", media.data);
  }
  return refuse(unsupported_value(path + ".type", "is not 'base64', 'text', 'url' or 'file'."));
}

Checked take_blocks(const Field& field, std::vector<chat::Part>& parts, int depth);

Checked take_tool_result(const Field& block, chat::Part& part, int depth) {
  chat::ToolResult result;
  if (Checked ok = take_text(block, "tool_use_id", result.id); !ok) return ok;
  if (const Json* content = get(block.value, "content")) {
    if (Checked ok = take_blocks({*content, block.path + ".content"}, result.parts, depth + 1); !ok)
      return ok;
  }
  if (const Json* error = get(block.value, "is_error")) {
    if (Checked ok = take_boolean({*error, block.path + ".is_error"}, result.is_error); !ok) return ok;
  }
  part.body = std::move(result);
  return {};
}

// The members that each kind of block has taken; the rest is kept.
Checked take_block(const Field& block, chat::Part& part, int depth) {
  if (Checked ok = check_object(block); !ok) return ok;
  const std::string_view type = string_at(block.value, "type");
  std::vector<std::string_view> taken{"type", "cache_control"};
  Checked ok;
  if (type == "text") {
    chat::Text text;
    ok = take_text(block, "text", text.text);
    if (const Json* citations = get(block.value, "citations")) text.citations = *citations;
    part.body = std::move(text);
    taken.insert(taken.end(), {"text", "citations"});
  } else if (type == "image") {
    chat::Image image;
    ok = take_source(block, image.media);
    part.body = std::move(image);
    taken.push_back("source");
  } else if (type == "document" &&
             string_at(*(get(block.value, "source") ? get(block.value, "source") : &block.value), "type") !=
                 "content") {
    chat::Document document;
    ok = take_source(block, document.media);
    document.name = string_at(block.value, "title");
    part.body = std::move(document);
    taken.insert(taken.end(), {"source", "title"});
  } else if (type == "tool_use") {
    chat::ToolCall call;
    ok = take_text(block, "id", call.id);
    if (ok) ok = take_text(block, "name", call.name);
    if (const Json* input = get(block.value, "input")) call.arguments = arguments_text(*input);
    part.body = std::move(call);
    taken.insert(taken.end(), {"id", "name", "input"});
  } else if (type == "tool_result") {
    ok = take_tool_result(block, part, depth);
    taken.insert(taken.end(), {"tool_use_id", "content", "is_error"});
  } else if (type == "thinking" || type == "redacted_thinking") {
    const bool is_redacted = type != "thinking";
    chat::Reasoning reasoning{{}, is_redacted, false};
    if (!is_redacted) ok = take_text(block, "thinking", reasoning.text);
    part.signature = read_signature(string_at(block.value, is_redacted ? "data" : "signature"), kOwn);
    part.body = std::move(reasoning);
    taken.insert(taken.end(), {"thinking", "signature", "data"});
  } else if (!type.empty()) {
    part.body = chat::Opaque{block.value};
    return {};
  } else {
    return refuse(missing_parameter(block.path + ".type"));
  }
  if (!ok) return ok;
  for (const JsonMember& m : block.value.as_object()) {
    if (m.first == "cache_control") part.cache = m.second;
    if (std::find(taken.begin(), taken.end(), m.first) == taken.end()) keep(part.extras, m);
  }
  return {};
}

// Another model's signature for the part before it, see anthropic_answer.cc.
bool is_foreign_mark(const chat::Part& part) {
  const auto* reasoning = std::get_if<chat::Reasoning>(&part.body);
  return reasoning != nullptr && reasoning->text.empty() && !part.signature.empty() &&
         part.signature.origin != kOwn && !reasoning->is_redacted;
}

Checked take_blocks(const Field& field, std::vector<chat::Part>& parts, int depth) {
  if (field.value.is_string()) {
    parts.push_back({chat::Text{field.value.as_string()}});
    return {};
  }
  if (!field.value.is_array()) return refuse(wrong_type(field, "a string or an array of blocks"));
  if (depth > 2) return refuse(invalid_value(field.path, "blocks are nested too deeply."));
  if (Checked ok = check_array(field, 0, kPartsMax); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    chat::Part part;
    if (Checked ok = take_block(field.item(i), part, depth); !ok) return ok;
    if (!parts.empty() && is_foreign_mark(part)) {
      parts.back().signature = std::move(part.signature);
    } else {
      parts.push_back(std::move(part));
    }
  }
  return {};
}

Checked take_message(const Field& field, chat::Message& message) {
  if (Checked ok = check_object(field); !ok) return ok;
  const std::string_view role = string_at(field.value, "role");
  if (role != "user" && role != "assistant" && role != "system")
    return refuse(invalid_value(field.path + ".role", "supported values are 'user' and 'assistant'."));
  message.role = role == "user"     ? chat::Role::kUser
                 : role == "system" ? chat::Role::kSystem
                                    : chat::Role::kAssistant;
  const Json* content = get(field.value, "content");
  if (content == nullptr) return refuse(missing_parameter(field.path + ".content"));
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first != "role" && m.first != "content") keep(message.extras, m);
  }
  return take_blocks({*content, field.path + ".content"}, message.parts, 0);
}

Checked take_tool(const Field& field, chat::Tool& tool) {
  if (Checked ok = check_object(field); !ok) return ok;
  if (const Json* cache = get(field.value, "cache_control")) tool.cache = *cache;
  const std::string_view type = string_at(field.value, "type");
  if (!type.empty() && type != "custom") {
    tool.kind = chat::Tool::Kind::kOpaque;
    tool.name = type;
    tool.extras = field.value;
    tool.cache = {};
    return {};
  }
  if (Checked ok = take_text(field, "name", tool.name); !ok) return ok;
  for (const JsonMember& m : field.value.as_object()) {
    const Field member = field.member(m);
    if (m.second.is_null() || m.first == "name" || m.first == "type" || m.first == "cache_control") continue;
    if (Checked ok = take_tool_member(member, m, "input_schema", tool); !ok) return ok;
  }
  return {};
}

Checked take_tools(const Field& field, std::vector<chat::Tool>& out) {
  if (Checked ok = check_array(field, 0, kToolsMax); !ok) return ok;
  out.resize(field.value.as_array().size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (Checked ok = take_tool(field.item(i), out[i]); !ok) return ok;
  }
  return {};
}

Checked take_tool_choice(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  using Mode = chat::ToolChoice::Mode;
  chat::ToolChoice choice;
  const std::string_view type = string_at(field.value, "type");
  if (type == "tool") {
    choice.mode = Mode::kNamed;
    if (Checked ok = take_text(field, "name", choice.name); !ok) return ok;
  } else if (type == "auto" || type == "any" || type == "none") {
    choice.mode = type == "auto" ? Mode::kAuto : type == "any" ? Mode::kAny : Mode::kNone;
  } else {
    return refuse(unsupported_value(field.path + ".type", "is not 'auto', 'any', 'tool' or 'none'."));
  }
  if (const Json* no_parallel = get(field.value, "disable_parallel_tool_use")) {
    bool value = false;
    if (Checked ok = take_boolean({*no_parallel, field.path + ".disable_parallel_tool_use"}, value); !ok)
      return ok;
    request.parallel_tools = !value;
  }
  request.tool_choice = std::move(choice);
  return {};
}

Checked take_thinking(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  using Mode = chat::Thinking::Mode;
  const std::string_view type = string_at(field.value, "type");
  if (type != "enabled" && type != "disabled" && type != "adaptive")
    return refuse(unsupported_value(field.path + ".type", "is not 'enabled', 'disabled' or 'adaptive'."));
  request.thinking.mode = type == "enabled" ? Mode::kOn : type == "disabled" ? Mode::kOff : Mode::kAdaptive;
  Json rest;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first == "budget_tokens" && !m.second.is_null()) {
      if (Checked ok = take_integer(field.member(m), 0, kIntMax, request.thinking.budget_tokens); !ok)
        return ok;
    } else if (m.first != "type") {
      keep(rest, m);
    }
  }
  if (!rest.is_null()) request.extras.set("thinking", std::move(rest));
  return {};
}

Checked take_output_config(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  Json rest;
  for (const JsonMember& m : field.value.as_object()) {
    const Field member = field.member(m);
    if (m.second.is_null()) continue;
    if (m.first == "effort") {
      if (Checked ok = take_string(member, 64, request.thinking.effort); !ok) return ok;
    } else if (m.first == "format" && string_at(m.second, "type") == "json_schema") {
      chat::Format format;
      format.kind = chat::Format::Kind::kSchema;
      if (const Json* schema = get(m.second, "schema")) format.schema = *schema;
      request.format = std::move(format);
    } else {
      keep(rest, m);
    }
  }
  if (!rest.is_null()) request.extras.set("output_config", std::move(rest));
  return {};
}

Checked take_metadata(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first == "user_id" && m.second.is_string()) {
      request.user = m.second.as_string();
    } else {
      keep(request.metadata, m);
    }
  }
  return {};
}

Checked take_stops(const Field& field, chat::Request& request) {
  if (Checked ok = check_array(field, 0, kStopsMaxAny); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    std::string stop;
    if (Checked ok = take_string(field.item(i), kStopBytesMaxAny, stop); !ok) return ok;
    if (stop.empty()) return refuse(invalid_value(field.item(i).path, "an empty string would stop at once."));
    request.stop.push_back(std::move(stop));
  }
  return {};
}

Checked take_parameter(const Field& f, std::string_view name, chat::Request& request) {
  if (name == "model") return take_string(f, kModelBytesMaxAny, request.model);
  if (name == "max_tokens") return take_integer(f, 1, kIntMax, request.tokens_max);
  if (name == "temperature") return take_number(f, {0, 2}, request.sampling.temperature);
  if (name == "top_p") return take_number(f, {0, 1}, request.sampling.top_p);
  if (name == "top_k") return take_integer(f, 0, kIntMax, request.sampling.top_k);
  if (name == "stream") return take_boolean(f, request.stream);
  if (name == "stop_sequences") return take_stops(f, request);
  if (name == "tools") return take_tools(f, request.tools);
  if (name == "tool_choice") return take_tool_choice(f, request);
  if (name == "thinking") return take_thinking(f, request);
  if (name == "output_config") return take_output_config(f, request);
  if (name == "metadata") return take_metadata(f, request);
  if (name == "cache_control") {
    request.cache = f.value;
    return {};
  }
  request.extras.set(name, f.value);
  return {};
}

Checked take_conversation(const Json& body, chat::Request& request) {
  if (const Json* system = get(body, "system")) {
    chat::Message message;
    message.role = chat::Role::kSystem;
    message.is_apart = true;
    if (Checked ok = take_blocks({*system, "system"}, message.parts, 0); !ok) return ok;
    if (!message.parts.empty()) request.messages.push_back(std::move(message));
  }
  const Json* messages = get(body, "messages");
  if (messages == nullptr) return refuse(missing_parameter("messages"));
  const Field field{*messages, "messages"};
  if (Checked ok = check_array(field, 1, kMessagesMaxAny); !ok) return ok;
  for (size_t i = 0; i < messages->as_array().size(); ++i) {
    chat::Message message;
    if (Checked ok = take_message(field.item(i), message); !ok) return ok;
    request.messages.push_back(std::move(message));
  }
  return {};
}

}  // namespace

Decoded<chat::Request> decode_anthropic_request(std::string_view body) {
  Decoded<Json> value = parse_body(body);
  if (!value) return tl::unexpected<Fault>(value.error());
  chat::Request request;
  request.dialect = kOwn;
  if (Checked ok = take_conversation(*value, request); !ok)
    return tl::unexpected<Fault>(std::move(ok.error()));
  for (const JsonMember& m : value->as_object()) {
    if (m.second.is_null() || m.first == "messages" || m.first == "system") continue;
    if (Checked ok = take_parameter({m.second, m.first}, m.first, request); !ok)
      return tl::unexpected<Fault>(std::move(ok.error()));
  }
  if (request.model.empty()) return tl::unexpected<Fault>(missing_parameter("model"));
  return request;
}

}  // namespace cresset::wire
