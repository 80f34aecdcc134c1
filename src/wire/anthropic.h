// Anthropic's Messages API, as /v1/messages and /v1/messages/count_tokens speak it (version 2023-06-01).
// Source of the shapes: Anthropic's API reference and the types of its Python client 2.13.0.
#pragma once

#include <string>

#include "wire/codec.h"
#include "wire/field.h"

namespace cresset::wire {

const Codec& anthropic_codec();

// {"type":"error","error":{"type","message"}}
std::string encode_anthropic_error(const Fault& fault);

// The halves (anthropic_request.cc, _request_encode.cc, _answer.cc, _answer_decode.cc).
Decoded<chat::Request> decode_anthropic_request(std::string_view body);
std::string encode_anthropic_request(const chat::Request& request, const Target& target, Dropped& dropped);
std::string encode_anthropic_answer(const Answer& answer, const AnswerIdentity& identity);
std::unique_ptr<StreamEncoder> make_anthropic_stream_encoder(AnswerIdentity identity);
Decoded<std::vector<chat::Event>> decode_anthropic_answer(const chat::Request& asked, std::string_view body);
std::unique_ptr<StreamDecoder> make_anthropic_stream_decoder(const chat::Request& asked);

// A tool call's arguments as the object that this dialect wants, and back. What is not JSON travels as
// {"INVALID_JSON": "…"}, as Anthropic's documentation has it for tools streamed as they are written.
Json arguments_object(const std::string& arguments, bool is_custom);
std::string arguments_text(const Json& object);
// A custom tool (free text) is told as a function with one member, "input".
Json custom_tool_schema();
bool is_custom_tool(const chat::Request& request, std::string_view name);
std::string custom_input(const std::string& arguments);

}  // namespace cresset::wire
