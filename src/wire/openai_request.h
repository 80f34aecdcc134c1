// The request half of openai_chat: bodies to chat::Request and back. Only the openai_ files include it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chat/request.h"
#include "wire/dropped.h"
#include "wire/fault.h"
#include "wire/field.h"
#include "wire/openai_chat.h"

namespace cresset::wire {

enum class OpenAiEndpoint : unsigned { kChat = 1, kCompletions = 2 };

Decoded<chat::Request> decode_openai_request(OpenAiEndpoint endpoint, std::string_view body);
std::string encode_openai_request(const chat::Request& request, const Target& target, Dropped& dropped);
Checked check_openai_own(OpenAiEndpoint endpoint, const chat::Request& request);

// "messages" (openai_messages.cc, openai_messages_encode.cc).
Checked take_messages(const Field& field, std::vector<chat::Message>& out);
Json encode_messages(const chat::Request& request, Dropped& dropped);

// "reasoning_details": OpenRouter's shape for thoughts that carry a signature, in messages and in answers.
std::vector<chat::Part> read_reasoning_details(const JsonArray& details);
Json reasoning_detail(const chat::Reasoning& reasoning, std::string_view signature, const Json& extras);

}  // namespace cresset::wire
