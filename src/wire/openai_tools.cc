#include "wire/openai_tools.h"

#include <utility>

#include "wire/lenient.h"

namespace cresset::wire {

namespace {

constexpr size_t kNameBytesMax = 512;

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

Checked take_function(const Field& field, chat::Tool& tool) {
  if (Checked ok = check_object(field); !ok) return ok;
  for (const JsonMember& m : field.value.as_object()) {
    const Field member = field.member(m);
    if (m.second.is_null()) continue;
    const std::string_view schema_name = tool.kind == chat::Tool::Kind::kFunction ? "parameters" : "";
    const Checked ok = m.first == "name" ? take_string(member, kNameBytesMax, tool.name)
                                         : take_tool_member(member, m, schema_name, tool);
    if (!ok) return ok;
  }
  if (tool.name.empty()) return refuse(missing_parameter(field.path + ".name"));
  return {};
}

Checked take_tool(const Field& field, chat::Tool& tool) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json* type = get(field.value, "type");
  const std::string kind = type == nullptr ? "function" : type->is_string() ? type->as_string() : "";
  if (kind.empty()) return refuse(wrong_type({*type, field.path + ".type"}, "a string"));
  if (kind != "function" && kind != "custom") {
    tool.kind = chat::Tool::Kind::kOpaque;
    tool.name = kind;
    tool.extras = field.value;
    return {};
  }
  if (kind == "custom") tool.kind = chat::Tool::Kind::kCustom;
  const Json* inner = get(field.value, kind);
  if (inner == nullptr) return refuse(missing_parameter(field.path + "." + kind));
  if (const Json* cache = get(field.value, "cache_control")) tool.cache = *cache;
  return take_function({*inner, field.path + "." + kind}, tool);
}

}  // namespace

Checked take_openai_tools(const Field& field, std::vector<chat::Tool>& out) {
  if (Checked ok = check_array(field, 0, kToolsMax); !ok) return ok;
  out.resize(field.value.as_array().size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (Checked ok = take_tool(field.item(i), out[i]); !ok) return ok;
  }
  return {};
}

Json encode_openai_tools(const std::vector<chat::Tool>& tools, bool same, Dropped& dropped) {
  JsonArray out;
  for (const chat::Tool& tool : tools) {
    if (tool.kind == chat::Tool::Kind::kOpaque) {
      same ? out.push_back(tool.extras) : dropped.add("tools." + tool.name);
      continue;
    }
    const bool is_custom = tool.kind == chat::Tool::Kind::kCustom;
    Json inner = Json::object({{"name", tool.name}});
    if (!tool.description.empty()) inner.set("description", tool.description);
    if (!tool.schema.is_null() && !is_custom) inner.set("parameters", tool.schema);
    if (tool.is_strict) inner.set("strict", *tool.is_strict);
    same ? add_extras(inner, tool.extras) : dropped.add_members(tool.extras, "tools.");
    const char* type = is_custom ? "custom" : "function";
    Json item = Json::object({{"type", type}, {type, std::move(inner)}});
    if (!tool.cache.is_null()) {
      same ? item.set("cache_control", tool.cache) : dropped.add("tools.cache_control");
    }
    out.push_back(std::move(item));
  }
  return out;
}

Checked take_openai_tool_choice(const Field& field, std::optional<chat::ToolChoice>& out) {
  using Mode = chat::ToolChoice::Mode;
  chat::ToolChoice choice;
  if (field.value.is_string()) {
    const std::string& word = field.value.as_string();
    if (word != "auto" && word != "none" && word != "required")
      return check_one_of(field, {"none", "auto", "required"});
    choice.mode = word == "auto" ? Mode::kAuto : word == "none" ? Mode::kNone : Mode::kAny;
    out = std::move(choice);
    return {};
  }
  if (!field.value.is_object()) return refuse(wrong_type(field, "a string or an object"));
  const std::string_view type = string_at(field.value, "type");
  if (type == "allowed_tools") {
    const Json* inner = get(field.value, "allowed_tools");
    const Json& allowed = inner != nullptr ? *inner : field.value;
    choice.mode = string_at(allowed, "mode") == "required" ? Mode::kAny : Mode::kAuto;
    for (const Json& tool : array_at(allowed, "tools")) {
      const Json* function = get(tool, "function");
      const std::string_view name = string_at(function != nullptr ? *function : tool, "name");
      if (name.empty()) return refuse(invalid_value(field.path, "an allowed tool has no name."));
      choice.allowed.emplace_back(name);
    }
  } else {
    const Json* inner = get(field.value, type == "custom" ? "custom" : "function");
    const std::string_view name = string_at(inner != nullptr ? *inner : field.value, "name");
    if (name.empty()) return refuse(invalid_value(field.path, "names no tool."));
    choice.mode = Mode::kNamed;
    choice.name = name;
  }
  out = std::move(choice);
  return {};
}

