// OpenAI's Responses API, as /v1/responses speaks it. Source of the shapes: OpenAI's API reference and the
// types of its Python client 3.57.0.
//
// An item of the input is a message of the vocabulary: one part for a tool call or its output, all parts of a
// message. Response objects are not stored here: previous_response_id goes to a provider that has them.
#pragma once

#include <string>

#include "wire/codec.h"

namespace cresset::wire {

const Codec& openai_responses_codec();

Decoded<chat::Request> decode_responses_request(std::string_view body);
std::string encode_responses_request(const chat::Request& request, const Target& target, Dropped& dropped);
std::string encode_responses_answer(const chat::Request& request, const Answer& answer,
                                    const AnswerIdentity& identity);
std::unique_ptr<StreamEncoder> make_responses_stream_encoder(const chat::Request& request,
                                                             AnswerIdentity identity);
Decoded<std::vector<chat::Event>> decode_responses_answer(std::string_view body);
std::unique_ptr<StreamDecoder> make_responses_stream_decoder();

}  // namespace cresset::wire
