#include <map>
#include <utility>

#include "wire/anthropic.h"
#include "wire/lenient.h"
#include "wire/provider_fault.h"
#include "wire/signature.h"
#include "wire/sse_decoder.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kAnthropic;

// Members that are absent leave what was said before: the counts of a stream are cumulative.
void read_usage(const Json& value, chat::Usage& usage) {
  const auto given = [&value](std::string_view name) { return get(value, name) != nullptr; };
  int fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens;
  if (given("input_tokens")) fresh = count_at(value, "input_tokens");
  if (given("cache_read_input_tokens")) usage.cached_tokens = count_at(value, "cache_read_input_tokens");
  if (given("cache_creation_input_tokens"))
    usage.cache_write_tokens = count_at(value, "cache_creation_input_tokens");
  usage.prompt_tokens = fresh + usage.cached_tokens + usage.cache_write_tokens;
  if (given("output_tokens")) usage.completion_tokens = count_at(value, "output_tokens");
  if (const Json* details = get(value, "output_tokens_details"))
    usage.reasoning_tokens = count_at(*details, "thinking_tokens");
}

// What else is counted ("service_tier", "cache_creation", "server_tool_use"): for clients of this dialect.
void keep_usage_extras(const Json& value, Json& extras) {
  if (!value.is_object()) return;
  for (const JsonMember& m : value.as_object()) {
    constexpr std::string_view kTaken[] = {"input_tokens", "output_tokens", "cache_read_input_tokens",
                                           "cache_creation_input_tokens"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) != std::end(kTaken) || m.second.is_null())
      continue;
    if (extras.find("usage") == nullptr) extras.set("usage", Json::object());
    extras.find("usage")->set(m.first, m.second);
  }
}

chat::FinishReason read_reason(std::string_view reason) {
  constexpr std::pair<std::string_view, chat::FinishReason> kReasons[] = {
      {"max_tokens", chat::FinishReason::kLength},
      {"stop_sequence", chat::FinishReason::kStopText},
      {"tool_use", chat::FinishReason::kToolCalls},
      {"refusal", chat::FinishReason::kRefused},
      {"pause_turn", chat::FinishReason::kPaused},
      {"model_context_window_exceeded", chat::FinishReason::kContextFull}};
  for (const auto& [word, known] : kReasons) {
    if (word == reason) return known;
  }
  return chat::FinishReason::kStop;
}

Json head_extras(const Json& message) {
  Json out;
  for (const JsonMember& m : message.as_object()) {
    constexpr std::string_view kTaken[] = {"id",      "type",        "role",          "model",
                                           "content", "stop_reason", "stop_sequence", "usage"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken)) keep(out, m);
  }
  return out;
}

// One block's beginning and the pieces that follow, to events; a whole block is a beginning with all in it.
class BlockReader {
 public:
  explicit BlockReader(const chat::Request& asked) : asked_(&asked) {}

  void begin(const Json& block, std::vector<chat::Event>& out) {
    const std::string_view type = string_at(block, "type");
    opaque_ = {};
    is_tool_ = is_custom_ = false;
    held_.clear();
    if (type == "text") {
      if (const std::string_view text = string_at(block, "text"); !text.empty())
        out.push_back(chat::TextDelta{0, std::string(text), {}});
      for (const Json& citation : array_at(block, "citations")) out.push_back(chat::Cited{0, citation});
    } else if (type == "thinking") {
      out.push_back(chat::ReasoningDelta{0, std::string(string_at(block, "thinking")), false});
      sign(string_at(block, "signature"), out);
    } else if (type == "redacted_thinking") {
      chat::Part part;
      part.body = chat::Reasoning{{}, true, false};
      part.signature = read_signature(string_at(block, "data"), kOwn);
      out.push_back(chat::PartWhole{0, std::move(part)});
    } else if (type == "tool_use") {
      begin_tool(block, out);
    } else {
      opaque_ = block;
    }
  }

