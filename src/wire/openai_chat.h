// OpenAI's Chat Completions and legacy Completions, as /v1/chat/completions and /v1/completions speak them.
// Source of the shapes: OpenAI's API reference and the types of its Python client 3.57.0.
//
// Understood beside OpenAI's own, as the field's servers do: top_k, min_p, repetition_penalty, ignore_eos,
// min_tokens, chat_template_kwargs, reasoning_content, reasoning_details, cache_control.
#pragma once

#include <span>
#include <string>

#include "base/json.h"
#include "wire/codec.h"

namespace cresset::wire {

const Codec& openai_chat_codec();
const Codec& openai_completions_codec();

// {"error":{"message","type","param","code"}}
std::string encode_openai_error(const Fault& fault);

struct OpenAiModel {
  std::string id;
  int64_t created_unix_s = 0;
  std::string owned_by;
  Json extra;  // additive members, or null
};
std::string encode_openai_model(const OpenAiModel& model);
std::string encode_openai_model_list(std::span<const OpenAiModel> models);

// Limits of a request, enforced by the decoders.
constexpr int kSequencesMax = 128;  // prompts times n
constexpr size_t kMessagesMax = 16384;
constexpr size_t kPartsMax = 4096;      // of one message
constexpr size_t kLogitBiasMax = 1024;  // entries
constexpr size_t kStopsMax = 4;
constexpr size_t kStopBytesMax = 1024;
constexpr size_t kModelBytesMax = 256;
constexpr size_t kShortBytesMax = 512;  // name, user, safety_identifier, prompt_cache_key
constexpr size_t kPromptTokensMax = 1u << 22;

}  // namespace cresset::wire
