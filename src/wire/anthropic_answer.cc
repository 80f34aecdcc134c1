// Answers in Anthropic's shape. A signature of another model that stands on a text or a tool call, for which
// this dialect has no place, follows it as a thinking block without text (see signature.h); a client that
// replays its history brings it back, and anthropic_request.cc puts it where it was.
#include <utility>

#include "wire/anthropic.h"
#include "wire/lenient.h"
#include "wire/media.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kAnthropic;

std::string_view stop_reason(chat::FinishReason reason) {
  switch (reason) {
    case chat::FinishReason::kLength:
      return "max_tokens";
    case chat::FinishReason::kStopText:
      return "stop_sequence";
    case chat::FinishReason::kToolCalls:
      return "tool_use";
    case chat::FinishReason::kRefused:
      return "refusal";
    case chat::FinishReason::kPaused:
      return "pause_turn";
    case chat::FinishReason::kContextFull:
      return "model_context_window_exceeded";
    case chat::FinishReason::kStop:
      break;
  }
  return "end_turn";
}

// What is cached stands apart from input_tokens here.
Json usage_value(const chat::Usage& usage) {
  return Json::object(
      {{"input_tokens", std::max(0, usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens)},
       {"cache_creation_input_tokens", usage.cache_write_tokens},
       {"cache_read_input_tokens", usage.cached_tokens},
       {"output_tokens", usage.completion_tokens}});
}

Json thinking_block(std::string_view text, std::string_view signature) {
  return Json::object({{"type", "thinking"}, {"thinking", text}, {"signature", signature}});
}

Json whole_block(const chat::Part& part, const AnswerIdentity& identity) {
  if (const auto* opaque = std::get_if<chat::Opaque>(&part.body)) {
    if (identity.origin == kOwn) return opaque->value;
    // Blocks of a kind that clients do not know are passed over by them, and seen by those who look.
    return Json::object({{"type", "cresset_part"}, {"value", opaque->value}});
  }
  if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body)) {
    const std::string signature = signature_for_client(part.signature, kOwn);
    if (reasoning->is_redacted) return Json::object({{"type", "redacted_thinking"}, {"data", signature}});
    return thinking_block(reasoning->text, signature);
  }
  if (const auto* image = std::get_if<chat::Image>(&part.body))
    return Json::object({{"type", "text"}, {"text", "![image](" + url_of_media(image->media) + ")"}});
  return {};
}

JsonArray blocks_of(const Choice& choice, const AnswerIdentity& identity) {
  JsonArray out;
  for (const chat::Part& part : choice.parts) {
    if (const auto* text = std::get_if<chat::Text>(&part.body)) {
      if (text->text.empty() && text->citations.is_null() && !part.signature.empty()) {
        out.push_back(thinking_block("", signature_for_client(part.signature, kOwn)));
        continue;
      }
      Json block = Json::object({{"type", "text"}, {"text", text->text}});
      if (!text->citations.is_null()) block.set("citations", text->citations);
      out.push_back(std::move(block));
    } else if (const auto* refusal = std::get_if<chat::Refusal>(&part.body)) {
      out.push_back(Json::object({{"type", "text"}, {"text", refusal->text}}));
    } else if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) {
      out.push_back(Json::object({{"type", "tool_use"},
                                  {"id", call->id},
                                  {"name", call->name},
                                  {"input", arguments_object(call->arguments, call->is_custom)}}));
    } else {
      if (Json block = whole_block(part, identity); !block.is_null()) out.push_back(std::move(block));
      continue;
    }
    if (identity.origin == kOwn) add_extras(out.back(), part.extras);
    if (!part.signature.empty())
      out.push_back(thinking_block("", signature_for_client(part.signature, kOwn)));
  }
  return out;
}

Json message_head(const AnswerIdentity& identity) {
  return Json::object(
      {{"id", identity.id}, {"type", "message"}, {"role", "assistant"}, {"model", identity.model}});
}

