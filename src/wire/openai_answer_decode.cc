// Answers of providers that speak Chat Completions, whole and as streams, with what the field has added to
// it: reasoning_content (DeepSeek, vLLM, xAI), reasoning and reasoning_details (OpenRouter), tool calls
// without an index (Gemini's compatible endpoint) or all under index 0.
#include <map>
#include <utility>

#include "wire/lenient.h"
#include "wire/media.h"
#include "wire/openai_answer.h"
#include "wire/openai_request.h"
#include "wire/provider_fault.h"
#include "wire/signature.h"
#include "wire/sse_decoder.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiChat;

chat::Usage read_usage(const Json& value) {
  chat::Usage usage;
  usage.prompt_tokens = count_at(value, "prompt_tokens");
  usage.completion_tokens = count_at(value, "completion_tokens");
  if (const Json* details = get(value, "prompt_tokens_details")) {
    usage.cached_tokens = count_at(*details, "cached_tokens");
    usage.cache_write_tokens = count_at(*details, "cache_write_tokens");
  }
  if (usage.cached_tokens == 0) usage.cached_tokens = count_at(value, "prompt_cache_hit_tokens");  // DeepSeek
  if (const Json* details = get(value, "completion_tokens_details"))
    usage.reasoning_tokens = count_at(*details, "reasoning_tokens");
  return usage;
}

// What else a provider counts ("cost_in_usd_ticks"): for clients of this dialect.
void keep_usage_extras(const Json& value, Json& extras) {
  Json kept;
  if (!value.is_object()) return;
  for (const JsonMember& m : value.as_object()) {
    constexpr std::string_view kTaken[] = {"prompt_tokens", "completion_tokens", "total_tokens",
                                           "prompt_tokens_details", "completion_tokens_details"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken)) keep(kept, m);
  }
  if (!kept.is_null()) extras.set("usage", std::move(kept));
}

chat::FinishReason read_reason(std::string_view reason, bool has_calls) {
  if (reason == "length" || reason == "max_tokens") return chat::FinishReason::kLength;
  if (reason == "content_filter") return chat::FinishReason::kRefused;
  if (reason == "tool_calls" || reason == "function_call") return chat::FinishReason::kToolCalls;
  // Some servers say "stop" after a tool call; who reads the reason alone would not make it.
  return has_calls ? chat::FinishReason::kToolCalls : chat::FinishReason::kStop;
}

std::vector<chat::TokenReport> read_logprobs(const Json& value) {
  const auto read_one = [](const Json& item) {
    chat::TokenLogprob out;
    out.token = -1;
    if (const Json* bytes = get(item, "bytes"); bytes != nullptr && bytes->is_array()) {
      for (const Json& b : bytes->as_array()) out.bytes += static_cast<char>(count_of(b));
    } else {
      out.bytes = string_at(item, "token");
    }
    const Json* logprob = get(item, "logprob");
    if (logprob != nullptr && logprob->is_number()) out.logprob = logprob->as_number();
    return out;
  };
  std::vector<chat::TokenReport> out;
  for (const Json& item : array_at(value, "content")) {
    chat::TokenReport report{read_one(item), {}};
    for (const Json& top : array_at(item, "top_logprobs")) report.top.push_back(read_one(top));
    out.push_back(std::move(report));
  }
  return out;
}

// The messages of one answer, whole or in pieces, to events. Both shapes differ only in a name.
class MessageReader {
 public:
  void read(int choice, const Json& delta, const Json* logprobs, std::vector<chat::Event>& out) {
    read_reasoning(choice, delta, out);
    std::vector<chat::TokenReport> tokens =
        logprobs != nullptr ? read_logprobs(*logprobs) : std::vector<chat::TokenReport>{};
    const std::string_view text = string_at(delta, "content");
    // An empty text between the pieces of a tool call is no text.
    if (!text.empty() || !tokens.empty())
      out.push_back(chat::TextDelta{choice, std::string(text), std::move(tokens)});
    for (const Json& part : array_at(delta, "content")) {
      if (const std::string_view t = string_at(part, "text"); !t.empty())
        out.push_back(chat::TextDelta{choice, std::string(t), {}});
    }
    for (const Json& citation : array_at(delta, "annotations")) out.push_back(chat::Cited{choice, citation});
    if (const std::string_view refusal = string_at(delta, "refusal"); !refusal.empty())
      out.push_back(chat::RefusalDelta{choice, std::string(refusal)});
    for (const Json& call : array_at(delta, "tool_calls")) read_call(choice, call, out);
    for (const Json& image : array_at(delta, "images")) {
      const Json* url = get(image, "image_url");
      if (url == nullptr) continue;
      chat::Part part;
      part.body = chat::Image{media_of_url(string_at(*url, "url"))};
      out.push_back(chat::PartWhole{choice, std::move(part)});
    }
  }
  bool has_calls(int choice) const {
    const auto found = calls_.find(choice);
    return found != calls_.end() && !found->second.empty();
  }

