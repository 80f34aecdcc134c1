#include "wire/openai_answer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "wire/lenient.h"
#include "wire/media.h"
#include "wire/openai_chat.h"
#include "wire/openai_logprobs.h"
#include "wire/openai_request.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiChat;

std::string_view finish_reason(chat::FinishReason reason) {
  switch (reason) {
    case chat::FinishReason::kLength:
    case chat::FinishReason::kContextFull:
      return "length";
    case chat::FinishReason::kToolCalls:
      return "tool_calls";
    case chat::FinishReason::kRefused:
      return "content_filter";
    case chat::FinishReason::kStop:
    case chat::FinishReason::kStopText:
    case chat::FinishReason::kPaused:
      break;
  }
  return "stop";
}

Json usage_value(const chat::Usage& usage) {
  Json prompt = Json::object({{"cached_tokens", usage.cached_tokens}, {"audio_tokens", 0}});
  if (usage.cache_write_tokens != 0) prompt.set("cache_write_tokens", usage.cache_write_tokens);
  return Json::object(
      {{"prompt_tokens", usage.prompt_tokens},
       {"completion_tokens", usage.completion_tokens},
       {"total_tokens", int64_t{usage.prompt_tokens} + usage.completion_tokens},
       {"prompt_tokens_details", std::move(prompt)},
       {"completion_tokens_details", Json::object({{"reasoning_tokens", usage.reasoning_tokens},
                                                   {"audio_tokens", 0},
                                                   {"accepted_prediction_tokens", 0},
                                                   {"rejected_prediction_tokens", 0}})}});
}

// The same as text, for a whole answer: its numbers are most of what there is to write.
void write_usage(const chat::Usage& usage, const Json& extras, std::string& out) {
  if (!extras.is_null() || usage.cache_write_tokens != 0) {
    Json value = usage_value(usage);
    add_extras(value, extras);
    return value.write(out);
  }
  const auto number = [&out](std::string_view name, int64_t value) {
    out += name;
    out += std::to_string(value);
  };
  number("{\"prompt_tokens\":", usage.prompt_tokens);
  number(",\"completion_tokens\":", usage.completion_tokens);
  number(",\"total_tokens\":", int64_t{usage.prompt_tokens} + usage.completion_tokens);
  number(",\"prompt_tokens_details\":{\"cached_tokens\":", usage.cached_tokens);
  number(R"(,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":)", usage.reasoning_tokens);
  out += R"(,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}})";
}

Json answer_head(std::string_view object, const AnswerIdentity& identity) {
  return Json::object(
      {{"id", identity.id},
       {"object", object},
       {"created", identity.created_unix_s},
       {"model", identity.model},
       {"system_fingerprint", identity.fingerprint.empty() ? Json() : Json(identity.fingerprint)}});
}

// What else a provider of this dialect says of a choice, as members after its own.
void write_choice_extras(const Json& extras, std::string& out) {
  if (!extras.is_object()) return;
  for (const JsonMember& m : extras.as_object()) {
    if (m.first == "message" || m.first == "usage") continue;
    out += ',';
    write_json_string(out, m.first);
    out += ':';
    m.second.write(out);
  }
}

Json reason_value(const std::optional<chat::FinishReason>& reason) {
  return reason ? Json(finish_reason(*reason)) : Json();
}

// What the streams of both endpoints share: each chunk is the fixed head, one choice and the tail. The head
// is written once; per chunk only the choice is.
class ChunkEncoder : public StreamEncoder {
 public:
  ChunkEncoder(std::string_view object, const chat::Request& request, const AnswerIdentity& identity)
      : choices_(count_choices(request)),
        logprobs_(request.logprobs),
        include_usage_(request.include_usage),
        is_own_origin_(identity.origin == kOwn) {
    head_value_ = answer_head(object, identity);
    write_head();
    tail_ = include_usage_ ? "],\"usage\":null}\n\n" : "]}\n\n";
  }