class AnthropicStreamEncoder final : public StreamEncoder {
 public:
  explicit AnthropicStreamEncoder(AnswerIdentity identity) : identity_(std::move(identity)) {}

  void encode(const chat::Event& event, std::string& out) override {
    if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      out += "event: error\ndata: " + encode_anthropic_error(to_fault(*failed)) + "\n\n";
      return;
    }
    if (!has_begun_) {
      const auto* started = std::get_if<chat::Started>(&event);
      begin(started != nullptr ? *started : chat::Started{}, out);
      if (started != nullptr) return;
    }
    if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (!delta->text.empty()) write_text(delta->text, out);
    } else if (const auto* thought = std::get_if<chat::ReasoningDelta>(&event)) {
      open(Kind::kThinking, out);
      write_delta(R"("thinking_delta","thinking":)", thought->text, out);
    } else if (const auto* refusal = std::get_if<chat::RefusalDelta>(&event)) {
      write_text(refusal->text, out);
    } else if (const auto* tool = std::get_if<chat::ToolBegin>(&event)) {
      begin_tool(*tool, out);
    } else if (const auto* more = std::get_if<chat::ToolDelta>(&event)) {
      write_arguments(*more, out);
    } else if (const auto* sign = std::get_if<chat::Signed>(&event)) {
      write_signature(sign->signature, out);
    } else if (const auto* cited = std::get_if<chat::Cited>(&event)) {
      open(Kind::kText, out);
      write_delta_value(Json::object({{"type", "citations_delta"}, {"citation", cited->citation}}), out);
    } else if (const auto* whole = std::get_if<chat::PartWhole>(&event)) {
      close(out);
      if (const Json block = whole_block(whole->part, identity_); !block.is_null()) {
        begin_block(block, out);
        kind_ = Kind::kWhole;
        close(out);
      }
    } else if (std::holds_alternative<chat::PartEnd>(event)) {
      close(out);
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      finish(*finished, out);
    }
  }

 private:
  enum class Kind { kNone, kText, kThinking, kTool, kWhole };
  struct Call {
    int number;
    int block;
    bool is_custom;
    std::string input;  // of a custom tool: it is told whole, inside of JSON
  };

  static void frame(std::string_view name, const Json& data, std::string& out) {
    out += "event: ";
    out += name;
    out += "\ndata: ";
    data.write(out);
    out += "\n\n";
  }

  void begin(const chat::Started& started, std::string& out) {
    has_begun_ = true;
    usage_ = started.usage;
    Json message = message_head(identity_);
    message.set("content", Json::array());
    message.set("stop_reason", nullptr);
    message.set("stop_sequence", nullptr);
    message.set("usage", usage_value(usage_));
    if (identity_.origin == kOwn) add_extras(message, started.extras);
    frame("message_start", Json::object({{"type", "message_start"}, {"message", std::move(message)}}), out);
  }

  void begin_block(const Json& block, std::string& out) {
    ++block_;
    frame("content_block_start",
          Json::object({{"type", "content_block_start"}, {"index", block_}, {"content_block", block}}), out);
  }

  void open(Kind kind, std::string& out) {
    if (kind_ == kind) return;
    close(out);
    begin_block(kind == Kind::kText ? Json::object({{"type", "text"}, {"text", ""}}) : thinking_block("", ""),
                out);
    kind_ = kind;
  }

  void close(std::string& out) {
    if (kind_ == Kind::kNone) return;
    if (kind_ == Kind::kTool && !calls_.empty() && calls_.back().is_custom)
      write_json_delta(block_, arguments_object(calls_.back().input, true).write(), out);
    kind_ = Kind::kNone;
    out += "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":" +
           std::to_string(block_) + "}\n\n";
  }

  void write_text(std::string_view text, std::string& out) {
    open(Kind::kText, out);
    write_delta(R"("text_delta","text":)", text, out);
  }

  // The hot path: no tree is built.
  void write_delta(std::string_view type_and_name, std::string_view text, std::string& out) {
    write_delta(block_, type_and_name, text, out);
  }
  static void write_delta(int block, std::string_view type_and_name, std::string_view text,
                          std::string& out) {
    out += R"(event: content_block_delta
data: {"type":"content_block_delta","index":)";
    out += std::to_string(block);
    out += R"(,"delta":{"type":)";
    out += type_and_name;
    write_json_string(out, text);
    out += "}}\n\n";
  }
  void write_delta_value(const Json& delta, std::string& out) {
    frame("content_block_delta",
          Json::object({{"type", "content_block_delta"}, {"index", block_}, {"delta", delta}}), out);
  }
  static void write_json_delta(int block, std::string_view text, std::string& out) {
    write_delta(block, R"("input_json_delta","partial_json":)", text, out);
  }

  void begin_tool(const chat::ToolBegin& tool, std::string& out) {
    close(out);
    begin_block(
        Json::object({{"type", "tool_use"}, {"id", tool.id}, {"name", tool.name}, {"input", Json::object()}}),
        out);
    kind_ = Kind::kTool;
    calls_.push_back({tool.call, block_, tool.is_custom, {}});
  }

  void write_arguments(const chat::ToolDelta& delta, std::string& out) {
    for (Call& call : calls_) {
      if (call.number != delta.call) continue;
      if (call.is_custom) {
        call.input += delta.arguments;
      } else if (!delta.arguments.empty()) {
        write_json_delta(call.block, delta.arguments, out);
      }
    }
  }

  void write_signature(const chat::Signature& signature, std::string& out) {
    // What is signed may just have been closed: a thought is signed where it stands.
    if (kind_ != Kind::kThinking) open(Kind::kThinking, out);
    write_delta(R"("signature_delta","signature":)", signature_for_client(signature, kOwn), out);
    if (signature.origin != kOwn) close(out);
  }

  void finish(const chat::Finished& finished, std::string& out) {
    close(out);
    add_usage(usage_, finished.usage, true);
    if (finished.usage.prompt_tokens == 0) usage_.completion_tokens = finished.usage.completion_tokens;
    Json delta =
        Json::object({{"stop_reason", stop_reason(finished.reason)},
                      {"stop_sequence", finished.stop_text.empty() ? Json() : Json(finished.stop_text)}});
    Json message = Json::object(
        {{"type", "message_delta"}, {"delta", std::move(delta)}, {"usage", usage_value(usage_)}});
    if (identity_.origin == kOwn) {
      if (const Json* more = finished.extras.find("usage")) add_extras(*message.find("usage"), *more);
      add_extras(message, finished.extras);
    }
    frame("message_delta", message, out);
    frame("message_stop", Json::object({{"type", "message_stop"}}), out);
  }

  const AnswerIdentity identity_;
  chat::Usage usage_;
  Kind kind_ = Kind::kNone;
  int block_ = -1;
  std::vector<Call> calls_;
  bool has_begun_ = false;
};

}  // namespace

std::string encode_anthropic_answer(const Answer& answer, const AnswerIdentity& identity) {
  const Choice& choice = answer.choices()[0];
  Json out = message_head(identity);
  out.set("content", blocks_of(choice, identity));
  out.set("stop_reason", choice.reason ? Json(stop_reason(*choice.reason)) : Json());
  out.set("stop_sequence", choice.stop_text.empty() ? Json() : Json(choice.stop_text));
  out.set("usage", usage_value(answer.usage()));
  if (identity.origin == kOwn) {
    if (const Json* more = choice.extras.find("usage")) add_extras(*out.find("usage"), *more);
    add_extras(out, answer.head().extras);
    add_extras(out, choice.extras);
  }
  return out.write();
}

std::unique_ptr<StreamEncoder> make_anthropic_stream_encoder(AnswerIdentity identity) {
  return std::make_unique<AnthropicStreamEncoder>(std::move(identity));
}

}  // namespace cresset::wire
