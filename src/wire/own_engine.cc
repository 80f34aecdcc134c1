#include "wire/own_engine.h"

#include <algorithm>
#include <string>
#include <utility>

namespace cresset::wire {

namespace {

constexpr std::string_view kNotBuilt = "is not supported by this model.";

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

Checked refuse_parameter(std::string_view name) {
  return refuse(unsupported_parameter(std::string(name), kNotBuilt));
}

std::string item(std::string_view list, size_t index) {
  return std::string(list) + "[" + std::to_string(index) + "]";
}

Checked check_part(const chat::Part& part, const std::string& message, const std::string& place) {
  if (std::holds_alternative<chat::ToolResult>(part.body))
    return refuse(unsupported_value(message + ".role", "does not support tools: this model has none."));
  if (std::holds_alternative<chat::ToolCall>(part.body))
    return refuse(
        unsupported_parameter(message + ".tool_calls", "is not supported: this model has no tools."));
  if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body); reasoning != nullptr)
    return refuse_parameter(message + ".reasoning_content");
  const auto* text = std::get_if<chat::Text>(&part.body);
  if (text == nullptr) {
    return refuse(unsupported_value(place, "is of a kind that this model cannot read. Only text is."));
  }
  if (part.extras.is_object() && !part.extras.as_object().empty())
    return refuse(unknown_parameter(place + "." + part.extras.as_object()[0].first));
  return {};
}

}  // namespace

Checked check_own_vocabulary(const chat::Request& request, const ParameterNames& names) {
  if (!request.tools.empty()) return refuse_parameter(names.tools);
  if (request.tool_choice) {
    const chat::ToolChoice& choice = *request.tool_choice;
    if (choice.mode == chat::ToolChoice::Mode::kAny || choice.mode == chat::ToolChoice::Mode::kNamed)
      return refuse(
          unsupported_value(std::string(names.tool_choice), "asks for a tool, and this model has no tools."));
  }
  if (request.parallel_tools && !*request.parallel_tools)
    return refuse(unsupported_value(std::string(names.parallel), "does not support false here."));
  if (request.format && request.format->kind != chat::Format::Kind::kText) {
    return refuse(unsupported_value(
        std::string(names.format),
        std::string("of type ") +
            (request.format->kind == chat::Format::Kind::kJson ? "\"json_object\" " : "\"json_schema\" ") +
            std::string(kNotBuilt)));
  }
  const chat::Thinking& thinking = request.thinking;
  const bool asks_nothing =
      thinking.effort.empty() || thinking.effort == "none" || thinking.effort == names.effort_default;
  if (thinking.mode == chat::Thinking::Mode::kOn || !asks_nothing || thinking.is_shown.value_or(false))
    return refuse(unsupported_value(std::string(names.thinking), "asks for more than this model can do."));
  size_t apart = 0;
  while (apart < request.messages.size() && request.messages[apart].is_apart) ++apart;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const chat::Message& m = request.messages[i];
    const std::string place = i < apart ? std::string(names.system) : item(names.messages, i - apart);
    if (m.extras.is_object() && !m.extras.as_object().empty()) {
      const std::string& name = m.extras.as_object()[0].first;
      return refuse(unknown_parameter(place + "." + name));
    }
    for (size_t p = 0; p < m.parts.size(); ++p) {
      const std::string content =
          i < apart ? item(place, p) : item(place + "." + std::string(names.content), p);
      if (Checked ok = check_part(m.parts[p], place, content); !ok) return ok;
    }
  }
  return {};
}

Checked check_own_extras(const Json& extras, std::initializer_list<std::string_view> harmless) {
  if (!extras.is_object()) return {};
  for (const JsonMember& m : extras.as_object()) {
    if (std::find(harmless.begin(), harmless.end(), m.first) == harmless.end())
      return refuse(unknown_parameter(m.first.substr(0, 512)));
  }
  return {};
}

}  // namespace cresset::wire