  void encode(const chat::Event& event, std::string& out) final {
    if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      out += "data: " + encode_openai_error(to_fault(*failed)) + "\n\n";
      return;
    }
    if (!begun_) {
      begun_ = true;
      // What else a provider of this dialect says of its answer ("service_tier") stands in every chunk.
      const auto* first = std::get_if<chat::Started>(&event);
      if (first != nullptr && is_own_origin_ && first->extras.is_object()) {
        for (const JsonMember& m : first->extras.as_object()) head_value_.set(m.first, m.second);
        write_head();
      }
      for (int i = 0; i < choices_; ++i) encode_begin(i, out);
    }
    if (const auto* started = std::get_if<chat::Started>(&event)) {
      add_usage(usage_, {started->usage.prompt_tokens, started->usage.cached_tokens, 0,
                         started->usage.cache_write_tokens, 0});
    } else if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (!delta->text.empty() || (logprobs_ && !delta->tokens.empty())) encode_delta(*delta, out);
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      add_usage(usage_, finished->usage, choices_ == 1);
      if (const Json* more = finished->extras.find("usage"); more != nullptr && is_own_origin_)
        usage_extras_ = *more;
      encode_finish(*finished, out);
      if (++finished_ == choices_) encode_end(out);
    } else {
      encode_other(event, out);
    }
  }

 protected:
  virtual void encode_begin(int choice, std::string& out) = 0;
  virtual void encode_delta(const chat::TextDelta& delta, std::string& out) = 0;
  virtual void encode_finish(const chat::Finished& finished, std::string& out) = 0;
  virtual void encode_other(const chat::Event&, std::string&) {}

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
      Json usage = usage_value(usage_);
      add_extras(usage, usage_extras_);
      usage.write(out);
      out += "}\n\n";
    }
    out += "data: [DONE]\n\n";
  }

  void write_head() {
    head_ = "data: " + head_value_.write();
    head_.back() = ',';
    head_ += "\"choices\":[";
  }

  Json head_value_;
  std::string head_, tail_;
  const int choices_;
  const bool logprobs_, include_usage_, is_own_origin_;
  chat::Usage usage_;
  Json usage_extras_;
  int finished_ = 0;
  bool begun_ = false;
};

// A part that comes whole, as a message of this dialect can say it.
void add_whole(const chat::Part& part, const AnswerIdentity& identity, Json& message) {
  const std::string signature = signature_for_client(part.signature, kOwn);
  const auto append = [&message](std::string_view list, Json item) {
    if (message.find(list) == nullptr) message.set(list, Json::array());
    message.find(list)->push(std::move(item));
  };
  if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body)) {
    Json detail = reasoning_detail(*reasoning, signature, identity.origin == kOwn ? part.extras : Json());
    append("reasoning_details", std::move(detail));
  } else if (const auto* image = std::get_if<chat::Image>(&part.body)) {
    Json url = Json::object({{"url", url_of_media(image->media)}});
    append("images", Json::object({{"type", "image_url"}, {"image_url", std::move(url)}}));
  } else if (const auto* opaque = std::get_if<chat::Opaque>(&part.body)) {
    // Nothing of an answer is lost: what this dialect has no place for stands under its own name.
    append("cresset_parts", opaque->value);
  }
}

class ChatChunkEncoder final : public ChunkEncoder {
 public:
  ChatChunkEncoder(const chat::Request& request, AnswerIdentity identity)
      : ChunkEncoder("chat.completion.chunk", request, identity), identity_(std::move(identity)) {}

