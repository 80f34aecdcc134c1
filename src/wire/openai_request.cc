#include "wire/openai_request.h"

#include <charconv>
#include <limits>
#include <utility>

#include "wire/codec.h"
#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/openai_chat.h"
#include "wire/openai_tools.h"

namespace cresset::wire {

namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr int kCompletionTokensDefault = 16;  // OpenAI's for the legacy endpoint

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

// A request half read: what can only be judged when everything has been seen.
struct Draft {
  chat::Request request;
  std::optional<int> max_tokens, max_completion_tokens, top_logprobs;
  std::optional<int> best_of;
  bool has_stream_options = false;
  Json stream_extras;  // of stream_options
};

using Take = Checked (*)(const Field&, Draft&);

struct Parameter {
  std::string_view name;
  unsigned endpoints;
  Take take;  // the value is not null
};

constexpr unsigned kChat = static_cast<unsigned>(OpenAiEndpoint::kChat);
constexpr unsigned kCompletions = static_cast<unsigned>(OpenAiEndpoint::kCompletions);
constexpr unsigned kBoth = kChat | kCompletions;

Checked take_metadata(const Field& f, Draft& draft) {
  if (Checked ok = check_object(f); !ok) return ok;
  if (f.value.as_object().size() > 16) {
    return refuse(invalid_value(f.path, "too many properties. Expected an object with at most 16.",
                                "object_above_max_properties"));
  }
  std::string ignored;
  for (const JsonMember& m : f.value.as_object()) {
    if (m.first.size() > 64) return refuse(invalid_value(f.path, "a key is longer than 64 bytes."));
    if (Checked ok = take_string(f.member(m), 2048, ignored); !ok) return ok;
  }
  draft.request.metadata = f.value;
  return {};
}

Checked take_logit_bias(const Field& f, Draft& draft) {
  if (Checked ok = check_object(f); !ok) return ok;
  if (f.value.as_object().size() > kLogitBiasMax) {
    return refuse(invalid_value(f.path, "more than " + std::to_string(kLogitBiasMax) + " entries.",
                                "object_above_max_properties"));
  }
  for (const JsonMember& m : f.value.as_object()) {
    int32_t token = 0;
    const char* end = m.first.data() + m.first.size();
    const auto parsed = std::from_chars(m.first.data(), end, token);
    if (m.first.empty() || parsed.ec != std::errc() || parsed.ptr != end || token < 0) {
      return refuse(invalid_value(f.path, "the key " + Json(m.first).write().substr(0, 64) +
                                              " is not a token id: expected an integer as a string."));
    }
    std::optional<double> bias;
    if (Checked ok = take_number(f.member(m), {-100, 100}, bias); !ok) return ok;
    for (const auto& [other, value] : draft.request.sampling.logit_bias) {
      if (other == token)
        return refuse(invalid_value(f.path, "token " + std::to_string(token) + " appears twice."));
    }
    draft.request.sampling.logit_bias.emplace_back(token, *bias);
  }
  return {};
}

Checked take_stop_text(const Field& f, Draft& draft) {
  std::string text;
  if (Checked ok = take_string(f, kStopBytesMax, text); !ok) return ok;
  if (text.empty())
    return refuse(invalid_value(f.path, "an empty string would stop at once.", "empty_string"));
  draft.request.stop.push_back(std::move(text));
  return {};
}

Checked take_stop(const Field& f, Draft& draft) {
  if (f.value.is_string()) return take_stop_text(f, draft);
  if (!f.value.is_array()) return refuse(wrong_type(f, "a string or an array of strings"));
  if (Checked ok = check_array(f, 0, kStopsMax); !ok) return ok;
  for (size_t i = 0; i < f.value.as_array().size(); ++i) {
    if (Checked ok = take_stop_text(f.item(i), draft); !ok) return ok;
  }
  return {};
}

Checked take_stream_options(const Field& f, Draft& draft) {
  if (Checked ok = check_object(f); !ok) return ok;
  draft.has_stream_options = true;
  for (const JsonMember& m : f.value.as_object()) {
    const Field member = f.member(m);
    Checked ok;
    if (m.second.is_null()) continue;
    if (m.first == "include_usage") {
      ok = take_boolean(member, draft.request.include_usage);
    } else {
      Json& kept = draft.stream_extras;
      keep(kept, m);
    }
    if (!ok) return ok;
  }
  return {};
}

Checked take_tokens(const Field& f, std::vector<chat::Prompt>& out) {
  if (Checked ok = check_array(f, 1, kPromptTokensMax); !ok) return ok;
  chat::Tokens tokens;
  tokens.reserve(f.value.as_array().size());
  for (size_t i = 0; i < f.value.as_array().size(); ++i) {
    const Json& item = f.value.as_array()[i];
    if (item.is_integer() && item.as_integer() >= 0 && item.as_integer() <= kIntMax) {
      tokens.push_back(static_cast<int32_t>(item.as_integer()));
      continue;
    }
    int token = 0;
    return take_integer(f.item(i), 0, kIntMax, token);
  }
  out.emplace_back(std::move(tokens));
  return {};
}

Checked take_prompt(const Field& f, Draft& draft) {
  std::vector<chat::Prompt>& prompts = draft.request.prompts;
  if (f.value.is_string()) {
    prompts.emplace_back(f.value.as_string());
    return {};
  }
  if (!f.value.is_array()) {
    return refuse(
        wrong_type(f, "a string, an array of strings, an array of tokens or an array of token arrays"));
  }
  if (Checked ok = check_array(f, 1, kPromptTokensMax); !ok) return ok;
  const JsonArray& items = f.value.as_array();
  if (items[0].is_number()) return take_tokens(f, prompts);
  if (Checked ok = check_array(f, 1, kSequencesMax); !ok) return ok;
  for (size_t i = 0; i < items.size(); ++i) {
    const Field item = f.item(i);
    if (items[0].is_array()) {
      if (Checked ok = take_tokens(item, prompts); !ok) return ok;
    } else if (items[i].is_string()) {
      prompts.emplace_back(items[i].as_string());
    } else {
      return refuse(wrong_type(item, "a string"));
    }
  }
  return {};
}

Checked take_top_k(const Field& f, Draft& draft) {
  if (Checked ok = take_integer(f, -1, kIntMax, draft.request.sampling.top_k); !ok) return ok;
  if (draft.request.sampling.top_k == -1) draft.request.sampling.top_k = 0;  // both mean "off" in the field
  return {};
}

Checked take_completion_logprobs(const Field& f, Draft& draft) {
  draft.request.logprobs = true;
  return take_integer(f, 0, 5, draft.request.top_logprobs);
}

Checked take_template_kwargs(const Field& f, Draft& draft) {
  if (Checked ok = check_object(f); !ok) return ok;
  draft.request.template_kwargs = f.value;
  return {};
}

// One row a parameter that the vocabulary knows. What is not here is kept in extras.
constexpr Parameter kParameters[] = {
    {"messages", kChat, [](const Field& f, Draft& d) { return take_messages(f, d.request.messages); }},
    {"prompt", kCompletions, take_prompt},
    {"model", kBoth,
     [](const Field& f, Draft& d) { return take_string(f, kModelBytesMax, d.request.model); }},
    {"temperature", kBoth,
     [](const Field& f, Draft& d) { return take_number(f, {0, 2}, d.request.sampling.temperature); }},
    {"top_p", kBoth,
     [](const Field& f, Draft& d) { return take_number(f, {0, 1, true}, d.request.sampling.top_p); }},
    {"top_k", kBoth, take_top_k},
    {"min_p", kBoth,
     [](const Field& f, Draft& d) { return take_number(f, {0, 1}, d.request.sampling.min_p); }},
    {"repetition_penalty", kBoth,
     [](const Field& f, Draft& d) {
       return take_number(f, {0, 100, true}, d.request.sampling.repetition_penalty);
     }},
    {"presence_penalty", kBoth,
     [](const Field& f, Draft& d) { return take_number(f, {-2, 2}, d.request.sampling.presence_penalty); }},
    {"frequency_penalty", kBoth,
     [](const Field& f, Draft& d) { return take_number(f, {-2, 2}, d.request.sampling.frequency_penalty); }},
    {"logit_bias", kBoth, take_logit_bias},
    {"seed", kBoth,
     [](const Field& f, Draft& d) {
       return take_integer(f, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(),
                           d.request.sampling.seed);
     }},
    {"max_tokens", kBoth, [](const Field& f, Draft& d) { return take_integer(f, 1, kIntMax, d.max_tokens); }},
    {"max_completion_tokens", kChat,
     [](const Field& f, Draft& d) { return take_integer(f, 1, kIntMax, d.max_completion_tokens); }},
    {"min_tokens", kBoth,
     [](const Field& f, Draft& d) { return take_integer(f, 0, kIntMax, d.request.tokens_min); }},
    {"ignore_eos", kBoth, [](const Field& f, Draft& d) { return take_boolean(f, d.request.ignore_eos); }},
    {"stop", kBoth, take_stop},
    {"n", kBoth,
     [](const Field& f, Draft& d) { return take_integer(f, 1, kSequencesMax, d.request.choices); }},
    {"best_of", kCompletions, [](const Field& f, Draft& d) { return take_integer(f, 1, 20, d.best_of); }},
    {"logprobs", kChat, [](const Field& f, Draft& d) { return take_boolean(f, d.request.logprobs); }},
    {"logprobs", kCompletions, take_completion_logprobs},
    {"top_logprobs", kChat, [](const Field& f, Draft& d) { return take_integer(f, 0, 20, d.top_logprobs); }},
    {"echo", kCompletions, [](const Field& f, Draft& d) { return take_boolean(f, d.request.echo); }},
    {"stream", kBoth, [](const Field& f, Draft& d) { return take_boolean(f, d.request.stream); }},
    {"stream_options", kBoth, take_stream_options},
    {"user", kBoth, [](const Field& f, Draft& d) { return take_string(f, kShortBytesMax, d.request.user); }},
    {"metadata", kChat, take_metadata},
    {"chat_template_kwargs", kChat, take_template_kwargs},
    {"response_format", kChat,
     [](const Field& f, Draft& d) { return take_response_format(f, d.request.format); }},
    {"reasoning_effort", kChat,
     [](const Field& f, Draft& d) { return take_string(f, kShortBytesMax, d.request.thinking.effort); }},
    {"tools", kChat, [](const Field& f, Draft& d) { return take_openai_tools(f, d.request.tools); }},
    {"tool_choice", kChat,
     [](const Field& f, Draft& d) { return take_openai_tool_choice(f, d.request.tool_choice); }},
    {"parallel_tool_calls", kChat,
     [](const Field& f, Draft& d) { return take_boolean(f, d.request.parallel_tools.emplace(false)); }},
};

const Parameter* find_parameter(std::string_view name, unsigned endpoint) {
  for (const Parameter& p : kParameters) {
    if (p.name == name && (p.endpoints & endpoint) != 0) return &p;
  }
  return nullptr;
}

Checked settle_lengths(Draft& draft, bool is_chat) {
  chat::Request& request = draft.request;
  if (draft.max_tokens && draft.max_completion_tokens && *draft.max_tokens != *draft.max_completion_tokens) {
    return refuse(invalid_value("max_tokens",
                                "'max_tokens' and 'max_completion_tokens' were both given and differ. "
                                "Give only 'max_completion_tokens'."));
  }
  // Not every server knows the newer name: one that was asked by the older is asked so again.
  if (is_chat && draft.max_tokens && !draft.max_completion_tokens)
    request.extras.set("max_tokens", *draft.max_tokens);
  request.tokens_max = draft.max_completion_tokens ? draft.max_completion_tokens : draft.max_tokens;
  if (!request.tokens_max && !is_chat) request.tokens_max = kCompletionTokensDefault;
  if (request.tokens_max && request.tokens_min > *request.tokens_max) {
    return refuse(invalid_value("min_tokens", "more than the " + std::to_string(*request.tokens_max) +
                                                  " tokens that may be written at most."));
  }
  return {};
}

// The rules between parameters.
Checked settle(Draft& draft, bool is_chat) {
  chat::Request& request = draft.request;
  if (request.model.empty())
    return refuse(invalid_value("model", "an empty string names no model.", "empty_string"));
  if (Checked ok = settle_lengths(draft, is_chat); !ok) return ok;
  if (!draft.stream_extras.is_null()) request.extras.set("stream_options", std::move(draft.stream_extras));
  if (draft.top_logprobs) {
    if (!request.logprobs && *draft.top_logprobs != 0) {
      return refuse(invalid_value("top_logprobs", "'logprobs' must be true for this to be set."));
    }
    request.top_logprobs = *draft.top_logprobs;
  }
  if (draft.has_stream_options && !request.stream) {
    return refuse(invalid_value("stream_options", "only allowed when 'stream' is true."));
  }
  if (draft.best_of && *draft.best_of != request.choices) {
    return refuse(unsupported_value("best_of", "does not support " + std::to_string(*draft.best_of) +
                                                   ": it must equal 'n', every answer is returned."));
  }
  if (count_choices(request) > kSequencesMax) {
    return refuse(invalid_value("n",
                                "prompts times 'n' is " + std::to_string(count_choices(request)) +
                                    "; at most " + std::to_string(kSequencesMax) + " are answered at once.",
                                "integer_above_max_value"));
  }
  if (request.user.empty()) request.user = string_at(request.extras, "safety_identifier");
  return {};
}

}  // namespace