Json encode_openai_tool_choice(const chat::ToolChoice& choice) {
  using Mode = chat::ToolChoice::Mode;
  if (!choice.allowed.empty()) {
    JsonArray tools;
    for (const std::string& name : choice.allowed)
      tools.push_back(Json::object({{"type", "function"}, {"function", Json::object({{"name", name}})}}));
    return Json::object(
        {{"type", "allowed_tools"},
         {"allowed_tools", Json::object({{"mode", choice.mode == Mode::kAny ? "required" : "auto"},
                                         {"tools", std::move(tools)}})}});
  }
  switch (choice.mode) {
    case Mode::kAuto:
      return "auto";
    case Mode::kNone:
      return "none";
    case Mode::kAny:
      return "required";
    case Mode::kNamed:
      break;
  }
  return Json::object({{"type", "function"}, {"function", Json::object({{"name", choice.name}})}});
}

Checked take_schema_members(const Field& field, chat::Format& out) {
  for (const JsonMember& m : field.value.as_object()) {
    const Field member = field.member(m);
    Checked ok;
    if (m.second.is_null() || m.first == "type") continue;
    if (m.first == "name") {
      ok = take_string(member, kNameBytesMax, out.name);
    } else if (m.first == "description") {
      ok = take_string(member, kToolTextBytesMax, out.description);
    } else if (m.first == "schema") {
      ok = check_object(member);
      out.schema = m.second;
    } else if (m.first == "strict") {
      ok = take_boolean(member, out.is_strict.emplace(false));
    } else {
      ok = refuse(unknown_parameter(member.path));
    }
    if (!ok) return ok;
  }
  return {};
}

void set_schema_members(const chat::Format& format, Json& out) {
  out.set("name", format.name.empty() ? "answer" : format.name);
  if (!format.description.empty()) out.set("description", format.description);
  if (!format.schema.is_null()) out.set("schema", format.schema);
  if (format.is_strict) out.set("strict", *format.is_strict);
}

Checked take_response_format(const Field& field, std::optional<chat::Format>& out) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json* type = get(field.value, "type");
  if (type == nullptr) return refuse(missing_parameter(field.path + ".type"));
  const Field type_field{*type, field.path + ".type"};
  if (Checked ok = check_one_of(type_field, {"text", "json_object", "json_schema"}); !ok) {
    if (ok.error().reason == "unsupported_value") ok.error().param = field.path;
    return ok;
  }
  chat::Format format;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first != "type" && m.first != "json_schema") return refuse(unknown_parameter(field.member(m).path));
  }
  if (type->as_string() == "json_object") format.kind = chat::Format::Kind::kJson;
  if (type->as_string() == "json_schema") {
    format.kind = chat::Format::Kind::kSchema;
    const Json* inner = get(field.value, "json_schema");
    if (inner == nullptr) return refuse(missing_parameter(field.path + ".json_schema"));
    const Field schema{*inner, field.path + ".json_schema"};
    if (Checked ok = check_object(schema); !ok) return ok;
    if (Checked ok = take_schema_members(schema, format); !ok) return ok;
  }
  out = std::move(format);
  return {};
}

Json encode_response_format(const chat::Format& format) {
  switch (format.kind) {
    case chat::Format::Kind::kText:
      return Json::object({{"type", "text"}});
    case chat::Format::Kind::kJson:
      return Json::object({{"type", "json_object"}});
    case chat::Format::Kind::kSchema:
      break;
  }
  Json inner = Json::object();
  set_schema_members(format, inner);
  return Json::object({{"type", "json_schema"}, {"json_schema", std::move(inner)}});
}

}  // namespace cresset::wire
