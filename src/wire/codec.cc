#include "wire/codec.h"

#include <algorithm>

#include "base/check.h"
#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"
#include "wire/provider_fault.h"

namespace cresset::wire {

int count_choices(const chat::Request& request) {
  return static_cast<int>(std::max<size_t>(request.prompts.size(), 1)) * request.choices;
}

Decoded<std::vector<chat::Event>> Codec::decode_answer(const chat::Request&, std::string_view) const {
  return tl::unexpected<Fault>(not_an_answer());
}

std::unique_ptr<StreamDecoder> Codec::make_stream_decoder(const chat::Request&) const {
  constexpr bool kIsProviderDialect = false;  // Ollama's is for clients only
  CHECK(kIsProviderDialect);
  return nullptr;
}

chat::Failed Codec::decode_error(int status, std::string_view body) const {
  return failed_from_body(status, body);
}

std::string Codec::request_path(std::string_view, bool) const {
  return {};
}

const Codec* find_provider_codec(chat::Dialect dialect) {
  switch (dialect) {
    case chat::Dialect::kOpenAiChat:
      return &openai_chat_codec();
    case chat::Dialect::kOpenAiResponses:
      return &openai_responses_codec();
    case chat::Dialect::kAnthropic:
      return &anthropic_codec();
    case chat::Dialect::kGemini:
      return &gemini_codec();
    case chat::Dialect::kOpenAiCompletions:
    case chat::Dialect::kOllama:
    case chat::Dialect::kNone:
      break;
  }
  return nullptr;
}

}  // namespace cresset::wire