Decoded<chat::Request> decode_openai_request(OpenAiEndpoint endpoint, std::string_view body) {
  Decoded<Json> parsed = parse_body(body);
  if (!parsed) return tl::unexpected<Fault>(std::move(parsed.error()));
  const Field root{*parsed, ""};
  const bool is_chat = endpoint == OpenAiEndpoint::kChat;
  for (std::string_view required :
       {std::string_view("model"), std::string_view(is_chat ? "messages" : "prompt")}) {
    const Json* value = parsed->find(required);
    if (value == nullptr || value->is_null())
      return tl::unexpected<Fault>(missing_parameter(std::string(required)));
  }
  Draft draft;
  draft.request.dialect = is_chat ? chat::Dialect::kOpenAiChat : chat::Dialect::kOpenAiCompletions;
  for (const JsonMember& m : parsed->as_object()) {
    const Parameter* parameter = find_parameter(m.first, static_cast<unsigned>(endpoint));
    if (m.second.is_null()) continue;
    if (parameter == nullptr) {
      keep(draft.request.extras, m);
      continue;
    }
    if (Checked ok = parameter->take(root.member(m), draft); !ok)
      return tl::unexpected<Fault>(std::move(ok.error()));
  }
  if (Checked ok = settle(draft, is_chat); !ok) return tl::unexpected<Fault>(std::move(ok.error()));
  return std::move(draft.request);
}

}  // namespace cresset::wire