  Status add(const Json& delta, std::vector<chat::Event>& out) {
    const std::string_view type = string_at(delta, "type");
    if (type == "text_delta") {
      out.push_back(chat::TextDelta{0, std::string(string_at(delta, "text")), {}});
    } else if (type == "thinking_delta") {
      out.push_back(chat::ReasoningDelta{0, std::string(string_at(delta, "thinking")), false});
    } else if (type == "signature_delta") {
      sign(string_at(delta, "signature"), out);
    } else if (type == "citations_delta") {
      if (const Json* citation = get(delta, "citation")) out.push_back(chat::Cited{0, *citation});
    } else if (type == "input_json_delta") {
      const std::string_view piece = string_at(delta, "partial_json");
      if (is_tool_ && !is_custom_ && !piece.empty()) {
        out.push_back(chat::ToolDelta{0, calls_ - 1, std::string(piece)});
        has_arguments_ = true;
      } else {
        held_ += piece;
      }
    }
    return {};  // a delta of a later kind says nothing to us
  }

  void end(std::vector<chat::Event>& out) {
    if (!opaque_.is_null()) {
      if (!held_.empty()) opaque_.set("input", arguments_object(held_, false));
      chat::Part part;
      part.body = chat::Opaque{std::move(opaque_)};
      out.push_back(chat::PartWhole{0, std::move(part)});
      opaque_ = {};
      return;
    }
    if (is_custom_) {
      out.push_back(chat::ToolDelta{0, calls_ - 1, custom_input(held_)});
    } else if (is_tool_ && !has_arguments_) {
      out.push_back(chat::ToolDelta{0, calls_ - 1, first_input_.empty() ? "{}" : first_input_});
    }
    is_tool_ = is_custom_ = false;
    out.push_back(chat::PartEnd{0});
  }

 private:
  void begin_tool(const Json& block, std::vector<chat::Event>& out) {
    const std::string_view name = string_at(block, "name");
    is_tool_ = true;
    has_arguments_ = false;
    is_custom_ = is_custom_tool(*asked_, name);
    out.push_back(
        chat::ToolBegin{0, calls_++, std::string(string_at(block, "id")), std::string(name), is_custom_});
    // In a stream the beginning has an empty object and the pieces follow.
    const Json* input = get(block, "input");
    first_input_ =
        input != nullptr && input->is_object() && !input->as_object().empty() ? arguments_text(*input) : "";
    held_ = is_custom_ ? first_input_ : "";
  }
  static void sign(std::string_view signature, std::vector<chat::Event>& out) {
    if (!signature.empty()) out.push_back(chat::Signed{0, read_signature(signature, kOwn)});
  }

  const chat::Request* asked_;
  Json opaque_;
  std::string held_, first_input_;
  int calls_ = 0;
  bool is_tool_ = false, is_custom_ = false, has_arguments_ = false;
};

class AnthropicStreamDecoder final : public SseDecoder {
 public:
  explicit AnthropicStreamDecoder(const chat::Request& asked) : asked_{}, blocks_(asked_) {
    asked_.tools = asked.tools;
  }

  Status end(std::vector<chat::Event>& out) override {
    if (is_over_) return {};
    // The last word was said, only the farewell is missing.
    if (!has_reason_) return fail(Code::kUnavailable, "the provider's stream was cut");
    finish(out);
    return {};
  }

