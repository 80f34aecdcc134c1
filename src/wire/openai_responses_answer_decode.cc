#include <map>
#include <utility>

#include "wire/lenient.h"
#include "wire/openai_responses.h"
#include "wire/provider_fault.h"
#include "wire/signature.h"
#include "wire/sse_decoder.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiResponses;

chat::Usage read_usage(const Json& response) {
  chat::Usage usage;
  const Json* value = get(response, "usage");
  if (value == nullptr) return usage;
  usage.prompt_tokens = count_at(*value, "input_tokens");
  usage.completion_tokens = count_at(*value, "output_tokens");
  if (const Json* details = get(*value, "input_tokens_details"))
    usage.cached_tokens = count_at(*details, "cached_tokens");
  if (const Json* details = get(*value, "output_tokens_details"))
    usage.reasoning_tokens = count_at(*details, "reasoning_tokens");
  return usage;
}

Json head_extras(const Json& response) {
  Json out;
  for (const JsonMember& m : response.as_object()) {
    constexpr std::string_view kTaken[] = {
        "id", "object", "created_at", "status", "model", "output", "usage", "error", "incomplete_details"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken)) keep(out, m);
  }
  return out;
}

chat::FinishReason read_reason(const Json& response, bool has_calls) {
  if (string_at(response, "status") == "incomplete") {
    const Json* details = get(response, "incomplete_details");
    const bool is_filtered = details != nullptr && string_at(*details, "reason") == "content_filter";
    return is_filtered ? chat::FinishReason::kRefused : chat::FinishReason::kLength;
  }
  return has_calls ? chat::FinishReason::kToolCalls : chat::FinishReason::kStop;
}

chat::Failed read_failure(const Json& response) {
  const Json* error = get(response, "error");
  return error != nullptr ? failed_from(*error, 0) : failed_from_status(500);
}

// Items to events. What a stream has told in pieces is not told again when its item is done.
class ItemReader {
 public:
  void begin(int index, const Json& item, std::vector<chat::Event>& out) {
    Item& state = items_[index];
    state.has_begun = true;
    const std::string_view type = string_at(item, "type");
    state.is_custom = type == "custom_tool_call";
    if (type != "function_call" && !state.is_custom) return;
    state.call = calls_++;
    out.push_back(chat::ToolBegin{0, state.call, std::string(string_at(item, "call_id")),
                                  std::string(string_at(item, "name")), state.is_custom});
  }

  void arguments(int index, std::string_view text, bool is_whole, std::vector<chat::Event>& out) {
    Item& state = items_[index];
    if (state.call < 0 || text.empty() || (is_whole && state.has_told)) return;
    state.has_told = true;
    out.push_back(chat::ToolDelta{0, state.call, std::string(text)});
  }

  void text(int index, chat::Event event, std::vector<chat::Event>& out) {
    items_[index].has_told = true;
    out.push_back(std::move(event));
  }

  void done(int index, const Json& item, std::vector<chat::Event>& out) {
    const std::string_view type = string_at(item, "type");
    if (!items_[index].has_begun) begin(index, item, out);
    Item& state = items_[index];
    if (type == "function_call" || type == "custom_tool_call") {
      arguments(index, string_at(item, state.is_custom ? "input" : "arguments"), true, out);
      out.push_back(chat::PartEnd{0});
    } else if (type == "message") {
      if (!state.has_told) message(item, out);
      out.push_back(chat::PartEnd{0});
    } else if (type == "reasoning") {
      if (!state.has_told) thoughts(item, out);
      sign(item, out);
      out.push_back(chat::PartEnd{0});
    } else {
      chat::Part part;
      part.body = chat::Opaque{item};
      out.push_back(chat::PartWhole{0, std::move(part)});
    }
  }

  bool has_calls() const { return calls_ > 0; }

 private:
  struct Item {
    bool has_begun = false, has_told = false, is_custom = false;
    int call = -1;
  };

  static void message(const Json& item, std::vector<chat::Event>& out) {
    bool is_first = true;
    for (const Json& part : array_at(item, "content")) {
      if (!is_first) out.push_back(chat::PartEnd{0});
      is_first = false;
      if (string_at(part, "type") == "refusal") {
        out.push_back(chat::RefusalDelta{0, std::string(string_at(part, "refusal"))});
        continue;
      }
      out.push_back(chat::TextDelta{0, std::string(string_at(part, "text")), {}});
      for (const Json& citation : array_at(part, "annotations")) out.push_back(chat::Cited{0, citation});
    }
  }

  static void thoughts(const Json& item, std::vector<chat::Event>& out) {
    for (const Json& summary : array_at(item, "summary"))
      out.push_back(chat::ReasoningDelta{0, std::string(string_at(summary, "text")), true});
    for (const Json& content : array_at(item, "content"))
      out.push_back(chat::ReasoningDelta{0, std::string(string_at(content, "text")), false});
  }

