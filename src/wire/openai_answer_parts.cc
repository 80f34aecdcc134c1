#include "wire/openai_answer_parts.h"

#include <utility>

#include "wire/media.h"
#include "wire/openai_request.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiChat;

}  // namespace

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

Json answer_head(std::string_view object, const AnswerIdentity& identity) {
  return Json::object(
      {{"id", identity.id},
       {"object", object},
       {"created", identity.created_unix_s},
       {"model", identity.model},
       {"system_fingerprint", identity.fingerprint.empty() ? Json() : Json(identity.fingerprint)}});
}

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

}  // namespace cresset::wire