 private:
  void encode_begin(int choice, std::string& out) override {
    open_choice(choice, out);
    out += R"(,"delta":{"role":"assistant","content":"","refusal":null})";
    close_choice({}, {}, out);
  }
  void encode_delta(const chat::TextDelta& delta, std::string& out) override {
    encode_text(delta.choice, "content", delta.text, out);
    close_choice(has_logprobs(delta) ? chat_logprobs(delta.tokens) : Json(), {}, out);
  }
  void encode_finish(const chat::Finished& finished, std::string& out) override {
    open_choice(finished.choice, out);
    out += ",\"delta\":{}";
    if (identity_.origin == kOwn) write_choice_extras(finished.extras, out);
    close_choice({}, finish_reason(finished.reason), out);
  }
  void encode_text(int choice, std::string_view name, std::string_view text, std::string& out) {
    open_choice(choice, out);
    out += ",\"delta\":{\"";
    out += name;
    out += "\":";
    write_json_string(out, text);
    out += '}';
  }
  void encode_value(int choice, const Json& delta, std::string& out) {
    open_choice(choice, out);
    out += ",\"delta\":";
    delta.write(out);
    close_choice({}, {}, out);
  }
  void encode_other(const chat::Event& event, std::string& out) override {
    if (const auto* thought = std::get_if<chat::ReasoningDelta>(&event)) {
      if (thought->text.empty()) return;
      encode_text(thought->choice, "reasoning_content", thought->text, out);
      close_choice({}, {}, out);
      open_call_ = -1;
    } else if (const auto* refusal = std::get_if<chat::RefusalDelta>(&event)) {
      encode_text(refusal->choice, "refusal", refusal->text, out);
      close_choice({}, {}, out);
    } else if (const auto* begin = std::get_if<chat::ToolBegin>(&event)) {
      open_call_ = begin->call;
      const char* type = begin->is_custom ? "custom" : "function";
      if (begin->is_custom) custom_.push_back({begin->choice, begin->call});
      encode_call(begin->choice,
                  Json::object({{"index", begin->call},
                                {"id", begin->id},
                                {"type", type},
                                {type, Json::object({{"name", begin->name},
                                                     {begin->is_custom ? "input" : "arguments", ""}})}}),
                  out);
    } else if (const auto* more = std::get_if<chat::ToolDelta>(&event)) {
      const bool is_custom =
          std::find(custom_.begin(), custom_.end(), std::pair(more->choice, more->call)) != custom_.end();
      open_choice(more->choice, out);
      out += ",\"delta\":{\"tool_calls\":[{\"index\":";
      out += std::to_string(more->call);
      out += is_custom ? ",\"custom\":{\"input\":" : ",\"function\":{\"arguments\":";
      write_json_string(out, more->arguments);
      out += "}}]}";
      close_choice({}, {}, out);
    } else if (const auto* sign = std::get_if<chat::Signed>(&event)) {
      encode_signature(*sign, out);
    } else if (const auto* cited = std::get_if<chat::Cited>(&event)) {
      const char* name = identity_.origin == kOwn ? "annotations" : "citations";
      encode_value(cited->choice, Json::object({{name, Json::array({cited->citation})}}), out);
    } else if (const auto* whole = std::get_if<chat::PartWhole>(&event)) {
      Json delta = Json::object();
      add_whole(whole->part, identity_, delta);
      if (!delta.as_object().empty()) encode_value(whole->choice, delta, out);
    }
  }
  void encode_call(int choice, Json call, std::string& out) {
    encode_value(choice, Json::object({{"tool_calls", Json::array({std::move(call)})}}), out);
  }
  void encode_signature(const chat::Signed& sign, std::string& out) {
    const std::string text = signature_for_client(sign.signature, kOwn);
    if (open_call_ >= 0) {
      Json google = Json::object({{"google", Json::object({{"thought_signature", text}})}});
      // OpenAI's own stream helper wants a function in every piece.
      encode_call(sign.choice,
                  Json::object({{"index", open_call_},
                                {"function", Json::object({{"arguments", ""}})},
                                {"extra_content", std::move(google)}}),
                  out);
    } else {
      encode_value(sign.choice,
                   Json::object({{"reasoning_details",
                                  Json::array({reasoning_detail(chat::Reasoning{}, text, Json())})}}),
                   out);
    }
  }

  const AnswerIdentity identity_;
  int open_call_ = -1;  // what a signature would sign
  std::vector<std::pair<int, int>> custom_;
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

namespace {

Json call_value(const chat::ToolCall& call, const chat::Part& part) {
  const char* type = call.is_custom ? "custom" : "function";
  Json out = Json::object({{"id", call.id},
                           {"type", type},
                           {type, Json::object({{"name", call.name},
                                                {call.is_custom ? "input" : "arguments", call.arguments}})}});
  if (const std::string s = signature_for_client(part.signature, kOwn); !s.empty())
    out.set("extra_content", Json::object({{"google", Json::object({{"thought_signature", s}})}}));
  return out;
}

Json message_value(const Choice& choice, const AnswerIdentity& identity) {
  Json annotations = Json::array(), citations = Json::array(), calls = Json::array(), more = Json::object();
  std::string text, thoughts, refusal;
  bool has_text = false;
  for (const chat::Part& part : choice.parts) {
    const std::string signature = signature_for_client(part.signature, kOwn);
    if (const auto* t = std::get_if<chat::Text>(&part.body)) {
      text += t->text;
      has_text = true;
      if (t->citations.is_array()) {
        for (const Json& c : t->citations.as_array())
          (identity.origin == kOwn ? annotations : citations).push(c);
      }
    } else if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) {
      calls.push(call_value(*call, part));
    } else if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body)) {
      if (!reasoning->is_redacted) thoughts += reasoning->text;
      if (reasoning->is_redacted || !signature.empty()) add_whole(part, identity, more);
    } else if (const auto* r = std::get_if<chat::Refusal>(&part.body)) {
      refusal += r->text;
    } else {
      add_whole(part, identity, more);
    }
  }
  Json out = Json::object(
      {{"role", "assistant"},
       {"content", has_text || (calls.as_array().empty() && refusal.empty()) ? Json(text) : Json()},
       {"refusal", refusal.empty() ? Json() : Json(refusal)},
       {"annotations", std::move(annotations)}});
  if (!citations.as_array().empty()) out.set("citations", std::move(citations));
  if (!thoughts.empty()) out.set("reasoning_content", thoughts);
  if (!calls.as_array().empty()) out.set("tool_calls", std::move(calls));
  add_extras(out, more);
  return out;
}

}  // namespace

