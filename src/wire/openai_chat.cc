#include "wire/openai_chat.h"

#include <utility>

#include "wire/openai_answer.h"
#include "wire/openai_request.h"

namespace cresset::wire {

namespace {

class OpenAiCodec final : public Codec {
 public:
  explicit OpenAiCodec(OpenAiEndpoint endpoint) : endpoint_(endpoint) {}

  std::string_view name() const override { return is_chat() ? "openai_chat" : "openai_completions"; }
  chat::Dialect dialect() const override {
    return is_chat() ? chat::Dialect::kOpenAiChat : chat::Dialect::kOpenAiCompletions;
  }
  std::string_view id_prefix() const override { return is_chat() ? "chatcmpl-" : "cmpl-"; }

  Decoded<chat::Request> decode_request(std::string_view body) const override {
    return decode_openai_request(endpoint_, body);
  }
  std::string encode_request(const chat::Request& request, const Target& target,
                             Dropped& dropped) const override {
    return encode_openai_request(request, target, dropped);
  }
  Checked check_own(const chat::Request& request) const override {
    return check_openai_own(endpoint_, request);
  }

  std::string encode_answer(const chat::Request& request, const Answer& answer,
                            const AnswerIdentity& identity) const override {
    return is_chat() ? encode_chat_answer(request, answer, identity)
                     : encode_completion_answer(request, answer, identity);
  }
  std::unique_ptr<StreamEncoder> make_stream_encoder(const chat::Request& request,
                                                     AnswerIdentity identity) const override {
    return is_chat() ? make_chat_stream_encoder(request, std::move(identity))
                     : make_completion_stream_encoder(request, std::move(identity));
  }
  std::string encode_error(const Fault& fault) const override { return encode_openai_error(fault); }
  Decoded<std::vector<chat::Event>> decode_answer(const chat::Request& asked,
                                                  std::string_view body) const override {
    return decode_chat_answer(asked, body);
  }
  std::unique_ptr<StreamDecoder> make_stream_decoder(const chat::Request& asked) const override {
    return make_chat_stream_decoder(asked);
  }
  std::string request_path(std::string_view, bool) const override { return "/chat/completions"; }
  int choices_max() const override { return kSequencesMax; }

 private:
  bool is_chat() const { return endpoint_ == OpenAiEndpoint::kChat; }
  OpenAiEndpoint endpoint_;
};

Json string_or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

Json model_value(const OpenAiModel& model) {
  Json out = Json::object({{"id", model.id},
                           {"object", "model"},
                           {"created", model.created_unix_s},
                           {"owned_by", model.owned_by}});
  if (model.extra.is_object()) {
    for (const JsonMember& m : model.extra.as_object()) out.set(m.first, m.second);
  }
  return out;
}

}  // namespace

const Codec& openai_chat_codec() {
  static const OpenAiCodec codec(OpenAiEndpoint::kChat);
  return codec;
}

const Codec& openai_completions_codec() {
  static const OpenAiCodec codec(OpenAiEndpoint::kCompletions);
  return codec;
}

std::string encode_openai_error(const Fault& fault) {
  const int status = http_status(fault);
  const std::string_view type = status == 429   ? "rate_limit_error"
                                : status >= 500 ? "server_error"
                                                : "invalid_request_error";
  return Json::object({{"error", Json::object({{"message", fault.message},
                                               {"type", type},
                                               {"param", string_or_null(fault.param)},
                                               {"code", string_or_null(fault.reason)}})}})
      .write();
}

std::string encode_openai_model(const OpenAiModel& model) {
  return model_value(model).write();
}

std::string encode_openai_model_list(std::span<const OpenAiModel> models) {
  JsonArray data;
  for (const OpenAiModel& model : models) data.push_back(model_value(model));
  return Json::object({{"object", "list"}, {"data", std::move(data)}}).write();
}

}  // namespace cresset::wire
