// What the own engine can honour of a request, in the names of the client's dialect. Until it can call tools,
// see images and follow a grammar, such requests are refused by name, never half answered. Pure functions.
#pragma once

#include <initializer_list>
#include <string_view>

#include "chat/request.h"
#include "wire/fault.h"

namespace cresset::wire {

// How a dialect calls what the vocabulary has.
struct ParameterNames {
  std::string_view messages = "messages";
  std::string_view content = "content";
  std::string_view system{};  // where leading system messages stand apart; empty: among the messages
  std::string_view tools = "tools";
  std::string_view tool_choice = "tool_choice";
  std::string_view parallel = "parallel_tool_calls";
  std::string_view format = "response_format";
  std::string_view thinking = "reasoning_effort";
  std::string_view effort_default = "medium";  // asks for nothing
};

// Everything but the request's extras.
Checked check_own_vocabulary(const chat::Request& request, const ParameterNames& names);
// The extras: those named pass, since they change no answer; any other is unknown here.
Checked check_own_extras(const Json& extras, std::initializer_list<std::string_view> harmless);

}  // namespace cresset::wire
