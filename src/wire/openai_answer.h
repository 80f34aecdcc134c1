// The answer half of openai_chat: whole answers and streams, log-probabilities and usage. Only openai_chat.cc
// includes it.
#pragma once

#include <memory>
#include <string>

#include "wire/codec.h"

namespace cresset::wire {

std::string encode_chat_answer(const chat::Request& request, const Answer& answer,
                               const AnswerIdentity& identity);
std::string encode_completion_answer(const chat::Request& request, const Answer& answer,
                                     const AnswerIdentity& identity);
std::unique_ptr<StreamEncoder> make_chat_stream_encoder(const chat::Request& request,
                                                        AnswerIdentity identity);
std::unique_ptr<StreamEncoder> make_completion_stream_encoder(const chat::Request& request,
                                                              AnswerIdentity identity);

// The provider's side (openai_answer_decode.cc).
Decoded<std::vector<chat::Event>> decode_chat_answer(const chat::Request& asked, std::string_view body);
std::unique_ptr<StreamDecoder> make_chat_stream_decoder(const chat::Request& asked);

}  // namespace cresset::wire
