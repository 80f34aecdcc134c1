#include "wire/turns.h"

#include <utility>

namespace cresset::wire {

namespace {

// 0: apart; 1: the user's side; 2: the assistant's.
int side_of(chat::Role role) {
  switch (role) {
    case chat::Role::kUser:
    case chat::Role::kTool:
      return 1;
    case chat::Role::kAssistant:
      return 2;
    case chat::Role::kSystem:
    case chat::Role::kDeveloper:
      break;
  }
  return 0;
}

}  // namespace

std::vector<chat::Message> join_turns(const std::vector<chat::Message>& messages) {
  std::vector<chat::Message> out;
  for (const chat::Message& message : messages) {
    const int side = side_of(message.role);
    if (side == 0 || out.empty() || side_of(out.back().role) != side) {
      out.push_back(message);
      if (side == 1) out.back().role = chat::Role::kUser;
      continue;
    }
    out.back().parts.insert(out.back().parts.end(), message.parts.begin(), message.parts.end());
  }
  return out;
}

Split split_system(const std::vector<chat::Message>& messages) {
  Split out;
  for (const chat::Message& message : messages) {
    if (side_of(message.role) == 0) {
      out.system.insert(out.system.end(), message.parts.begin(), message.parts.end());
    } else {
      out.rest.push_back(message);
    }
  }
  return out;
}

std::string tool_name_of(const std::vector<chat::Message>& messages, const chat::ToolResult& result) {
  if (!result.name.empty()) return result.name;
  for (const chat::Message& message : messages) {
    for (const chat::Part& part : message.parts) {
      const auto* call = std::get_if<chat::ToolCall>(&part.body);
      if (call != nullptr && call->id == result.id) return call->name;
    }
  }
  return {};
}

}  // namespace cresset::wire
