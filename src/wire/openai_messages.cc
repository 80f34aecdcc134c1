#include <utility>

#include "wire/openai_chat.h"
#include "wire/openai_request.h"

namespace cresset::wire {

namespace {

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

bool is_empty(const Json& value) {
  return value.is_null() || (value.is_array() && value.as_array().empty());
}

struct RoleName {
  std::string_view name;
  chat::Role role;
};
constexpr RoleName kRoles[] = {{"system", chat::Role::kSystem},
                               {"developer", chat::Role::kDeveloper},
                               {"user", chat::Role::kUser},
                               {"assistant", chat::Role::kAssistant}};

Checked take_role(const Field& field, chat::Role& out) {
  if (!field.value.is_string()) return refuse(wrong_type(field, "a string"));
  const std::string& name = field.value.as_string();
  for (const RoleName& role : kRoles) {
    if (role.name == name) {
      out = role.role;
      return {};
    }
  }
  if (name == "tool" || name == "function") {
    return refuse(unsupported_value(field.path, "does not support '" + name + "': this model has no tools."));
  }
  return refuse(
      invalid_value(field.path, "supported values are 'system', 'developer', 'user' and 'assistant'."));
}

Checked take_part(const Field& field, chat::Message& message) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json* type = field.value.find("type");
  if (type == nullptr) return refuse(missing_parameter(field.path + ".type"));
  if (!type->is_string()) return refuse(wrong_type({*type, field.path + ".type"}, "a string"));
  if (type->as_string() != "text") {
    return refuse(
        unsupported_value(field.path, "is of type " + type->write().substr(0, 64) +
                                          ", which this model cannot read. Only parts of type 'text' are."));
  }
  const Json* text = nullptr;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first == "text") text = &m.second;
    if (m.first != "text" && m.first != "type" && !m.second.is_null()) {
      return refuse(unknown_parameter(field.member(m).path));
    }
  }
  if (text == nullptr) return refuse(missing_parameter(field.path + ".text"));
  if (!text->is_string()) return refuse(wrong_type({*text, field.path + ".text"}, "a string"));
  message.parts.push_back({chat::Text{text->as_string()}, {}});
  return {};
}

Checked take_content(const Field& field, chat::Message& message) {
  if (field.value.is_string()) {
    message.parts.push_back({chat::Text{field.value.as_string()}, {}});
    return {};
  }
  if (!field.value.is_array()) return refuse(wrong_type(field, "a string or an array of parts"));
  if (Checked ok = check_array(field, 1, kPartsMax); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    if (Checked ok = take_part(field.item(i), message); !ok) return ok;
  }
  return {};
}

// What an assistant's message may say beside its content. A client sends back the message it was given, so
// the members that were null or empty there pass.
Checked check_assistant_member(const Field& field, std::string_view name) {
  if (is_empty(field.value)) return {};
  if (name == "tool_calls" || name == "function_call") {
    return refuse(unsupported_parameter(field.path, "is not supported: this model has no tools."));
  }
  if (name == "refusal" || name == "audio" || name == "annotations" || name == "reasoning_content") {
    return refuse(unsupported_parameter(field.path, "is not supported by this model."));
  }
  return refuse(unknown_parameter(field.path));
}

Checked take_message(const Field& field, chat::Message& message) {
  if (Checked ok = check_object(field); !ok) return ok;
  const Json* role = field.value.find("role");
  if (role == nullptr) return refuse(missing_parameter(field.path + ".role"));
  if (Checked ok = take_role({*role, field.path + ".role"}, message.role); !ok) return ok;
  const Json* content = nullptr;
  for (const JsonMember& m : field.value.as_object()) {
    const Field member = field.member(m);
    Checked ok;
    if (m.first == "role") continue;
    if (m.first == "content") {
      content = &m.second;
    } else if (m.first == "name") {
      if (!m.second.is_null()) ok = take_string(member, kShortBytesMax, message.name);
    } else if (message.role == chat::Role::kAssistant) {
      ok = check_assistant_member(member, m.first);
    } else if (!m.second.is_null()) {
      ok = refuse(unknown_parameter(member.path));
    }
    if (!ok) return ok;
  }
  if (content == nullptr) return refuse(missing_parameter(field.path + ".content"));
  return take_content({*content, field.path + ".content"}, message);
}

}  // namespace

Checked take_messages(const Field& field, std::vector<chat::Message>& out) {
  if (Checked ok = check_array(field, 1, kMessagesMax); !ok) return ok;
  out.resize(field.value.as_array().size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (Checked ok = take_message(field.item(i), out[i]); !ok) return ok;
  }
  return {};
}

Json encode_messages(const std::vector<chat::Message>& messages) {
  JsonArray out;
  for (const chat::Message& message : messages) {
    Json item = Json::object();
    for (const RoleName& role : kRoles) {
      if (role.role == message.role) item.set("role", role.name);
    }
    if (!message.name.empty()) item.set("name", message.name);
    if (message.parts.size() == 1) {
      item.set("content", message.text());
    } else {
      JsonArray parts;
      for (const chat::Part& part : message.parts) {
        if (const auto* text = std::get_if<chat::Text>(&part.body)) {
          parts.push_back(Json::object({{"type", "text"}, {"text", text->text}}));
        }
      }
      item.set("content", std::move(parts));
    }
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace cresset::wire
