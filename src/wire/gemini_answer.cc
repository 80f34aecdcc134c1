#include <utility>

#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/lenient.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kGemini;

std::string_view finish_reason(chat::FinishReason reason) {
  switch (reason) {
    case chat::FinishReason::kLength:
    case chat::FinishReason::kContextFull:
      return "MAX_TOKENS";
    case chat::FinishReason::kRefused:
      return "SAFETY";
    case chat::FinishReason::kStop:
    case chat::FinishReason::kStopText:
    case chat::FinishReason::kToolCalls:
    case chat::FinishReason::kPaused:
      break;
  }
  return "STOP";
}

// Thoughts stand apart from the candidates' tokens here.
Json usage_value(const chat::Usage& usage) {
  const int thoughts = std::min(usage.reasoning_tokens, usage.completion_tokens);  // some providers miscount
  Json out = Json::object({{"promptTokenCount", usage.prompt_tokens},
                           {"candidatesTokenCount", usage.completion_tokens - thoughts},
                           {"totalTokenCount", int64_t{usage.prompt_tokens} + usage.completion_tokens}});
  if (usage.cached_tokens != 0) out.set("cachedContentTokenCount", usage.cached_tokens);
  if (thoughts != 0) out.set("thoughtsTokenCount", thoughts);
  return out;
}

Json call_part(const chat::ToolCall& call) {
  Json inner =
      Json::object({{"name", call.name}, {"args", arguments_object(call.arguments, call.is_custom)}});
  if (!call.id.empty() && !call.id.starts_with(kGeminiCallPrefix)) inner.set("id", call.id);
  return Json::object({{"functionCall", std::move(inner)}});
}

Json part_value(const chat::Part& part, const AnswerIdentity& identity) {
  Json out;
  if (const auto* text = std::get_if<chat::Text>(&part.body)) {
    out = Json::object({{"text", text->text}});
    if (!text->citations.is_null() && identity.origin != kOwn) out.set("citations", text->citations);
  } else if (const auto* refusal = std::get_if<chat::Refusal>(&part.body)) {
    out = Json::object({{"text", refusal->text}});
  } else if (const auto* reasoning = std::get_if<chat::Reasoning>(&part.body)) {
    out = Json::object({{"text", reasoning->text}, {"thought", true}});
  } else if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) {
    out = call_part(*call);
  } else if (const auto* image = std::get_if<chat::Image>(&part.body)) {
    out = Json::object(
        {{"inlineData", Json::object({{"mimeType", image->media.type}, {"data", image->media.data}})}});
  } else if (const auto* opaque = std::get_if<chat::Opaque>(&part.body)) {
    out = identity.origin == kOwn ? opaque->value : Json::object({{"cressetPart", opaque->value}});
  }
  if (out.is_null()) return out;
  if (const std::string signature = signature_for_client(part.signature, kOwn); !signature.empty())
    out.set("thoughtSignature", signature);
  if (identity.origin == kOwn) add_extras(out, part.extras);
  return out;
}

Json candidate(int index, JsonArray parts) {
  return Json::object(
      {{"content", Json::object({{"parts", std::move(parts)}, {"role", "model"}})}, {"index", index}});
}

class GeminiStreamEncoder final : public StreamEncoder {
 public:
  GeminiStreamEncoder(int choices, AnswerIdentity identity)
      : identity_(std::move(identity)), choices_(static_cast<size_t>(choices)) {
    tail_ = ",\"modelVersion\":" + Json(identity_.model).write() +
            ",\"responseId\":" + Json(identity_.id).write() + "}\n\n";
  }

