#include <limits>
#include <utility>

#include "wire/field.h"
#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/media.h"
#include "wire/openai_responses.h"
#include "wire/openai_tools.h"
#include "wire/signature.h"
#include "wire/tool_members.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiResponses;
constexpr int kIntMax = std::numeric_limits<int>::max();

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

void keep_all_but(const Json& value, std::initializer_list<std::string_view> taken, Json& extras) {
  for (const JsonMember& m : value.as_object()) {
    if (std::find(taken.begin(), taken.end(), m.first) == taken.end()) keep(extras, m);
  }
}

Checked take_text(const Field& field, std::string_view name, std::string& out) {
  const Json* value = get(field.value, name);
  const std::string path = field.path + "." + std::string(name);
  if (value == nullptr) return refuse(missing_parameter(path));
  return take_string({*value, path}, kTextBytesMax, out);
}

chat::Media file_media(const Json& value, std::string_view data_name, std::string_view url_name) {
  if (const std::string_view id = string_at(value, "file_id"); !id.empty())
    return {chat::Media::Source::kFileId, {}, std::string(id)};
  const std::string_view data = string_at(value, data_name);
  chat::Media media = media_of_url(data.empty() ? string_at(value, url_name) : data);
  if (!data.empty() && media.source == chat::Media::Source::kUrl && data_name != url_name)
    media.source = chat::Media::Source::kBase64;  // bare base64
  return media;
}

Checked take_part(const Field& field, chat::Part& part) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json& value = field.value;
  const std::string_view type = string_at(value, "type");
  if (type == "input_text" || type == "output_text" || type == "text") {
    chat::Text text;
    if (Checked ok = take_text(field, "text", text.text); !ok) return ok;
    if (!array_at(value, "annotations").empty()) text.citations = *value.find("annotations");
    part.body = std::move(text);
    keep_all_but(value, {"type", "text", "annotations", "prompt_cache_breakpoint"}, part.extras);
  } else if (type == "refusal") {
    std::string_view text = string_at(value, "refusal");
    if (text.empty()) text = string_at(value, "text");
    part.body = chat::Refusal{std::string(text)};
    keep_all_but(value, {"type", "refusal", "text", "prompt_cache_breakpoint"}, part.extras);
  } else if (type == "input_image") {
    part.body =
        chat::Image{file_media(value, "image_url", "image_url"), std::string(string_at(value, "detail"))};
    keep_all_but(value, {"type", "image_url", "file_id", "detail", "prompt_cache_breakpoint"}, part.extras);
  } else if (type == "input_file") {
    part.body =
        chat::Document{file_media(value, "file_data", "file_url"), std::string(string_at(value, "filename"))};
    keep_all_but(value, {"type", "file_data", "file_url", "file_id", "filename", "prompt_cache_breakpoint"},
                 part.extras);
  } else if (type.empty()) {
    return refuse(missing_parameter(field.path + ".type"));
  } else {
    part.body = chat::Opaque{value};
    return {};
  }
  if (const Json* cache = get(value, "prompt_cache_breakpoint")) part.cache = *cache;
  return {};
}

Checked take_content(const Field& field, std::vector<chat::Part>& parts) {
  if (field.value.is_string()) {
    parts.push_back({chat::Text{field.value.as_string()}});
    return {};
  }
  if (Checked ok = check_array(field, 0, kPartsMax); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    chat::Part part;
    if (Checked ok = take_part(field.item(i), part); !ok) return ok;
    parts.push_back(std::move(part));
  }
  return {};
}

Checked take_call(const Field& field, bool is_custom, chat::Message& message) {
  chat::ToolCall call;
  call.is_custom = is_custom;
  if (Checked ok = take_text(field, "call_id", call.id); !ok) return ok;
  if (Checked ok = take_text(field, "name", call.name); !ok) return ok;
  call.arguments = string_at(field.value, is_custom ? "input" : "arguments");
  message.role = chat::Role::kAssistant;
  message.parts.push_back({std::move(call)});
  keep_all_but(field.value, {"type", "call_id", "name", is_custom ? "input" : "arguments"}, message.extras);
  return {};
}

Checked take_output(const Field& field, bool is_custom, chat::Message& message) {
  chat::ToolResult result;
  result.is_custom = is_custom;
  if (Checked ok = take_text(field, "call_id", result.id); !ok) return ok;
  const Json* output = get(field.value, "output");
  if (output == nullptr) return refuse(missing_parameter(field.path + ".output"));
  if (Checked ok = take_content({*output, field.path + ".output"}, result.parts); !ok) return ok;
  message.role = chat::Role::kTool;
  message.parts.push_back({std::move(result)});
  keep_all_but(field.value, {"type", "call_id", "output"}, message.extras);
  return {};
}