 private:
  Status take(std::string_view data, std::vector<chat::Event>& out) override {
    const auto event = parse_json(data);
    if (!event || !event->is_object())
      return fail(Code::kCorrupt, "the provider sent something that is not an event of an answer");
    const std::string_view type = string_at(*event, "type");
    if (type == "content_block_delta") {
      const Json* delta = get(*event, "delta");
      return delta == nullptr || !is_open_ ? Status{} : blocks_.add(*delta, out);
    }
    if (type == "content_block_start") {
      const Json* block = get(*event, "content_block");
      if (block == nullptr || !block->is_object())
        return fail(Code::kCorrupt, "the provider began a block that is none");
      if (is_open_) blocks_.end(out);
      is_open_ = true;
      blocks_.begin(*block, out);
    } else if (type == "content_block_stop") {
      if (is_open_) blocks_.end(out);
      is_open_ = false;
    } else if (type == "message_start") {
      const Json* message = get(*event, "message");
      if (message == nullptr || !message->is_object())
        return fail(Code::kCorrupt, "the provider began an answer that is none");
      if (const Json* usage = get(*message, "usage")) {
        read_usage(*usage, usage_);
        keep_usage_extras(*usage, last_.extras);
      }
      out.push_back(
          chat::Started{{usage_.prompt_tokens, usage_.cached_tokens, 0, usage_.cache_write_tokens, 0},
                        std::string(string_at(*message, "model")),
                        std::string(string_at(*message, "id")),
                        head_extras(*message)});
    } else if (type == "message_delta") {
      take_message_delta(*event);
    } else if (type == "message_stop") {
      finish(out);
    } else if (type == "error") {
      const Json* error = get(*event, "error");
      out.push_back(error != nullptr ? failed_from(*error, 0) : failed_from_status(500));
      is_over_ = true;
    }
    return {};  // pings, and events of a later kind
  }

  void take_message_delta(const Json& event) {
    if (const Json* usage = get(event, "usage")) {
      read_usage(*usage, usage_);
      keep_usage_extras(*usage, last_.extras);
    }
    for (const JsonMember& m : event.as_object()) {
      if (m.first != "type" && m.first != "delta" && m.first != "usage") keep(last_.extras, m);
    }
    const Json* delta = get(event, "delta");
    if (delta == nullptr || get(*delta, "stop_reason") == nullptr) return;
    has_reason_ = true;
    last_.reason = read_reason(string_at(*delta, "stop_reason"));
    last_.stop_text = string_at(*delta, "stop_sequence");
  }

  void finish(std::vector<chat::Event>& out) {
    if (is_open_) blocks_.end(out);
    is_over_ = true;
    last_.usage = usage_;
    out.push_back(std::move(last_));
  }

  chat::Request asked_;  // its tools
  BlockReader blocks_;
  chat::Usage usage_;
  chat::Finished last_{};
  bool is_open_ = false, has_reason_ = false;
};

}  // namespace

Decoded<std::vector<chat::Event>> decode_anthropic_answer(const chat::Request& asked, std::string_view body) {
  const auto value = parse_json(body);
  if (!value || !value->is_object()) return tl::unexpected<Fault>(not_an_answer());
  std::vector<chat::Event> out;
  if (const Json* error = get(*value, "error"); error != nullptr && string_at(*value, "type") == "error") {
    out.push_back(failed_from(*error, 0));
    return out;
  }
  if (value->find("content") == nullptr) return tl::unexpected<Fault>(not_an_answer());
  chat::Usage usage;
  if (const Json* counts = get(*value, "usage")) read_usage(*counts, usage);
  out.push_back(chat::Started{{usage.prompt_tokens, usage.cached_tokens, 0, usage.cache_write_tokens, 0},
                              std::string(string_at(*value, "model")),
                              std::string(string_at(*value, "id")),
                              head_extras(*value)});
  BlockReader reader(asked);
  for (const Json& block : array_at(*value, "content")) {
    if (!block.is_object()) return tl::unexpected<Fault>(not_an_answer());
    reader.begin(block, out);
    reader.end(out);
  }
  chat::Finished finished{0,
                          read_reason(string_at(*value, "stop_reason")),
                          usage,
                          std::string(string_at(*value, "stop_sequence")),
                          {}};
  if (const Json* counts = get(*value, "usage")) keep_usage_extras(*counts, finished.extras);
  out.push_back(std::move(finished));
  return out;
}

std::unique_ptr<StreamDecoder> make_anthropic_stream_decoder(const chat::Request& asked) {
  return std::make_unique<AnthropicStreamDecoder>(asked);
}

}  // namespace cresset::wire
