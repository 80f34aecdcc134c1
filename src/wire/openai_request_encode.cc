#include <utility>

#include "base/json.h"
#include "wire/openai_request.h"

namespace cresset::wire {

namespace {

void encode_sampling(const chat::Sampling& sampling, Json& out) {
  const auto set = [&out](std::string_view name, const auto& value) {
    if (value) out.set(name, *value);
  };
  set("temperature", sampling.temperature);
  set("top_p", sampling.top_p);
  set("top_k", sampling.top_k);
  set("min_p", sampling.min_p);
  set("repetition_penalty", sampling.repetition_penalty);
  set("presence_penalty", sampling.presence_penalty);
  set("frequency_penalty", sampling.frequency_penalty);
  set("seed", sampling.seed);
  if (sampling.logit_bias.empty()) return;
  Json bias = Json::object();
  for (const auto& [token, value] : sampling.logit_bias) bias.set(std::to_string(token), value);
  out.set("logit_bias", std::move(bias));
}

Json encode_prompts(const std::vector<chat::Prompt>& prompts) {
  JsonArray out;
  for (const chat::Prompt& prompt : prompts) {
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      out.push_back(*text);
    } else {
      const auto& tokens = std::get<chat::Tokens>(prompt);
      out.push_back(JsonArray(tokens.begin(), tokens.end()));
    }
  }
  if (out.size() == 1) return std::move(out[0]);
  return out;
}

}  // namespace

std::string encode_openai_request(const chat::Request& request) {
  Json out = Json::object({{"model", request.model}});
  const bool is_chat = request.is_chat();
  if (is_chat) {
    out.set("messages", encode_messages(request.messages));
  } else {
    out.set("prompt", encode_prompts(request.prompts));
  }
  encode_sampling(request.sampling, out);
  if (request.tokens_max) out.set(is_chat ? "max_completion_tokens" : "max_tokens", *request.tokens_max);
  if (request.tokens_min != 0) out.set("min_tokens", request.tokens_min);
  if (request.ignore_eos) out.set("ignore_eos", true);
  if (!request.stop.empty()) out.set("stop", JsonArray(request.stop.begin(), request.stop.end()));
  if (request.choices != 1) out.set("n", request.choices);
  if (request.logprobs && is_chat) {
    out.set("logprobs", true);
    if (request.top_logprobs != 0) out.set("top_logprobs", request.top_logprobs);
  } else if (request.logprobs) {
    out.set("logprobs", request.top_logprobs);
  }
  if (request.echo) out.set("echo", true);
  if (request.stream) out.set("stream", true);
  if (request.include_usage) out.set("stream_options", Json::object({{"include_usage", true}}));
  if (!request.user.empty()) out.set("user", request.user);
  if (!request.template_kwargs.is_null()) out.set("chat_template_kwargs", request.template_kwargs);
  return out.write();
}

}  // namespace cresset::wire
