#include "wire/openai_answer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "wire/openai_chat.h"
#include "wire/openai_logprobs.h"

namespace cresset::wire {

namespace {

std::string_view finish_reason(chat::FinishReason reason) {
  return reason == chat::FinishReason::kLength ? "length" : "stop";
}

Json usage_value(const chat::Usage& usage) {
  return Json::object(
      {{"prompt_tokens", usage.prompt_tokens},
       {"completion_tokens", usage.completion_tokens},
       {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
       {"prompt_tokens_details", Json::object({{"cached_tokens", usage.cached_tokens}, {"audio_tokens", 0}})},
       {"completion_tokens_details", Json::object({{"reasoning_tokens", 0},
                                                   {"audio_tokens", 0},
                                                   {"accepted_prediction_tokens", 0},
                                                   {"rejected_prediction_tokens", 0}})}});
}

Json answer_head(std::string_view object, const AnswerIdentity& identity) {
  return Json::object(
      {{"id", identity.id},
       {"object", object},
       {"created", identity.created_unix_s},
       {"model", identity.model},
       {"system_fingerprint", identity.fingerprint.empty() ? Json() : Json(identity.fingerprint)}});
}

Json reason_value(const std::optional<chat::FinishReason>& reason) {
  return reason ? Json(finish_reason(*reason)) : Json();
}

// What the streams of both endpoints share: each chunk is the fixed head, one choice and the tail. The head
// is written once; per chunk only the choice is.
class ChunkEncoder : public StreamEncoder {
 public:
  ChunkEncoder(std::string_view object, const chat::Request& request, const AnswerIdentity& identity)
      : choices_(count_choices(request)), logprobs_(request.logprobs), include_usage_(request.include_usage) {
    head_ = "data: " + answer_head(object, identity).write();
    head_.back() = ',';
    head_ += "\"choices\":[";
    tail_ = include_usage_ ? "],\"usage\":null}\n\n" : "]}\n\n";
  }

  void encode(const chat::Event& event, std::string& out) final {
    if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      out += "data: " + encode_openai_error(to_fault(failed->error)) + "\n\n";
      return;
    }
    if (!begun_) {
      begun_ = true;
      for (int i = 0; i < choices_; ++i) encode_begin(i, out);
    }
    if (const auto* started = std::get_if<chat::Started>(&event)) {
      usage_.prompt_tokens = started->usage.prompt_tokens;
      usage_.cached_tokens = started->usage.cached_tokens;
    } else if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (!delta->text.empty() || (logprobs_ && !delta->tokens.empty())) encode_delta(*delta, out);
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      usage_.completion_tokens += finished->usage.completion_tokens;
      usage_.cached_tokens = std::max(usage_.cached_tokens, finished->usage.cached_tokens);
      encode_finish(*finished, out);
      if (++finished_ == choices_) encode_end(out);
    }
  }

 protected:
  virtual void encode_begin(int choice, std::string& out) = 0;
  virtual void encode_delta(const chat::TextDelta& delta, std::string& out) = 0;
  virtual void encode_finish(const chat::Finished& finished, std::string& out) = 0;

  void open_choice(int choice, std::string& out) const {
    out += head_;
    out += "{\"index\":";
    out += std::to_string(choice);
  }
  void close_choice(const Json& logprobs, std::string_view reason, std::string& out) const {
    out += ",\"logprobs\":";
    logprobs.write(out);
    out += ",\"finish_reason\":";
    if (reason.empty()) {
      out += "null";
    } else {
      write_json_string(out, reason);
    }
    out += '}';
    out += tail_;
  }
  bool has_logprobs(const chat::TextDelta& delta) const { return logprobs_ && !delta.tokens.empty(); }

 private:
  void encode_end(std::string& out) const {
    if (include_usage_) {
      out += head_;
      out += "],\"usage\":";
      usage_value(usage_).write(out);
      out += "}\n\n";
    }
    out += "data: [DONE]\n\n";
  }