 private:
  struct Call {
    int index;
    std::string id;
  };

  static void read_reasoning(int choice, const Json& delta, std::vector<chat::Event>& out) {
    bool is_told = false;
    for (chat::Part& part : read_reasoning_details(array_at(delta, "reasoning_details"))) {
      auto& reasoning = std::get<chat::Reasoning>(part.body);
      if (reasoning.is_redacted) {
        out.push_back(chat::PartWhole{choice, std::move(part)});
        continue;
      }
      is_told = is_told || !reasoning.text.empty();
      if (!reasoning.text.empty())
        out.push_back(chat::ReasoningDelta{choice, std::move(reasoning.text), reasoning.is_summary});
      if (!part.signature.empty()) out.push_back(chat::Signed{choice, std::move(part.signature)});
    }
    for (const char* name : {"reasoning_content", "reasoning"}) {
      const std::string_view text = string_at(delta, name);
      if (is_told || text.empty()) continue;
      is_told = true;
      out.push_back(chat::ReasoningDelta{choice, std::string(text), false});
    }
  }

  void read_call(int choice, const Json& call, std::vector<chat::Event>& out) {
    std::vector<Call>& calls = calls_[choice];
    const std::string_view id = string_at(call, "id");
    const Json* index_value = get(call, "index");
    const bool has_index = index_value != nullptr && index_value->is_integer();
    const int index = has_index ? count_of(*index_value) : -1;
    int number = -1;
    for (size_t i = 0; i < calls.size(); ++i) {
      const bool same_index = has_index ? calls[i].index == index : i + 1 == calls.size();
      if (same_index && (id.empty() || calls[i].id.empty() || calls[i].id == id))
        number = static_cast<int>(i);
    }
    const bool is_custom = string_at(call, "type") == "custom" || get(call, "custom") != nullptr;
    const Json* inner = get(call, is_custom ? "custom" : "function");
    static const Json nothing;
    const Json& body = inner != nullptr ? *inner : nothing;
    if (number < 0) {
      number = static_cast<int>(calls.size());
      calls.push_back({index, std::string(id)});
      out.push_back(
          chat::ToolBegin{choice, number, std::string(id), std::string(string_at(body, "name")), is_custom});
    }
    const Json* arguments = get(body, is_custom ? "input" : "arguments");
    if (arguments != nullptr) {
      // Some servers send the arguments as an object.
      std::string text = arguments->is_string() ? arguments->as_string() : arguments->write();
      if (!text.empty()) out.push_back(chat::ToolDelta{choice, number, std::move(text)});
    }
    if (const Json* extra = get(call, "extra_content")) {
      const Json* google = get(*extra, "google");
      const std::string_view s = google != nullptr ? string_at(*google, "thought_signature") : "";
      if (!s.empty()) out.push_back(chat::Signed{choice, read_signature(s, kOwn)});
    }
  }

  std::map<int, std::vector<Call>> calls_;
};

Json head_extras(const Json& value) {
  Json out;
  for (const JsonMember& m : value.as_object()) {
    constexpr std::string_view kTaken[] = {"id",      "object", "created",    "model",
                                           "choices", "usage",  "obfuscation"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken)) keep(out, m);
  }
  return out;
}

Json choice_extras(const Json& choice) {
  Json out;
  for (const JsonMember& m : choice.as_object()) {
    constexpr std::string_view kTaken[] = {"index", "message", "delta", "logprobs", "finish_reason"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken)) keep(out, m);
  }
  const Json* message = get(choice, "message");
  if (message == nullptr || !message->is_object()) return out;
  Json kept;
  for (const JsonMember& m : message->as_object()) {
    constexpr std::string_view kTaken[] = {
        "role",      "content",           "refusal",           "annotations", "tool_calls",
        "reasoning", "reasoning_content", "reasoning_details", "images"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken)) keep(kept, m);
  }
  if (!kept.is_null()) out.set("message", std::move(kept));
  return out;
}

class ChatStreamDecoder final : public SseDecoder {
 public:
  explicit ChatStreamDecoder(int choices) : choices_(static_cast<size_t>(choices)) {}

  Status end(std::vector<chat::Event>& out) override {
    if (is_over_) return {};
    for (const Choice& choice : choices_) {
      if (!choice.is_finished) return fail(Code::kUnavailable, "the provider's stream was cut");
    }
    finish(out);
    return {};
  }

