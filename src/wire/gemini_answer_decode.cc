#include <utility>

#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/lenient.h"
#include "wire/provider_fault.h"
#include "wire/signature.h"
#include "wire/sse_decoder.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kGemini;

chat::Usage read_usage(const Json& value) {
  chat::Usage usage;
  usage.prompt_tokens = count_at(value, "promptTokenCount");
  usage.cached_tokens = count_at(value, "cachedContentTokenCount");
  usage.reasoning_tokens = count_at(value, "thoughtsTokenCount");
  usage.completion_tokens = count_at(value, "candidatesTokenCount") + usage.reasoning_tokens;
  return usage;
}

chat::FinishReason read_reason(std::string_view reason, bool has_calls) {
  if (reason == "MAX_TOKENS") return chat::FinishReason::kLength;
  if (reason != "STOP" && reason != "FINISH_REASON_UNSPECIFIED" && reason != "OTHER")
    return chat::FinishReason::kRefused;
  return has_calls ? chat::FinishReason::kToolCalls : chat::FinishReason::kStop;
}

// Chunks (or the one answer) to events. The counts stand in every chunk, so the ends wait for the last.
class Reader {
 public:
  explicit Reader(const chat::Request& asked) : choices_(static_cast<size_t>(asked.choices)) {
    custom_.tools = asked.tools;
  }

  Status take(const Json& chunk, std::vector<chat::Event>& out) {
    if (!has_begun_) begin(chunk, out);
    if (const Json* usage = get(chunk, "usageMetadata")) usage_ = read_usage(*usage);
    if (const Json* feedback = get(chunk, "promptFeedback");
        feedback != nullptr && get(*feedback, "blockReason") != nullptr) {
      for (Choice& choice : choices_) {
        choice.is_finished = true;
        choice.last.reason = chat::FinishReason::kRefused;
      }
    }
    for (const Json& candidate : array_at(chunk, "candidates")) {
      const int index = count_at(candidate, "index");
      if (static_cast<size_t>(index) >= choices_.size())
        return fail(Code::kCorrupt, "the provider answers a choice that was not asked for");
      Choice& choice = choices_[static_cast<size_t>(index)];
      if (const Json* content = get(candidate, "content")) {
        for (const Json& part : array_at(*content, "parts")) {
          if (part.is_object()) take_part(index, choice, part, out);
        }
      }
      if (const std::string_view reason = string_at(candidate, "finishReason"); !reason.empty()) {
        choice.is_finished = true;
        choice.last.reason = read_reason(reason, choice.calls > 0);
        keep_extras(candidate, choice.last.extras);
      }
    }
    return {};
  }

  // False: an end is missing.
  bool finish(std::vector<chat::Event>& out) {
    for (const Choice& choice : choices_) {
      if (!choice.is_finished) return false;
    }
    for (size_t i = 0; i < choices_.size(); ++i) {
      chat::Finished& last = choices_[i].last;
      last.choice = static_cast<int>(i);
      if (i == 0) last.usage = usage_;
      out.push_back(std::move(last));
    }
    return true;
  }

 private:
  struct Choice {
    int calls = 0;
    bool is_finished = false;
    chat::Finished last{};
  };

  static void keep_extras(const Json& candidate, Json& extras) {
    for (const JsonMember& m : candidate.as_object()) {
      if (m.first != "content" && m.first != "index" && m.first != "finishReason") keep(extras, m);
    }
  }

