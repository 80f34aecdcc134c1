#include <utility>

#include "base/json.h"
#include "wire/codec.h"
#include "wire/lenient.h"
#include "wire/openai_request.h"
#include "wire/openai_tools.h"

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

namespace {

// The effort that a budget of thinking tokens comes nearest to.
std::string effort_of(const chat::Thinking& thinking) {
  if (!thinking.effort.empty()) return thinking.effort == "max" ? "xhigh" : thinking.effort;
  if (thinking.mode == chat::Thinking::Mode::kOff) return "none";
  if (!thinking.budget_tokens) return {};
  return *thinking.budget_tokens <= 2048 ? "low" : *thinking.budget_tokens <= 8192 ? "medium" : "high";
}

void encode_tools(const chat::Request& request, bool is_same, Json& out, Dropped& dropped) {
  if (!request.tools.empty()) {
    Json tools = encode_openai_tools(request.tools, is_same, dropped);
    if (!tools.as_array().empty() || is_same) out.set("tools", std::move(tools));
  }
  if (request.tool_choice && (is_same || out.find("tools") != nullptr))
    out.set("tool_choice", encode_openai_tool_choice(*request.tool_choice));
  if (request.parallel_tools && (is_same || out.find("tools") != nullptr))
    out.set("parallel_tool_calls", *request.parallel_tools);
  if (request.format && (is_same || request.format->kind != chat::Format::Kind::kText))
    out.set("response_format", encode_response_format(*request.format));
}

void encode_thinking(const chat::Thinking& thinking, Json& out, Dropped& dropped) {
  if (const std::string effort = effort_of(thinking); !effort.empty()) out.set("reasoning_effort", effort);
  if (thinking.budget_tokens) dropped.add("thinking.budget_tokens");
  if (thinking.mode == chat::Thinking::Mode::kOn && effort_of(thinking).empty()) dropped.add("thinking");
  if (!thinking.summary.empty()) dropped.add("reasoning.summary");
}

}  // namespace

std::string encode_openai_request(const chat::Request& request, const Target& target, Dropped& dropped) {
  Json out = Json::object({{"model", target.model.empty() ? request.model : std::string(target.model)}});
  const bool is_chat = request.is_chat();
  const chat::Dialect own = is_chat ? chat::Dialect::kOpenAiChat : chat::Dialect::kOpenAiCompletions;
  const bool is_same = request.dialect == own;
  if (is_chat) {
    out.set("messages", encode_messages(request, dropped));
  } else {
    out.set("prompt", encode_prompts(request.prompts));
  }
  encode_sampling(request.sampling, out);
  if (request.tokens_max && !(is_same && is_chat && request.extras.find("max_tokens") != nullptr))
    out.set(is_chat ? "max_completion_tokens" : "max_tokens", *request.tokens_max);
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
  if (request.stream && (request.include_usage || target.wants_usage))
    out.set("stream_options", Json::object({{"include_usage", true}}));
  const bool is_told = is_same && string_at(request.extras, "safety_identifier") == request.user;
  if (!request.user.empty() && !is_told) out.set("user", request.user);
  if (!request.template_kwargs.is_null()) out.set("chat_template_kwargs", request.template_kwargs);
  encode_tools(request, is_same, out, dropped);
  encode_thinking(request.thinking, out, dropped);
  if (!request.metadata.is_null()) is_same ? out.set("metadata", request.metadata) : dropped.add("metadata");
  if (!request.cache.is_null()) dropped.add("cache_control");
  if (!is_same) {
    dropped.add_members(request.extras);
    return out.write();
  }
  if (Json* options = out.find("stream_options")) {
    if (const Json* kept = request.extras.find("stream_options")) add_extras(*options, *kept);
  }
  add_extras(out, request.extras);
  return out.write();
}

}  // namespace cresset::wire