void take_reasoning(const Json& item, chat::Message& message) {
  message.role = chat::Role::kAssistant;
  for (const Json& summary : array_at(item, "summary"))
    message.parts.push_back({chat::Reasoning{std::string(string_at(summary, "text")), false, true}});
  for (const Json& content : array_at(item, "content"))
    message.parts.push_back({chat::Reasoning{std::string(string_at(content, "text")), false, false}});
  if (message.parts.empty()) message.parts.push_back({chat::Reasoning{{}, false, true}});
  message.parts.back().signature = read_signature(string_at(item, "encrypted_content"), kOwn);
  keep_all_but(item, {"type", "summary", "content", "encrypted_content"}, message.extras);
}

Checked take_item(const Field& field, chat::Message& message) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json& item = field.value;
  std::string_view type = string_at(item, "type");
  if (type.empty() && get(item, "role") != nullptr) type = "message";
  if (type == "message") {
    const std::string_view role = string_at(item, "role");
    if (role == "user") {
      message.role = chat::Role::kUser;
    } else if (role == "assistant") {
      message.role = chat::Role::kAssistant;
    } else if (role == "system" || role == "developer") {
      message.role = role == "system" ? chat::Role::kSystem : chat::Role::kDeveloper;
    } else {
      return refuse(invalid_value(field.path + ".role",
                                  "supported values are 'user', 'assistant', 'system' and 'developer'."));
    }
    const Json* content = get(item, "content");
    if (content == nullptr) return refuse(missing_parameter(field.path + ".content"));
    keep_all_but(item, {"type", "role", "content"}, message.extras);
    return take_content({*content, field.path + ".content"}, message.parts);
  }
  if (type == "function_call" || type == "custom_tool_call")
    return take_call(field, type != "function_call", message);
  if (type == "function_call_output" || type == "custom_tool_call_output")
    return take_output(field, type != "function_call_output", message);
  if (type == "reasoning") {
    take_reasoning(item, message);
    return {};
  }
  if (type.empty() && get(item, "id") == nullptr) return refuse(missing_parameter(field.path + ".type"));
  message.role = chat::Role::kAssistant;
  message.parts.push_back({chat::Opaque{item}});
  return {};
}

// Another model's signature for the part before it, see openai_responses_answer.cc.
bool is_foreign_mark(const chat::Message& message) {
  if (message.parts.size() != 1) return false;
  const auto* reasoning = std::get_if<chat::Reasoning>(&message.parts[0].body);
  const chat::Signature& signature = message.parts[0].signature;
  return reasoning != nullptr && reasoning->text.empty() && !signature.empty() && signature.origin != kOwn;
}

Checked take_input(const Field& field, chat::Request& request) {
  if (field.value.is_string()) {
    chat::Message message;
    message.parts.push_back({chat::Text{field.value.as_string()}});
    request.messages.push_back(std::move(message));
    return {};
  }
  if (Checked ok = check_array(field, 0, kMessagesMax); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    chat::Message message;
    if (Checked ok = take_item(field.item(i), message); !ok) return ok;
    if (is_foreign_mark(message) && !request.messages.empty() && !request.messages.back().parts.empty()) {
      request.messages.back().parts.back().signature = std::move(message.parts[0].signature);
    } else {
      request.messages.push_back(std::move(message));
    }
  }
  return {};
}

Checked take_tool(const Field& field, chat::Tool& tool) {
  if (Checked ok = check_object(field); !ok) return ok;
  const std::string_view type = string_at(field.value, "type");
  if (type != "function" && type != "custom") {
    tool.kind = chat::Tool::Kind::kOpaque;
    tool.name = type.empty() ? "tool" : type;
    tool.extras = field.value;
    return {};
  }
  if (type == "custom") tool.kind = chat::Tool::Kind::kCustom;
  if (Checked ok = take_text(field, "name", tool.name); !ok) return ok;
  for (const JsonMember& m : field.value.as_object()) {
    const Field member = field.member(m);
    if (m.second.is_null() || m.first == "type" || m.first == "name") continue;
    const std::string_view schema_name = type == "function" ? "parameters" : "";
    if (Checked ok = take_tool_member(member, m, schema_name, tool); !ok) return ok;
  }
  return {};
}