  void begin(const Json& chunk, std::vector<chat::Event>& out) {
    has_begun_ = true;
    chat::Started started;
    started.model = string_at(chunk, "modelVersion");
    started.id = string_at(chunk, "responseId");
    for (const JsonMember& m : chunk.as_object()) {
      constexpr std::string_view kTaken[] = {"candidates", "usageMetadata", "modelVersion", "responseId"};
      if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken))
        keep(started.extras, m);
    }
    id_ = started.id;
    out.push_back(std::move(started));
  }

  void take_part(int index, Choice& choice, const Json& part, std::vector<chat::Event>& out) {
    const std::string_view signature = string_at(part, "thoughtSignature");
    if (const Json* text = get(part, "text"); text != nullptr && text->is_string()) {
      const Json* thought = get(part, "thought");
      const bool is_thought = thought != nullptr && thought->is_bool() && thought->as_bool();
      if (is_thought && (!text->as_string().empty() || !signature.empty())) {
        out.push_back(chat::ReasoningDelta{index, text->as_string(), false});
      } else if (!text->as_string().empty()) {
        out.push_back(chat::TextDelta{index, text->as_string(), {}});
      }
    } else if (const Json* call = get(part, "functionCall")) {
      take_call(index, choice, *call, out);
    } else if (const Json* data = get(part, "inlineData");
               data != nullptr && string_at(*data, "mimeType").starts_with("image/")) {
      chat::Part whole;
      whole.body = chat::Image{{chat::Media::Source::kBase64, std::string(string_at(*data, "mimeType")),
                                std::string(string_at(*data, "data"))}};
      whole.signature = read_signature(signature, kOwn);
      out.push_back(chat::PartWhole{index, std::move(whole)});
      return;
    } else {
      chat::Part whole;
      whole.body = chat::Opaque{part};
      out.push_back(chat::PartWhole{index, std::move(whole)});
      return;
    }
    if (!signature.empty()) out.push_back(chat::Signed{index, read_signature(signature, kOwn)});
    if (get(part, "functionCall") != nullptr) out.push_back(chat::PartEnd{index});
  }

  void take_call(int index, Choice& choice, const Json& call, std::vector<chat::Event>& out) {
    const std::string_view name = string_at(call, "name");
    std::string id(string_at(call, "id"));
    if (id.empty())
      id = std::string(kGeminiCallPrefix) + id_ + "_" + std::to_string(index) + "_" +
           std::to_string(choice.calls);
    const bool is_custom = is_custom_tool(custom_, name);
    out.push_back(chat::ToolBegin{index, choice.calls, std::move(id), std::string(name), is_custom});
    const Json* args = get(call, "args");
    const std::string text = args != nullptr ? arguments_text(*args) : "{}";
    out.push_back(chat::ToolDelta{index, choice.calls, is_custom ? custom_input(text) : text});
    ++choice.calls;
  }

  std::vector<Choice> choices_;
  chat::Request custom_;  // the tools that take free text
  chat::Usage usage_;
  std::string id_;
  bool has_begun_ = false;
};

class GeminiStreamDecoder final : public SseDecoder {
 public:
  explicit GeminiStreamDecoder(const chat::Request& asked) : reader_(asked) {}

  Status end(std::vector<chat::Event>& out) override {
    if (is_over_) return {};
    is_over_ = true;
    return reader_.finish(out) ? Status{} : fail(Code::kUnavailable, "the provider's stream was cut");
  }

 private:
  Status take(std::string_view data, std::vector<chat::Event>& out) override {
    const auto chunk = parse_json(data);
    if (!chunk || !chunk->is_object())
      return fail(Code::kCorrupt, "the provider sent something that is not a chunk of an answer");
    if (const Json* error = get(*chunk, "error")) {
      out.push_back(failed_from(*error, 0));
      is_over_ = true;
      return {};
    }
    return reader_.take(*chunk, out);
  }

  Reader reader_;
};

}  // namespace

Decoded<std::vector<chat::Event>> decode_gemini_answer(const chat::Request& asked, std::string_view body) {
  const auto value = parse_json(body);
  if (!value || !value->is_object()) return tl::unexpected<Fault>(not_an_answer());
  std::vector<chat::Event> out;
  if (const Json* error = get(*value, "error")) {
    out.push_back(failed_from(*error, 0));
    return out;
  }
  Reader reader(asked);
  if (!reader.take(*value, out) || !reader.finish(out)) return tl::unexpected<Fault>(not_an_answer());
  return out;
}

std::unique_ptr<StreamDecoder> make_gemini_stream_decoder(const chat::Request& asked) {
  return std::make_unique<GeminiStreamDecoder>(asked);
}

}  // namespace cresset::wire
