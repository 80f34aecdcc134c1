// Whole answers of Chat Completions and legacy Completions.
#include <utility>
#include <vector>

#include "wire/lenient.h"
#include "wire/openai_answer.h"
#include "wire/openai_answer_parts.h"
#include "wire/openai_logprobs.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiChat;

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

}  // namespace cresset::wire
