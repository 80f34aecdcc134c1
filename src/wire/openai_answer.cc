// Streams of Chat Completions and legacy Completions.
#include "wire/openai_answer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "wire/lenient.h"
#include "wire/openai_answer_parts.h"
#include "wire/openai_chat.h"
#include "wire/openai_logprobs.h"
#include "wire/openai_request.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiChat;

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

std::unique_ptr<StreamEncoder> make_chat_stream_encoder(const chat::Request& request,
                                                        AnswerIdentity identity) {
  return std::make_unique<ChatChunkEncoder>(request, std::move(identity));
}

std::unique_ptr<StreamEncoder> make_completion_stream_encoder(const chat::Request& request,
                                                              AnswerIdentity identity) {
  return std::make_unique<CompletionChunkEncoder>(request, identity);
}

}  // namespace cresset::wire