  void sign(const Json& item, std::vector<chat::Event>& out) {
    const std::string_view sealed = string_at(item, "encrypted_content");
    if (sealed.empty()) return;
    const bool has_text = !array_at(item, "summary").empty() || !array_at(item, "content").empty();
    if (!has_text) out.push_back(chat::ReasoningDelta{0, {}, true});
    out.push_back(chat::Signed{0, read_signature(sealed, kOwn)});
  }

  std::map<int, Item> items_;
  int calls_ = 0;
};

class ResponsesStreamDecoder final : public SseDecoder {
 public:
  Status end(std::vector<chat::Event>&) override {
    return is_over_ ? Status{} : fail(Code::kUnavailable, "the provider's stream was cut");
  }

 private:
  Status take(std::string_view data, std::vector<chat::Event>& out) override {
    if (data == "[DONE]") return {};  // some servers say so
    const auto event = parse_json(data);
    if (!event || !event->is_object())
      return fail(Code::kCorrupt, "the provider sent something that is not an event of an answer");
    std::string_view type = string_at(*event, "type");
    const int index = count_at(*event, "output_index");
    if (type == "error") {
      const Json* error = get(*event, "error");
      out.push_back(failed_from(error != nullptr ? *error : *event, 0));
      is_over_ = true;
      return {};
    }
    if (!type.starts_with("response.")) return {};
    type.remove_prefix(9);
    const std::string delta(string_at(*event, "delta"));
    if (type == "output_text.delta") {
      reader_.text(index, chat::TextDelta{0, delta, {}}, out);
    } else if (type == "function_call_arguments.delta" || type == "custom_tool_call_input.delta") {
      reader_.arguments(index, delta, false, out);
    } else if (type == "reasoning_summary_text.delta" || type == "reasoning_text.delta") {
      reader_.text(index, chat::ReasoningDelta{0, delta, type != "reasoning_text.delta"}, out);
    } else if (type == "refusal.delta") {
      reader_.text(index, chat::RefusalDelta{0, delta}, out);
    } else if (type == "output_text.annotation.added") {
      if (const Json* annotation = get(*event, "annotation"))
        reader_.text(index, chat::Cited{0, *annotation}, out);
    } else if (type == "content_part.done" || type == "reasoning_summary_part.done") {
      out.push_back(chat::PartEnd{0});
    } else if (type == "output_item.added" || type == "output_item.done") {
      const Json* item = get(*event, "item");
      if (item == nullptr || !item->is_object())
        return fail(Code::kCorrupt, "the provider sent an item that is none");
      type == "output_item.added" ? reader_.begin(index, *item, out) : reader_.done(index, *item, out);
    } else {
      return take_response(type, *event, out);
    }
    return {};
  }

  Status take_response(std::string_view type, const Json& event, std::vector<chat::Event>& out) {
    const Json* response = get(event, "response");
    if (response == nullptr || !response->is_object()) return {};
    if (type == "created" && !has_begun_) {
      has_begun_ = true;
      out.push_back(chat::Started{{},
                                  std::string(string_at(*response, "model")),
                                  std::string(string_at(*response, "id")),
                                  head_extras(*response)});
    } else if (type == "completed" || type == "incomplete") {
      is_over_ = true;
      out.push_back(
          chat::Finished{0, read_reason(*response, reader_.has_calls()), read_usage(*response), {}, {}});
    } else if (type == "failed") {
      is_over_ = true;
      out.push_back(read_failure(*response));
    }
    return {};
  }

  ItemReader reader_;
  bool has_begun_ = false;
};

}  // namespace

Decoded<std::vector<chat::Event>> decode_responses_answer(std::string_view body) {
  const auto value = parse_json(body);
  if (!value || !value->is_object()) return tl::unexpected<Fault>(not_an_answer());
  std::vector<chat::Event> out;
  if (string_at(*value, "status") == "failed" ||
      (get(*value, "error") != nullptr && get(*value, "output") == nullptr)) {
    out.push_back(read_failure(*value));
    return out;
  }
  if (value->find("output") == nullptr) return tl::unexpected<Fault>(not_an_answer());
  out.push_back(chat::Started{{},
                              std::string(string_at(*value, "model")),
                              std::string(string_at(*value, "id")),
                              head_extras(*value)});
  ItemReader reader;
  int index = 0;
  for (const Json& item : array_at(*value, "output")) {
    if (!item.is_object()) return tl::unexpected<Fault>(not_an_answer());
    reader.done(index++, item, out);
  }
  out.push_back(chat::Finished{0, read_reason(*value, reader.has_calls()), read_usage(*value), {}, {}});
  return out;
}

std::unique_ptr<StreamDecoder> make_responses_stream_decoder() {
  return std::make_unique<ResponsesStreamDecoder>();
}

}  // namespace cresset::wire