namespace {

// Nearly every answer is one text and nothing else: that is written straight away.
const chat::Text* only_text(const Choice& choice, const Json* extras) {
  if (choice.parts.size() != 1 || extras != nullptr) return nullptr;
  const chat::Part& part = choice.parts[0];
  const auto* text = std::get_if<chat::Text>(&part.body);
  return text != nullptr && text->citations.is_null() ? text : nullptr;
}

void write_choice(const chat::Request& request, const Choice& choice, size_t index,
                  const AnswerIdentity& identity, std::string& out) {
  const bool is_own_origin = identity.origin == kOwn;
  const Json* more = is_own_origin ? choice.extras.find("message") : nullptr;
  out += "{\"index\":";
  out += std::to_string(index);
  out += ",\"message\":";
  if (const chat::Text* text = only_text(choice, more)) {
    out += R"({"role":"assistant","content":)";
    write_json_string(out, text->text);
    out += R"(,"refusal":null,"annotations":[]})";
  } else {
    Json message = message_value(choice, identity);
    if (more != nullptr) add_extras(message, *more);
    message.write(out);
  }
  out += ",\"logprobs\":";
  (request.logprobs ? chat_logprobs(choice.tokens) : Json()).write(out);
  out += ",\"finish_reason\":";
  reason_value(choice.reason).write(out);
  if (is_own_origin) write_choice_extras(choice.extras, out);
  out += '}';
}

}  // namespace

std::string encode_chat_answer(const chat::Request& request, const Answer& answer,
                               const AnswerIdentity& identity) {
  const bool is_own_origin = identity.origin == kOwn;
  Json head = answer_head("chat.completion", identity);
  if (is_own_origin && answer.head().extras.is_object()) {
    for (const JsonMember& m : answer.head().extras.as_object()) head.set(m.first, m.second);
  }
  std::string out = head.write();
  out.back() = ',';
  out += "\"choices\":[";
  for (size_t i = 0; i < answer.choices().size(); ++i) {
    if (i > 0) out += ',';
    write_choice(request, answer.choices()[i], i, identity, out);
  }
  out += "],\"usage\":";
  const Json* counts = is_own_origin ? answer.choices()[0].extras.find("usage") : nullptr;
  write_usage(answer.usage(), counts != nullptr ? *counts : Json(), out);
  out += '}';
  return out;
}

std::string encode_completion_answer(const chat::Request& request, const Answer& answer,
                                     const AnswerIdentity& identity) {
  Json out = answer_head("text_completion", identity);
  JsonArray choices;
  for (const Choice& choice : answer.choices()) {
    TextOffset offset;
    choices.push_back(
        Json::object({{"index", static_cast<int>(choices.size())},
                      {"text", choice.text()},
                      {"logprobs", request.logprobs ? completion_logprobs(choice.tokens, offset) : Json()},
                      {"finish_reason", reason_value(choice.reason)}}));
  }
  out.set("choices", std::move(choices));
  out.set("usage", usage_value(answer.usage()));
  return out.write();
}

std::unique_ptr<StreamEncoder> make_chat_stream_encoder(const chat::Request& request,
                                                        AnswerIdentity identity) {
  return std::make_unique<ChatChunkEncoder>(request, std::move(identity));
}

std::unique_ptr<StreamEncoder> make_completion_stream_encoder(const chat::Request& request,
                                                              AnswerIdentity identity) {
  return std::make_unique<CompletionChunkEncoder>(request, identity);
}

}  // namespace cresset::wire