 private:
  struct Choice {
    bool is_finished = false;
    chat::Finished last{};
  };

  Status take(std::string_view data, std::vector<chat::Event>& out) override {
    if (data == "[DONE]") {  // it says itself that it is whole, whatever reasons are missing
      for (Choice& choice : choices_) {
        if (!choice.is_finished) choice.last.choice = static_cast<int>(&choice - choices_.data());
        choice.is_finished = true;
      }
      return end(out);
    }
    const auto chunk = parse_json(data);
    if (!chunk || !chunk->is_object())
      return fail(Code::kCorrupt, "the provider sent something that is not a chunk of an answer");
    if (const Json* error = get(*chunk, "error")) {
      out.push_back(failed_from(*error, 0));
      is_over_ = true;
      return {};
    }
    if (!has_begun_) {
      has_begun_ = true;
      out.push_back(chat::Started{{},
                                  std::string(string_at(*chunk, "model")),
                                  std::string(string_at(*chunk, "id")),
                                  head_extras(*chunk)});
    }
    if (const Json* usage = get(*chunk, "usage")) {
      usage_ = read_usage(*usage);
      keep_usage_extras(*usage, usage_extras_);
    }
    for (const Json& choice : array_at(*chunk, "choices")) {
      if (Status ok = take_choice(choice, out); !ok) return ok;
    }
    return {};
  }

  Status take_choice(const Json& value, std::vector<chat::Event>& out) {
    if (!value.is_object()) return fail(Code::kCorrupt, "the provider sent a choice that is none");
    const int index = count_at(value, "index");
    if (static_cast<size_t>(index) >= choices_.size())
      return fail(Code::kCorrupt, "the provider answers a choice that was not asked for");
    Choice& choice = choices_[static_cast<size_t>(index)];
    if (const Json* delta = get(value, "delta"); delta != nullptr && !choice.is_finished)
      reader_.read(index, *delta, get(value, "logprobs"), out);
    if (const std::string_view reason = string_at(value, "finish_reason");
        !reason.empty() && !choice.is_finished) {
      choice.is_finished = true;
      choice.last = {index, read_reason(reason, reader_.has_calls(index)), {}, {}, choice_extras(value)};
    }
    return {};
  }

  // The counts come after the reasons; they are told with the last choice, and with the first what they are.
  void finish(std::vector<chat::Event>& out) {
    is_over_ = true;
    for (Choice& choice : choices_) {
      const bool is_first = &choice == choices_.data();
      if (is_first) {
        choice.last.usage = usage_;
        if (const Json* more = usage_extras_.find("usage")) choice.last.extras.set("usage", *more);
      }
      out.push_back(std::move(choice.last));
    }
  }

  MessageReader reader_;
  std::vector<Choice> choices_;
  chat::Usage usage_;
  Json usage_extras_;
  bool has_begun_ = false;
};

}  // namespace

Decoded<std::vector<chat::Event>> decode_chat_answer(const chat::Request& asked, std::string_view body) {
  const auto value = parse_json(body);
  if (!value || !value->is_object()) return tl::unexpected<Fault>(not_an_answer());
  std::vector<chat::Event> out;
  if (const Json* error = get(*value, "error")) {
    out.push_back(failed_from(*error, 0));
    return out;
  }
  chat::Usage usage;
  if (const Json* counts = get(*value, "usage")) usage = read_usage(*counts);
  out.push_back(chat::Started{{},
                              std::string(string_at(*value, "model")),
                              std::string(string_at(*value, "id")),
                              head_extras(*value)});
  MessageReader reader;
  const JsonArray& choices = array_at(*value, "choices");
  if (choices.size() != static_cast<size_t>(asked.choices)) return tl::unexpected<Fault>(not_an_answer());
  for (size_t i = 0; i < choices.size(); ++i) {
    const int index = static_cast<int>(i);
    const Json* message = get(choices[i], "message");
    if (message == nullptr || !message->is_object()) return tl::unexpected<Fault>(not_an_answer());
    reader.read(index, *message, get(choices[i], "logprobs"), out);
    chat::Finished finished{index,
                            read_reason(string_at(choices[i], "finish_reason"), reader.has_calls(index)),
                            i == 0 ? usage : chat::Usage{},
                            {},
                            choice_extras(choices[i])};
    if (const Json* counts = get(*value, "usage"); counts != nullptr && i == 0)
      keep_usage_extras(*counts, finished.extras);
    out.push_back(std::move(finished));
  }
  return out;
}

std::unique_ptr<StreamDecoder> make_chat_stream_decoder(const chat::Request& asked) {
  return std::make_unique<ChatStreamDecoder>(asked.choices);
}

}  // namespace cresset::wire
