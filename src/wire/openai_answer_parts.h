// The pieces that whole answers and streams of OpenAI's endpoints have in common. Only openai_answer*.cc
// include it. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "wire/codec.h"

namespace cresset::wire {

std::string_view finish_reason(chat::FinishReason reason);
Json reason_value(const std::optional<chat::FinishReason>& reason);
Json usage_value(const chat::Usage& usage);
// The members that an answer and every chunk of a stream begin with.
Json answer_head(std::string_view object, const AnswerIdentity& identity);
// What else a provider of this dialect says of a choice, as members after its own.
void write_choice_extras(const Json& extras, std::string& out);
// A part that comes whole, as a message of this dialect can say it.
void add_whole(const chat::Part& part, const AnswerIdentity& identity, Json& message);

}  // namespace cresset::wire