  void encode(const chat::Event& event, std::string& out) override {
    if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (!delta->text.empty()) write_text(delta->choice, delta->text, {}, out);
    } else if (const auto* thought = std::get_if<chat::ReasoningDelta>(&event)) {
      if (!thought->text.empty()) write_text(thought->choice, thought->text, ",\"thought\":true", out);
      state(thought->choice).is_thinking = true;
    } else if (const auto* refusal = std::get_if<chat::RefusalDelta>(&event)) {
      write_text(refusal->choice, refusal->text, {}, out);
    } else if (const auto* begin = std::get_if<chat::ToolBegin>(&event)) {
      state(begin->choice).calls.push_back({begin->call, {begin->id, begin->name, {}, begin->is_custom}, {}});
    } else if (const auto* more = std::get_if<chat::ToolDelta>(&event)) {
      for (Call& call : state(more->choice).calls) {
        if (call.number == more->call) call.call.arguments += more->arguments;
      }
    } else if (const auto* sign = std::get_if<chat::Signed>(&event)) {
      write_signature(*sign, out);
    } else if (const auto* cited = std::get_if<chat::Cited>(&event)) {
      write_part(cited->choice, Json::object({{"text", ""}, {"citations", Json::array({cited->citation})}}),
                 out);
    } else if (const auto* whole = std::get_if<chat::PartWhole>(&event)) {
      flush(whole->choice, out);
      if (Json part = part_value(whole->part, identity_); !part.is_null())
        write_part(whole->choice, std::move(part), out);
    } else if (const auto* started = std::get_if<chat::Started>(&event)) {
      usage_ = started->usage;
      extras_ = started->extras;
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      finish(*finished, out);
    } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      out += "data: " + encode_gemini_error(to_fault(*failed)) + "\n\n";
    }
  }

 private:
  // A call is whole when something else begins: this dialect has no pieces of arguments.
  struct Call {
    int number;
    chat::ToolCall call;
    chat::Signature signature;
  };
  struct Choice {
    std::vector<Call> calls;
    bool is_thinking = false;
  };
  Choice& state(int choice) { return choices_.at(static_cast<size_t>(choice)); }

  void write_text(int choice, std::string_view text, std::string_view more, std::string& out) {
    flush(choice, out);
    state(choice).is_thinking = false;
    out += "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":";
    write_json_string(out, text);
    out += more;
    out += "}],\"role\":\"model\"},\"index\":";
    out += std::to_string(choice);
    out += "}]";
    out += tail_;
  }

  void write_part(int choice, Json part, std::string& out) {
    out += "data: {\"candidates\":[";
    candidate(choice, {std::move(part)}).write(out);
    out += "]";
    out += tail_;
  }

  void flush(int choice, std::string& out) {
    for (Call& call : std::exchange(state(choice).calls, {})) {
      chat::Part part;
      part.body = std::move(call.call);
      part.signature = std::move(call.signature);
      write_part(choice, part_value(part, identity_), out);
    }
  }

  void write_signature(const chat::Signed& sign, std::string& out) {
    Choice& choice = state(sign.choice);
    if (!choice.calls.empty()) {
      choice.calls.back().signature = sign.signature;
      return;
    }
    Json part = Json::object({{"text", ""}});
    if (choice.is_thinking) part.set("thought", true);
    part.set("thoughtSignature", signature_for_client(sign.signature, kOwn));
    write_part(sign.choice, std::move(part), out);
  }

  void finish(const chat::Finished& finished, std::string& out) {
    flush(finished.choice, out);
    add_usage(usage_, finished.usage, choices_.size() == 1);
    Json item = candidate(finished.choice, {});
    item.find("content")->find("parts")->push(Json::object({{"text", ""}}));
    item.set("finishReason", finish_reason(finished.reason));
    if (identity_.origin == kOwn) add_extras(item, finished.extras);
    out += "data: {\"candidates\":[";
    item.write(out);
    out += "],\"usageMetadata\":";
    usage_value(usage_).write(out);
    if (identity_.origin == kOwn && extras_.is_object()) {
      std::string members = extras_.write();
      members.front() = ',';
      members.pop_back();
      if (members.size() > 1) out += members;
    }
    out += tail_;
  }

  const AnswerIdentity identity_;
  std::vector<Choice> choices_;
  chat::Usage usage_;
  Json extras_;
  std::string tail_;
};

}  // namespace

std::string encode_gemini_answer(const Answer& answer, const AnswerIdentity& identity) {
  JsonArray candidates;
  for (const Choice& choice : answer.choices()) {
    JsonArray parts;
    for (const chat::Part& part : choice.parts) {
      if (Json value = part_value(part, identity); !value.is_null()) parts.push_back(std::move(value));
    }
    Json item = candidate(static_cast<int>(candidates.size()), std::move(parts));
    if (choice.reason) item.set("finishReason", finish_reason(*choice.reason));
    if (identity.origin == kOwn) add_extras(item, choice.extras);
    candidates.push_back(std::move(item));
  }
  Json out = Json::object({{"candidates", std::move(candidates)},
                           {"usageMetadata", usage_value(answer.usage())},
                           {"modelVersion", identity.model},
                           {"responseId", identity.id}});
  if (identity.origin == kOwn) add_extras(out, answer.head().extras);
  return out.write();
}

std::unique_ptr<StreamEncoder> make_gemini_stream_encoder(const chat::Request& request,
                                                          AnswerIdentity identity) {
  return std::make_unique<GeminiStreamEncoder>(count_choices(request), std::move(identity));
}

}  // namespace cresset::wire
