#include "wire/openai_responses.h"

#include <utility>

#include "wire/openai_chat.h"
#include "wire/own_engine.h"

namespace cresset::wire {

namespace {

class ResponsesCodec final : public Codec {
 public:
  std::string_view name() const override { return "openai_responses"; }
  chat::Dialect dialect() const override { return chat::Dialect::kOpenAiResponses; }
  std::string_view id_prefix() const override { return "resp_"; }

  Decoded<chat::Request> decode_request(std::string_view body) const override {
    return decode_responses_request(body);
  }
  std::string encode_request(const chat::Request& request, const Target& target,
                             Dropped& dropped) const override {
    return encode_responses_request(request, target, dropped);
  }
  Checked check_own(const chat::Request& request) const override {
    ParameterNames names;
    names.messages = "input";
    names.system = "instructions";
    names.format = "text.format";
    names.thinking = "reasoning.effort";
    chat::Request bare = request;
    for (chat::Message& message : bare.messages) message.extras = {};  // ids and states of replayed items
    if (Checked ok = check_own_vocabulary(bare, names); !ok) return ok;
    // Nothing is stored here, so what refers to a stored answer is refused by its name.
    return check_own_extras(request.extras,
                            {"include", "store", "service_tier", "prompt_cache_key", "safety_identifier",
                             "truncation", "text", "reasoning", "client_metadata", "prompt_cache_retention"});
  }
  std::string encode_answer(const chat::Request& request, const Answer& answer,
                            const AnswerIdentity& identity) const override {
    return encode_responses_answer(request, answer, identity);
  }
  std::unique_ptr<StreamEncoder> make_stream_encoder(const chat::Request& request,
                                                     AnswerIdentity identity) const override {
    return make_responses_stream_encoder(request, std::move(identity));
  }
  std::string encode_error(const Fault& fault) const override { return encode_openai_error(fault); }

  Decoded<std::vector<chat::Event>> decode_answer(const chat::Request&,
                                                  std::string_view body) const override {
    return decode_responses_answer(body);
  }
  std::unique_ptr<StreamDecoder> make_stream_decoder(const chat::Request&) const override {
    return make_responses_stream_decoder();
  }
  std::string request_path(std::string_view, bool) const override { return "/responses"; }
};

}  // namespace

const Codec& openai_responses_codec() {
  static const ResponsesCodec codec;
  return codec;
}

}  // namespace cresset::wire
