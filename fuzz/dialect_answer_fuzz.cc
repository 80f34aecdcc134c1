// Any bytes as a provider's answer, whole and as a stream cut where the first byte says: no crash, the same
// events however it is cut, nothing that the gate lets through breaks an encoder, and no encoder writes what
// is not its dialect.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "wire/anthropic.h"
#include "wire/event_gate.h"
#include "wire/gemini.h"
#include "wire/ollama.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"

using cresset::chat::Dialect;
namespace chat = cresset::chat;
namespace wire = cresset::wire;

namespace {

constexpr Dialect kDialects[] = {Dialect::kOpenAiChat, Dialect::kOpenAiResponses, Dialect::kAnthropic,
                                 Dialect::kGemini};

std::vector<chat::Event> read_stream(const wire::Codec& codec, std::string_view bytes, size_t cut) {
  std::vector<chat::Event> out;
  auto decoder = codec.make_stream_decoder({});
  if (!decoder->feed(bytes.substr(0, cut), out)) return out;
  if (!decoder->feed(bytes.substr(cut), out)) return out;
  (void)decoder->end(out);
  return out;
}

void tell(const std::vector<chat::Event>& events, Dialect origin) {
  wire::EventGate gate(1);
  wire::Answer answer(1);
  std::vector<std::unique_ptr<wire::StreamEncoder>> encoders;
  chat::Request asked;
  for (const Dialect dialect : kDialects)
    encoders.push_back(
        wire::find_provider_codec(dialect)->make_stream_encoder(asked, {"id_1", 0, "m", "", origin}));
  encoders.push_back(wire::ollama_chat_codec().make_stream_encoder(asked, {"id_1", 0, "m", "", origin}));
  for (const chat::Event& event : events) {
    if (!gate.check(event)) return;
    answer.add(event);
    std::string out;
    for (auto& encoder : encoders) encoder->encode(event, out);
  }
  if (!answer.is_complete()) return;
  for (const Dialect dialect : kDialects) {
    const wire::Codec& codec = *wire::find_provider_codec(dialect);
    CHECK(codec.decode_answer(asked, codec.encode_answer(asked, answer, {"id_1", 0, "m", "", origin}))
              .has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = bytes.empty() ? 0 : data[0] % (bytes.size() + 1);
  for (const Dialect dialect : kDialects) {
    const wire::Codec& codec = *wire::find_provider_codec(dialect);
    const auto whole = read_stream(codec, bytes, bytes.size());
    CHECK(read_stream(codec, bytes, cut).size() == whole.size());
    tell(whole, dialect);
    if (const auto events = codec.decode_answer({}, bytes)) tell(*events, dialect);
    CHECK(!codec.encode_error(wire::to_fault(codec.decode_error(429, bytes))).empty());
  }
  return 0;
}
