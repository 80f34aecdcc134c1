// The request half of openai_chat: bodies to chat::Request and back. Only openai_chat.cc includes it.
#pragma once

#include <string>
#include <string_view>

#include "chat/request.h"
#include "wire/fault.h"
#include "wire/field.h"

namespace cresset::wire {

enum class OpenAiEndpoint : unsigned { kChat = 1, kCompletions = 2 };

Decoded<chat::Request> decode_openai_request(OpenAiEndpoint endpoint, std::string_view body);
std::string encode_openai_request(const chat::Request& request);

// "messages" (openai_messages.cc).
Checked take_messages(const Field& field, std::vector<chat::Message>& out);
Json encode_messages(const std::vector<chat::Message>& messages);

}  // namespace cresset::wire
