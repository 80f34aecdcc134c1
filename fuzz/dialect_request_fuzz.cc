// Any bytes as the body of a request in every dialect: no crash, what decodes says the same after encode and
// decode, and translates into every other dialect as something that decodes there.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/ollama.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"

using cresset::chat::Dialect;
namespace wire = cresset::wire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  constexpr Dialect kDialects[] = {Dialect::kOpenAiChat, Dialect::kOpenAiResponses, Dialect::kAnthropic,
                                   Dialect::kGemini};
  for (const wire::Codec* codec : {&wire::ollama_chat_codec(), &wire::ollama_generate_codec()}) {
    if (const auto request = codec->decode_request(body)) (void)codec->check_own(*request);
  }
  for (const Dialect dialect : kDialects) {
    const wire::Codec& codec = *wire::find_provider_codec(dialect);
    auto request = codec.decode_request(body);
    if (!request) {
      CHECK(wire::http_status(request.error()) == 400);
      CHECK(!codec.encode_error(request.error()).empty());
      continue;
    }
    (void)codec.check_own(*request);
    const std::string encoded = codec.encode_request(*request);
    const auto again = codec.decode_request(encoded);
    CHECK(again.has_value());
    if (request->model.empty()) request->model = "m";
    for (const Dialect other : kDialects) {
      wire::Dropped dropped;
      CHECK(cresset::parse_json(wire::find_provider_codec(other)->encode_request(*request, {}, dropped))
                .has_value());
    }
  }
  return 0;
}
