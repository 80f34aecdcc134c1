// Any bytes as the body of a request: no crash, and what decodes says the same after encode and decode.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "wire/openai_chat.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const cresset::wire::Codec* codec :
       {&cresset::wire::openai_chat_codec(), &cresset::wire::openai_completions_codec()}) {
    const auto request = codec->decode_request(body);
    if (!request) {
      CHECK(cresset::wire::http_status(request.error()) == 400);
      CHECK(!codec->encode_error(request.error()).empty());
      continue;
    }
    const std::string encoded = codec->encode_request(*request);
    const auto again = codec->decode_request(encoded);
    CHECK(again.has_value());
    CHECK(codec->encode_request(*again) == encoded);
  }
  return 0;
}
