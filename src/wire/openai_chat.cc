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
  std::string_view id_prefix() const override { return is_chat() ? "chatcmpl-" : "cmpl-"; }

  Decoded<chat::Request> decode_request(std::string_view body) const override {
    return decode_openai_request(endpoint_, body);
  }
  std::string encode_request(const chat::Request& request) const override {
    return encode_openai_request(request);
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
  std::string_view stream_content_type() const override { return "text/event-stream; charset=utf-8"; }
  std::string_view ping() const override { return ": ping\n\n"; }

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
  const std::string_view type = http_status(fault) >= 500 ? "server_error" : "invalid_request_error";
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
