// Google's Gemini API (AI Studio): generateContent, streamGenerateContent, countTokens. The model and whether
// to stream stand in the address, not in the body. Source of the shapes: Google's API reference and the types
// of google-genai 3.6.1.
//
// A function call without an id is given one ("gemcall_…"), which Google never sees again.
#pragma once

#include <string>

#include "wire/codec.h"

namespace cresset::wire {

const Codec& gemini_codec();

// {"error":{"code","message","status"}}
std::string encode_gemini_error(const Fault& fault);

Decoded<chat::Request> decode_gemini_request(std::string_view body);
std::string encode_gemini_request(const chat::Request& request, Dropped& dropped);
std::string encode_gemini_answer(const Answer& answer, const AnswerIdentity& identity);
std::unique_ptr<StreamEncoder> make_gemini_stream_encoder(const chat::Request& request,
                                                          AnswerIdentity identity);
Decoded<std::vector<chat::Event>> decode_gemini_answer(const chat::Request& asked, std::string_view body);
std::unique_ptr<StreamDecoder> make_gemini_stream_decoder(const chat::Request& asked);

constexpr std::string_view kGeminiCallPrefix = "gemcall_";

}  // namespace cresset::wire
