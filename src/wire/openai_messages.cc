#include <utility>

#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/media.h"
#include "wire/openai_request.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiChat;

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

bool is_empty(const Json& value) {
  return value.is_null() || (value.is_array() && value.as_array().empty());
}

Checked take_role(const Field& field, chat::Role& out) {
  if (!field.value.is_string()) return refuse(wrong_type(field, "a string"));
  const std::string& name = field.value.as_string();
  constexpr std::pair<std::string_view, chat::Role> kRoles[] = {{"system", chat::Role::kSystem},
                                                                {"developer", chat::Role::kDeveloper},
                                                                {"user", chat::Role::kUser},
                                                                {"assistant", chat::Role::kAssistant},
                                                                {"tool", chat::Role::kTool}};
  for (const auto& [known, role] : kRoles) {
    if (known == name) {
      out = role;
      return {};
    }
  }
  if (name == "function")
    return refuse(unsupported_value(field.path, "does not support 'function': use the role 'tool'."));
  return refuse(invalid_value(field.path,
                              "supported values are 'system', 'developer', 'user', 'assistant' and 'tool'."));
}

// A member that must be a text, of a part of one kind.
Checked take_member(const Field& field, std::string_view name, std::string& out) {
  const Json* value = get(field.value, name);
  const std::string path = field.path + "." + std::string(name);
  if (value == nullptr) return refuse(missing_parameter(path));
  return take_string({*value, path}, kTextBytesMax, out);
}

Checked take_image(const Field& field, chat::Part& part) {
  if (Checked ok = check_object(field); !ok) return ok;
  std::string url;
  if (Checked ok = take_member(field, "url", url); !ok) return ok;
  part.body = chat::Image{media_of_url(url), std::string(string_at(field.value, "detail"))};
  return {};
}

Checked take_file(const Field& field, chat::Part& part) {
  if (Checked ok = check_object(field); !ok) return ok;
  chat::Document document;
  document.name = string_at(field.value, "filename");
  if (const std::string_view id = string_at(field.value, "file_id"); !id.empty()) {
    document.media = {chat::Media::Source::kFileId, {}, std::string(id)};
  } else {
    std::string data;
    if (Checked ok = take_member(field, "file_data", data); !ok) return ok;
    document.media = media_of_url(data);
    if (document.media.source == chat::Media::Source::kUrl)  // bare base64
      document.media = {chat::Media::Source::kBase64, {}, std::move(data)};
  }
  part.body = std::move(document);
  return {};
}

Checked take_part(const Field& field, chat::Part& part) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json* type_value = field.value.find("type");
  if (type_value == nullptr) return refuse(missing_parameter(field.path + ".type"));
  if (!type_value->is_string()) return refuse(wrong_type({*type_value, field.path + ".type"}, "a string"));
  const std::string& type = type_value->as_string();
  std::string_view inner = type;
  Checked ok;
  if (type == "text") {
    std::string text;
    ok = take_member(field, "text", text);
    part.body = chat::Text{std::move(text)};
  } else if (type == "refusal") {
    std::string text;
    ok = take_member(field, "refusal", text);
    part.body = chat::Refusal{std::move(text)};
  } else if (type == "image_url" || type == "file") {
    const Json* value = get(field.value, type);
    if (value == nullptr) return refuse(missing_parameter(field.path + "." + type));
    const Field nested{*value, field.path + "." + type};
    ok = type == "file" ? take_file(nested, part) : take_image(nested, part);
  } else {
    part.body = chat::Opaque{field.value};
    return {};
  }
  if (!ok) return ok;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first == "cache_control") {
      part.cache = m.second;
    } else if (m.first != "type" && m.first != inner) {
      keep(part.extras, m);
    }
  }
  return {};
}

Checked take_content(const Field& field, std::vector<chat::Part>& parts) {
  if (field.value.is_string()) {
    parts.push_back({chat::Text{field.value.as_string()}});
    return {};
  }
  if (!field.value.is_array()) return refuse(wrong_type(field, "a string or an array of parts"));
  if (Checked ok = check_array(field, 1, kPartsMax); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    chat::Part part;
    if (Checked ok = take_part(field.item(i), part); !ok) return ok;
    parts.push_back(std::move(part));
  }
  return {};
}

Checked take_tool_call(const Field& field, chat::Part& part) {
  if (Checked ok = check_object(field); !ok) return ok;
  chat::ToolCall call;
  call.id = string_at(field.value, "id");
  call.is_custom = string_at(field.value, "type") == "custom";
  const std::string kind = call.is_custom ? "custom" : "function";
  const Json* inner = get(field.value, kind);
  if (inner == nullptr) return refuse(missing_parameter(field.path + "." + kind));
  const Field nested{*inner, field.path + "." + kind};
  if (Checked ok = check_object(nested); !ok) return ok;
  if (Checked ok = take_member(nested, "name", call.name); !ok) return ok;
  call.arguments = string_at(*inner, call.is_custom ? "input" : "arguments");
  part.body = std::move(call);
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first == "extra_content") {  // Google's place for a thought signature in this dialect
      const Json* google = get(m.second, "google");
      const std::string_view signature = google != nullptr ? string_at(*google, "thought_signature") : "";
      part.signature = read_signature(signature, kOwn);
    } else if (m.first != "id" && m.first != "type" && m.first != kind) {
      keep(part.extras, m);
    }
  }
  return {};
}