Checked take_tools(const Field& field, chat::Request& request) {
  if (Checked ok = check_array(field, 0, kToolsMax); !ok) return ok;
  request.tools.resize(field.value.as_array().size());
  for (size_t i = 0; i < request.tools.size(); ++i) {
    if (Checked ok = take_tool(field.item(i), request.tools[i]); !ok) return ok;
  }
  return {};
}

// "text": {"format":{…},"verbosity":…}
Checked take_text_options(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  Json rest;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.second.is_null()) continue;
    if (m.first != "format") {
      keep(rest, m);
      continue;
    }
    const Field format_field = field.member(m);
    if (Checked ok = check_object(format_field); !ok) return ok;
    const std::string_view type = string_at(m.second, "type");
    chat::Format format;
    if (type == "json_schema") {
      format.kind = chat::Format::Kind::kSchema;
      if (Checked ok = take_schema_members(format_field, format); !ok) return ok;
    } else if (type == "json_object") {
      format.kind = chat::Format::Kind::kJson;
    } else if (type != "text") {
      return refuse(
          unsupported_value(format_field.path + ".type", "is not 'text', 'json_object' or 'json_schema'."));
    }
    request.format = std::move(format);
  }
  if (!rest.is_null()) request.extras.set("text", std::move(rest));
  return {};
}

Checked take_reasoning_options(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  Json rest;
  for (const JsonMember& m : field.value.as_object()) {
    Checked ok;
    if (m.second.is_null()) continue;
    if (m.first == "effort") {
      ok = take_string(field.member(m), 64, request.thinking.effort);
    } else if (m.first == "summary") {
      ok = take_string(field.member(m), 64, request.thinking.summary);
    } else {
      keep(rest, m);
    }
    if (!ok) return ok;
  }
  if (!rest.is_null()) request.extras.set("reasoning", std::move(rest));
  return {};
}

Checked take_parameter(const Field& f, std::string_view name, chat::Request& request) {
  if (name == "model") return take_string(f, kModelBytesMax, request.model);
  if (name == "max_output_tokens") return take_integer(f, 1, kIntMax, request.tokens_max);
  if (name == "temperature") return take_number(f, {0, 2}, request.sampling.temperature);
  if (name == "top_p") return take_number(f, {0, 1}, request.sampling.top_p);
  if (name == "stream") return take_boolean(f, request.stream);
  if (name == "tools") return take_tools(f, request);
  if (name == "tool_choice") {
    // A choice among the dialect's own tools stays as it is.
    const std::string_view type = string_at(f.value, "type");
    if (f.value.is_string() || type == "function" || type == "custom" || type == "allowed_tools")
      return take_openai_tool_choice(f, request.tool_choice);
    request.extras.set(name, f.value);
    return {};
  }
  if (name == "parallel_tool_calls") return take_boolean(f, request.parallel_tools.emplace(false));
  if (name == "text") return take_text_options(f, request);
  if (name == "reasoning") return take_reasoning_options(f, request);
  if (name == "user") return take_string(f, kShortBytesMax, request.user);
  if (name == "metadata") {
    request.metadata = f.value;
    return check_object(f);
  }
  request.extras.set(name, f.value);
  return {};
}

}  // namespace

Decoded<chat::Request> decode_responses_request(std::string_view body) {
  Decoded<Json> value = parse_body(body);
  if (!value) return tl::unexpected<Fault>(value.error());
  chat::Request request;
  request.dialect = kOwn;
  Checked ok;
  if (const Json* instructions = get(*value, "instructions")) {
    chat::Message message;
    message.role = chat::Role::kSystem;
    message.is_apart = true;
    ok = take_content({*instructions, "instructions"}, message.parts);
    if (!ok) return tl::unexpected<Fault>(std::move(ok.error()));
    request.messages.push_back(std::move(message));
  }
  if (const Json* input = get(*value, "input")) {
    ok = take_input({*input, "input"}, request);
  } else if (get(*value, "previous_response_id") == nullptr && get(*value, "prompt") == nullptr) {
    ok = refuse(missing_parameter("input"));
  }
  if (!ok) return tl::unexpected<Fault>(std::move(ok.error()));
  for (const JsonMember& m : value->as_object()) {
    if (m.second.is_null() || m.first == "input" || m.first == "instructions") continue;
    if (ok = take_parameter({m.second, m.first}, m.first, request); !ok)
      return tl::unexpected<Fault>(std::move(ok.error()));
  }
  if (request.model.empty()) return tl::unexpected<Fault>(missing_parameter("model"));
  return request;
}

}  // namespace cresset::wire
