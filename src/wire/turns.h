// Turns: messages as the dialects want them that know no two turns of one side in a row. Pure.
#pragma once

#include <string>
#include <vector>

#include "chat/request.h"

namespace cresset::wire {

// Consecutive messages of one side (user and tool are one) become one message; names are kept of the first.
// System and developer messages are not touched.
std::vector<chat::Message> join_turns(const std::vector<chat::Message>& messages);

// System and developer messages wherever they stand: their parts in order; and what is left.
struct Split {
  std::vector<chat::Part> system;
  std::vector<chat::Message> rest;
};
Split split_system(const std::vector<chat::Message>& messages);

// The name of the tool that a result answers: from the call with its id; empty: unknown.
std::string tool_name_of(const std::vector<chat::Message>& messages, const chat::ToolResult& result);

}  // namespace cresset::wire
