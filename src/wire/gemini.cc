#include "wire/gemini.h"

#include <utility>

#include "wire/limits.h"
#include "wire/own_engine.h"

namespace cresset::wire {

namespace {

class GeminiCodec final : public Codec {
 public:
  std::string_view name() const override { return "gemini"; }
  chat::Dialect dialect() const override { return chat::Dialect::kGemini; }
  std::string_view id_prefix() const override { return ""; }

  Decoded<chat::Request> decode_request(std::string_view body) const override {
    return decode_gemini_request(body);
  }
  std::string encode_request(const chat::Request& request, const Target&, Dropped& dropped) const override {
    return encode_gemini_request(request, dropped);
  }
  Checked check_own(const chat::Request& request) const override {
    ParameterNames names;
    names.messages = "contents";
    names.content = "parts";
    names.system = "systemInstruction";
    names.tool_choice = "toolConfig";
    names.format = "generationConfig.responseSchema";
    names.thinking = "generationConfig.thinkingConfig";
    if (Checked ok = check_own_vocabulary(request, names); !ok) return ok;
    return check_own_extras(request.extras, {"safetySettings", "labels"});
  }
  std::string encode_answer(const chat::Request&, const Answer& answer,
                            const AnswerIdentity& identity) const override {
    return encode_gemini_answer(answer, identity);
  }
  std::unique_ptr<StreamEncoder> make_stream_encoder(const chat::Request& request,
                                                     AnswerIdentity identity) const override {
    return make_gemini_stream_encoder(request, std::move(identity));
  }
  std::string encode_error(const Fault& fault) const override { return encode_gemini_error(fault); }
  // Google's own clients read no comments.
  std::string_view ping() const override { return ""; }

  Decoded<std::vector<chat::Event>> decode_answer(const chat::Request& asked,
                                                  std::string_view body) const override {
    return decode_gemini_answer(asked, body);
  }
  std::unique_ptr<StreamDecoder> make_stream_decoder(const chat::Request& asked) const override {
    return make_gemini_stream_decoder(asked);
  }
  std::string request_path(std::string_view name, bool stream) const override {
    std::string model;
    for (const char c : name) {
      const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '.' || c == '_' || c == '/';
      constexpr char kHex[] = "0123456789ABCDEF";
      if (is_plain) {
        model += c;
      } else {
        const auto byte = static_cast<unsigned char>(c);
        model += {'%', kHex[byte >> 4], kHex[byte & 15]};
      }
    }
    const bool is_named = model.starts_with("models/") || model.starts_with("tunedModels/");
    return "/v1beta/" + std::string(is_named ? "" : "models/") + model +
           (stream ? ":streamGenerateContent?alt=sse" : ":generateContent");
  }
  int choices_max() const override { return 8; }
};

std::string_view status_word(int status) {
  switch (status) {
    case 400:
    case 405:
    case 413:
    case 415:
      return "INVALID_ARGUMENT";
    case 401:
      return "UNAUTHENTICATED";
    case 403:
      return "PERMISSION_DENIED";
    case 404:
      return "NOT_FOUND";
    case 429:
      return "RESOURCE_EXHAUSTED";
    case 503:
    case 529:
      return "UNAVAILABLE";
    case 504:
      return "DEADLINE_EXCEEDED";
    default:
      return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
  }
}

}  // namespace

const Codec& gemini_codec() {
  static const GeminiCodec codec;
  return codec;
}

std::string encode_gemini_error(const Fault& fault) {
  const int status = http_status(fault);
  Json error = Json::object({{"code", status}, {"message", fault.message}, {"status", status_word(status)}});
  if (fault.retry_after_s > 0) {
    error.set("details",
              Json::array({Json::object({{"@type", "type.googleapis.com/google.rpc.RetryInfo"},
                                         {"retryDelay", std::to_string(fault.retry_after_s) + "s"}})}));
  }
  return Json::object({{"error", std::move(error)}}).write();
}

}  // namespace cresset::wire