  std::string head_, tail_;
  const int choices_;
  const bool logprobs_, include_usage_;
  chat::Usage usage_;
  int finished_ = 0;
  bool begun_ = false;
};

class ChatChunkEncoder final : public ChunkEncoder {
 public:
  ChatChunkEncoder(const chat::Request& request, const AnswerIdentity& identity)
      : ChunkEncoder("chat.completion.chunk", request, identity) {}

 private:
  void encode_begin(int choice, std::string& out) override {
    open_choice(choice, out);
    out += R"(,"delta":{"role":"assistant","content":"","refusal":null})";
    close_choice({}, {}, out);
  }
  void encode_delta(const chat::TextDelta& delta, std::string& out) override {
    open_choice(delta.choice, out);
    out += ",\"delta\":{\"content\":";
    write_json_string(out, delta.text);
    out += '}';
    close_choice(has_logprobs(delta) ? chat_logprobs(delta.tokens) : Json(), {}, out);
  }
  void encode_finish(const chat::Finished& finished, std::string& out) override {
    open_choice(finished.choice, out);
    out += ",\"delta\":{}";
    close_choice({}, finish_reason(finished.reason), out);
  }
};

class CompletionChunkEncoder final : public ChunkEncoder {
 public:
  CompletionChunkEncoder(const chat::Request& request, const AnswerIdentity& identity)
      : ChunkEncoder("text_completion", request, identity),
        offsets_(static_cast<size_t>(count_choices(request))) {}

 private:
  void encode_begin(int, std::string&) override {}
  void encode_delta(const chat::TextDelta& delta, std::string& out) override {
    open_choice(delta.choice, out);
    out += ",\"text\":";
    write_json_string(out, delta.text);
    CHECK(delta.choice >= 0 && static_cast<size_t>(delta.choice) < offsets_.size());
    TextOffset& offset = offsets_[static_cast<size_t>(delta.choice)];
    close_choice(has_logprobs(delta) ? completion_logprobs(delta.tokens, offset) : Json(), {}, out);
  }
  void encode_finish(const chat::Finished& finished, std::string& out) override {
    open_choice(finished.choice, out);
    out += ",\"text\":\"\"";
    close_choice({}, finish_reason(finished.reason), out);
  }

  std::vector<TextOffset> offsets_;
};

}  // namespace

std::string encode_chat_answer(const chat::Request& request, const Answer& answer,
                               const AnswerIdentity& identity) {
  Json out = answer_head("chat.completion", identity);
  JsonArray choices;
  for (const Choice& choice : answer.choices()) {
    choices.push_back(Json::object({{"index", static_cast<int>(choices.size())},
                                    {"message", Json::object({{"role", "assistant"},
                                                              {"content", choice.text},
                                                              {"refusal", nullptr},
                                                              {"annotations", Json::array()}})},
                                    {"logprobs", request.logprobs ? chat_logprobs(choice.tokens) : Json()},
                                    {"finish_reason", reason_value(choice.reason)}}));
  }
  out.set("choices", std::move(choices));
  out.set("usage", usage_value(answer.usage()));
  return out.write();
}

std::string encode_completion_answer(const chat::Request& request, const Answer& answer,
                                     const AnswerIdentity& identity) {
  Json out = answer_head("text_completion", identity);
  JsonArray choices;
  for (const Choice& choice : answer.choices()) {
    TextOffset offset;
    choices.push_back(
        Json::object({{"index", static_cast<int>(choices.size())},
                      {"text", choice.text},
                      {"logprobs", request.logprobs ? completion_logprobs(choice.tokens, offset) : Json()},
                      {"finish_reason", reason_value(choice.reason)}}));
  }
  out.set("choices", std::move(choices));
  out.set("usage", usage_value(answer.usage()));
  return out.write();
}

std::unique_ptr<StreamEncoder> make_chat_stream_encoder(const chat::Request& request,
                                                        AnswerIdentity identity) {
  return std::make_unique<ChatChunkEncoder>(request, identity);
}

std::unique_ptr<StreamEncoder> make_completion_stream_encoder(const chat::Request& request,
                                                              AnswerIdentity identity) {
  return std::make_unique<CompletionChunkEncoder>(request, identity);
}

}  // namespace cresset::wire
