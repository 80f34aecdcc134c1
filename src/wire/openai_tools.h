// Tools, tool choice and answer formats in the shapes of OpenAI's Chat Completions. The Responses API has the
// same without the inner object, see openai_responses_request.cc.
#pragma once

#include <optional>
#include <vector>

#include "chat/request.h"
#include "wire/dropped.h"
#include "wire/fault.h"
#include "wire/field.h"
#include "wire/limits.h"
#include "wire/tool_members.h"

namespace cresset::wire {

Checked take_openai_tools(const Field& field, std::vector<chat::Tool>& out);
Checked take_openai_tool_choice(const Field& field, std::optional<chat::ToolChoice>& out);
Checked take_response_format(const Field& field, std::optional<chat::Format>& out);

// `same`: the request is of this dialect, so extras go along; what cannot is added to `dropped`.
Json encode_openai_tools(const std::vector<chat::Tool>& tools, bool same, Dropped& dropped);
Json encode_openai_tool_choice(const chat::ToolChoice& choice);
Json encode_response_format(const chat::Format& format);

// The members that a JSON schema format has in both of OpenAI's dialects.
Checked take_schema_members(const Field& field, chat::Format& out);
void set_schema_members(const chat::Format& format, Json& out);

}  // namespace cresset::wire