Checked take_tool_calls(const Field& field, chat::Message& message) {
  if (Checked ok = check_array(field, 0, kPartsMax); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    chat::Part part;
    if (Checked ok = take_tool_call(field.item(i), part); !ok) return ok;
    message.parts.push_back(std::move(part));
  }
  return {};
}

// What an assistant's message says beside its content. A client sends back the message it was given, so the
// members that were null or empty there pass.
Checked take_assistant(const Field& field, chat::Message& message) {
  const Json& value = field.value;
  if (const auto& details = array_at(value, "reasoning_details"); !details.empty()) {
    message.parts = read_reasoning_details(details);
  } else {
    for (const char* name : {"reasoning_content", "reasoning"}) {
      const Json* text = get(value, name);
      if (text == nullptr || !message.parts.empty()) continue;
      std::string thought;
      if (Checked ok = take_string({*text, field.path + "." + name}, kTextBytesMax, thought); !ok) return ok;
      if (!thought.empty()) message.parts.push_back({chat::Reasoning{std::move(thought)}});
    }
  }
  const Json* content = get(value, "content");
  if (content != nullptr) {
    if (Checked ok = take_content({*content, field.path + ".content"}, message.parts); !ok) return ok;
  }
  if (const Json* refusal = get(value, "refusal")) {
    std::string text;
    if (Checked ok = take_string({*refusal, field.path + ".refusal"}, kTextBytesMax, text); !ok) return ok;
    message.parts.push_back({chat::Refusal{std::move(text)}});
  }
  if (const Json* calls = get(value, "tool_calls")) {
    if (Checked ok = take_tool_calls({*calls, field.path + ".tool_calls"}, message); !ok) return ok;
  }
  for (const JsonMember& m : value.as_object()) {
    constexpr std::string_view kTaken[] = {"role",    "content",           "name",      "reasoning_content",
                                           "refusal", "reasoning_details", "reasoning", "tool_calls"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken) && !is_empty(m.second))
      keep(message.extras, m);
  }
  if (!message.parts.empty() || !message.extras.is_null()) return {};
  const Json* given = value.find("content");
  if (given == nullptr) return refuse(missing_parameter(field.path + ".content"));
  return refuse(wrong_type({*given, field.path + ".content"}, "a string or an array of parts"));
}

Checked take_tool_result(const Field& field, const Json& content, chat::Message& message) {
  chat::ToolResult result;
  if (Checked ok = take_member(field, "tool_call_id", result.id); !ok) return ok;
  result.name = std::exchange(message.name, {});
  if (Checked ok = take_content({content, field.path + ".content"}, result.parts); !ok) return ok;
  message.parts.push_back({std::move(result)});
  return {};
}

Checked take_message(const Field& field, chat::Message& message) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json* role = field.value.find("role");
  if (role == nullptr) return refuse(missing_parameter(field.path + ".role"));
  if (Checked ok = take_role({*role, field.path + ".role"}, message.role); !ok) return ok;
  if (const Json* name = get(field.value, "name")) {
    if (Checked ok = take_string({*name, field.path + ".name"}, kShortBytesMax, message.name); !ok) return ok;
  }
  if (message.role == chat::Role::kAssistant) return take_assistant(field, message);
  const Json* content = field.value.find("content");
  if (content == nullptr) return refuse(missing_parameter(field.path + ".content"));
  const bool is_tool = message.role == chat::Role::kTool;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first != "role" && m.first != "name" && m.first != "content" &&
        !(is_tool && m.first == "tool_call_id"))
      keep(message.extras, m);
  }
  if (is_tool) return take_tool_result(field, *content, message);
  return take_content({*content, field.path + ".content"}, message.parts);
}

}  // namespace

std::vector<chat::Part> read_reasoning_details(const JsonArray& details) {
  std::vector<chat::Part> out;
  for (const Json& detail : details) {
    if (!detail.is_object()) continue;
    const std::string_view type = string_at(detail, "type");
    chat::Part part;
    chat::Reasoning reasoning;
    std::string_view field = "text";
    if (type == "reasoning.encrypted") {
      reasoning.is_redacted = true;
      field = "data";
    } else if (type == "reasoning.summary") {
      reasoning.is_summary = true;
      field = "summary";
    }
    if (!reasoning.is_redacted) reasoning.text = string_at(detail, field);
    part.signature = read_signature(string_at(detail, reasoning.is_redacted ? "data" : "signature"), kOwn);
    for (const JsonMember& m : detail.as_object()) {
      if (m.first != "type" && m.first != field && m.first != "signature") keep(part.extras, m);
    }
    part.body = std::move(reasoning);
    out.push_back(std::move(part));
  }
  return out;
}

Json reasoning_detail(const chat::Reasoning& reasoning, std::string_view signature, const Json& extras) {
  Json out;
  if (reasoning.is_redacted) {
    out = Json::object({{"type", "reasoning.encrypted"}, {"data", signature}});
  } else if (reasoning.is_summary) {
    out = Json::object({{"type", "reasoning.summary"}, {"summary", reasoning.text}});
  } else {
    out = Json::object({{"type", "reasoning.text"}, {"text", reasoning.text}});
  }
  if (!signature.empty() && !reasoning.is_redacted) out.set("signature", signature);
  add_extras(out, extras);
  return out;
}

Checked take_messages(const Field& field, std::vector<chat::Message>& out) {
  if (Checked ok = check_array(field, 1, kMessagesMax); !ok) return ok;
  out.resize(field.value.as_array().size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (Checked ok = take_message(field.item(i), out[i]); !ok) return ok;
  }
  return {};
}

}  // namespace cresset::wire
