// Answers in the shape of the Responses API. A signature of another model that stands on a text or a tool
// call follows it as a reasoning item without text (see signature.h).
#include <utility>

#include "wire/lenient.h"
#include "wire/media.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOpenAiResponses;

bool is_cut(chat::FinishReason reason) {
  return reason == chat::FinishReason::kLength || reason == chat::FinishReason::kContextFull ||
         reason == chat::FinishReason::kRefused;
}

Json usage_value(const chat::Usage& usage) {
  return Json::object(
      {{"input_tokens", usage.prompt_tokens},
       {"input_tokens_details", Json::object({{"cached_tokens", usage.cached_tokens}})},
       {"output_tokens", usage.completion_tokens},
       {"output_tokens_details", Json::object({{"reasoning_tokens", usage.reasoning_tokens}})},
       {"total_tokens", int64_t{usage.prompt_tokens} + usage.completion_tokens}});
}

std::string item_id(std::string_view prefix, const AnswerIdentity& identity, size_t index) {
  const size_t mark = identity.id.find('_');
  return std::string(prefix) + identity.id.substr(mark == std::string::npos ? 0 : mark + 1) + "_" +
         std::to_string(index);
}

// Parts to items, one after the other; a stream uses it for what it has told in pieces.
class ItemWriter {
 public:
  explicit ItemWriter(const AnswerIdentity& identity) : identity_(identity) {}

  static Json text_part(const chat::Text& text) {
    return Json::object({{"type", "output_text"},
                         {"text", text.text},
                         {"annotations", text.citations.is_array() ? text.citations : Json::array()},
                         {"logprobs", Json::array()}});
  }
  Json message(size_t index, Json content, std::string_view status) const {
    return Json::object({{"id", item_id("msg_", identity_, index)},
                         {"type", "message"},
                         {"status", status},
                         {"role", "assistant"},
                         {"content", std::move(content)}});
  }
  Json call(size_t index, const chat::ToolCall& call, std::string_view status) const {
    return Json::object({{"id", item_id(call.is_custom ? "ctc_" : "fc_", identity_, index)},
                         {"type", call.is_custom ? "custom_tool_call" : "function_call"},
                         {"status", status},
                         {"call_id", call.id},
                         {"name", call.name},
                         {call.is_custom ? "input" : "arguments", call.arguments}});
  }
  Json reasoning(size_t index, const chat::Reasoning& reasoning, const chat::Signature& signature) const {
    Json out = Json::object(
        {{"id", item_id("rs_", identity_, index)}, {"type", "reasoning"}, {"summary", Json::array()}});
    if (!reasoning.text.empty() && reasoning.is_summary)
      out.find("summary")->push(Json::object({{"type", "summary_text"}, {"text", reasoning.text}}));
    if (!reasoning.text.empty() && !reasoning.is_summary)
      out.set("content", Json::array({Json::object({{"type", "reasoning_text"}, {"text", reasoning.text}})}));
    if (!signature.empty()) out.set("encrypted_content", signature_for_client(signature, kOwn));
    return out;
  }
  // A part that came whole.
  Json whole(size_t index, const chat::Part& part) const {
    if (const auto* r = std::get_if<chat::Reasoning>(&part.body)) return reasoning(index, *r, part.signature);
    if (const auto* image = std::get_if<chat::Image>(&part.body)) {
      return Json::object({{"id", item_id("ig_", identity_, index)},
                           {"type", "image_generation_call"},
                           {"status", "completed"},
                           {"result", image->media.data}});
    }
    const auto* opaque = std::get_if<chat::Opaque>(&part.body);
    if (opaque == nullptr) return {};
    if (identity_.origin == kOwn) return opaque->value;
    return Json::object(
        {{"id", item_id("cr_", identity_, index)}, {"type", "cresset_part"}, {"value", opaque->value}});
  }

 private:
  const AnswerIdentity& identity_;
};

JsonArray items_of(const Choice& choice, const AnswerIdentity& identity) {
  const ItemWriter writer(identity);
  JsonArray out;
  Json content = Json::array();
  const char* status = choice.reason && is_cut(*choice.reason) ? "incomplete" : "completed";
  const auto flush = [&] {
    if (!content.as_array().empty())
      out.push_back(writer.message(out.size(), std::exchange(content, Json::array()), status));
  };
  for (const chat::Part& part : choice.parts) {
    const bool is_signed = !part.signature.empty();
    if (const auto* text = std::get_if<chat::Text>(&part.body)) {
      if (!text->text.empty() || !text->citations.is_null()) content.push(ItemWriter::text_part(*text));
    } else if (const auto* refusal = std::get_if<chat::Refusal>(&part.body)) {
      content.push(Json::object({{"type", "refusal"}, {"refusal", refusal->text}}));
    } else {
      flush();
      if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) {
        out.push_back(writer.call(out.size(), *call, status));
      } else {
        if (Json item = writer.whole(out.size(), part); !item.is_null()) out.push_back(std::move(item));
        continue;
      }
    }
    if (is_signed) {
      flush();
      out.push_back(writer.reasoning(out.size(), {}, part.signature));
    }
  }
  flush();
  return out;
}

// The object that begins and ends an answer.
Json response_value(const chat::Request& request, const AnswerIdentity& identity, std::string_view status) {
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(); };
  return Json::object({{"id", identity.id},
                       {"object", "response"},
                       {"created_at", identity.created_unix_s},
                       {"status", status},
                       {"error", nullptr},
                       {"incomplete_details", nullptr},
                       {"instructions", nullptr},
                       {"max_output_tokens", or_null(request.tokens_max)},
                       {"metadata", request.metadata.is_null() ? Json::object() : request.metadata},
                       {"model", identity.model},
                       {"output", Json::array()},
                       {"parallel_tool_calls", request.parallel_tools.value_or(true)},
                       {"temperature", or_null(request.sampling.temperature)},
                       {"tool_choice", "auto"},
                       {"tools", Json::array()},
                       {"top_p", or_null(request.sampling.top_p)},
                       {"usage", nullptr}});
}

void finish_response(Json& response, const Answer& answer, const AnswerIdentity& identity) {
  const Choice& choice = answer.choices()[0];
  const chat::FinishReason reason = choice.reason.value_or(chat::FinishReason::kStop);
  if (is_cut(reason)) {
    response.set("status", "incomplete");
    response.set("incomplete_details",
                 Json::object({{"reason", reason == chat::FinishReason::kRefused ? "content_filter"
                                                                                 : "max_output_tokens"}}));
  }
  response.set("usage", usage_value(answer.usage()));
  if (identity.origin != kOwn) return;
  // The provider's own words, where they are about the answer.
  if (answer.head().extras.is_object()) {
    for (const JsonMember& m : answer.head().extras.as_object()) response.set(m.first, m.second);
  }
  add_extras(response, choice.extras);
}

class ResponsesStreamEncoder final : public StreamEncoder {
 public:
  ResponsesStreamEncoder(const chat::Request& request, AnswerIdentity identity)
      : identity_(std::move(identity)), writer_(identity_), answer_(1) {
    request_.tokens_max = request.tokens_max;
    request_.metadata = request.metadata;
    request_.parallel_tools = request.parallel_tools;
    request_.sampling.temperature = request.sampling.temperature;
    request_.sampling.top_p = request.sampling.top_p;
  }

  void encode(const chat::Event& event, std::string& out) override {
    if (const auto* failed = std::get_if<chat::Failed>(&event)) return fail(to_fault(*failed), out);
    answer_.add(event);
    if (!has_begun_) begin(out);
    if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (delta->text.empty()) return;
      open(Kind::kText, out);
      text_ += delta->text;
      write_delta("response.output_text.delta", "content_index", delta->text, ",\"logprobs\":[]", out);
    } else if (const auto* thought = std::get_if<chat::ReasoningDelta>(&event)) {
      open(thought->is_summary ? Kind::kSummary : Kind::kThought, out);
      text_ += thought->text;
      if (thought->text.empty()) return;
      write_delta(
          thought->is_summary ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta",
          thought->is_summary ? "summary_index" : "content_index", thought->text, "", out);
    } else if (const auto* refusal = std::get_if<chat::RefusalDelta>(&event)) {
      open(Kind::kRefusal, out);
      text_ += refusal->text;
      write_delta("response.refusal.delta", "content_index", refusal->text, "", out);
    } else if (const auto* tool = std::get_if<chat::ToolBegin>(&event)) {
      begin_tool(*tool, out);
    } else if (const auto* more = std::get_if<chat::ToolDelta>(&event)) {
      if (kind_ != Kind::kTool || call_number_ != more->call) return;  // told with the item, at the end
      call_.arguments += more->arguments;
      write_delta(call_.is_custom ? "response.custom_tool_call_input.delta"
                                  : "response.function_call_arguments.delta",
                  "", more->arguments, "", out);
    } else if (const auto* sign = std::get_if<chat::Signed>(&event)) {
      sign_part(sign->signature, out);
    } else if (const auto* cited = std::get_if<chat::Cited>(&event)) {
      open(Kind::kText, out);
      frame("response.output_text.annotation.added",
            Json::object({{"item_id", id_},
                          {"output_index", index()},
                          {"content_index", 0},
                          {"annotation_index", citations_.is_array() ? citations_.as_array().size() : 0},
                          {"annotation", cited->citation}}),
            out);
      citations_.push(cited->citation);
    } else if (const auto* whole = std::get_if<chat::PartWhole>(&event)) {
      close(out);
      if (Json item = writer_.whole(items_.size(), whole->part); !item.is_null()) {
        add_item(item, out);
        done_item(std::move(item), out);
      }
    } else if (std::holds_alternative<chat::PartEnd>(event)) {
      close(out);
    } else if (std::holds_alternative<chat::Finished>(event)) {
      finish(out);
    }
  }

 private:
  enum class Kind { kNone, kText, kRefusal, kThought, kSummary, kTool };
  int index() const { return static_cast<int>(items_.size()); }

  void frame(std::string_view type, Json data, std::string& out) {
    out += "event: ";
    out += type;
    out += "\ndata: {\"type\":\"";
    out += type;
    out += "\",\"sequence_number\":";
    out += std::to_string(sequence_++);
    std::string members = data.write();
    members[0] = ',';
    out += members;
    out += "\n\n";
  }

  // The hot path: no tree is built.
  void write_delta(std::string_view type, std::string_view index_name, std::string_view text,
                   std::string_view tail, std::string& out) {
    out += "event: ";
    out += type;
    out += "\ndata: {\"type\":\"";
    out += type;
    out += "\",\"sequence_number\":";
    out += std::to_string(sequence_++);
    out += head_;
    if (!index_name.empty()) {
      out += ",\"";
      out += index_name;
      out += "\":0";
    }
    out += ",\"delta\":";
    write_json_string(out, text);
    out += tail;
    out += "}\n\n";
  }

  void begin(std::string& out) {
    has_begun_ = true;
    for (const char* type : {"response.created", "response.in_progress"})
      frame(type, Json::object({{"response", response_value(request_, identity_, "in_progress")}}), out);
  }

  void add_item(const Json& item, std::string& out) {
    id_ = string_at(item, "id");
    head_ = ",\"item_id\":" + Json(id_).write() + ",\"output_index\":" + std::to_string(index());
    frame("response.output_item.added", Json::object({{"output_index", index()}, {"item", item}}), out);
  }
  void done_item(Json item, std::string& out) {
    frame("response.output_item.done", Json::object({{"output_index", index()}, {"item", item}}), out);
    items_.push_back(std::move(item));
  }

  Json place(std::string_view index_name) const {
    return Json::object({{"item_id", id_}, {"output_index", index()}, {std::string(index_name), 0}});
  }
  Json part_value() const {
    if (kind_ == Kind::kText) return ItemWriter::text_part({text_, citations_});
    if (kind_ == Kind::kRefusal) return Json::object({{"type", "refusal"}, {"refusal", text_}});
    return Json::object(
        {{"type", kind_ == Kind::kSummary ? "summary_text" : "reasoning_text"}, {"text", text_}});
  }

  void open(Kind kind, std::string& out) {
    if (kind_ == kind) return;
    close(out);
    kind_ = kind;
    const bool is_thought = kind == Kind::kThought || kind == Kind::kSummary;
    add_item(is_thought ? writer_.reasoning(items_.size(), {}, {})
                        : writer_.message(items_.size(), Json::array(), "in_progress"),
             out);
    if (kind == Kind::kThought) return;
    Json data = place(kind == Kind::kSummary ? "summary_index" : "content_index");
    data.set("part", part_value());
    frame(kind == Kind::kSummary ? "response.reasoning_summary_part.added" : "response.content_part.added",
          std::move(data), out);
  }

  void begin_tool(const chat::ToolBegin& tool, std::string& out) {
    close(out);
    kind_ = Kind::kTool;
    call_ = {tool.id, tool.name, {}, tool.is_custom};
    call_number_ = tool.call;
    add_item(writer_.call(items_.size(), call_, "in_progress"), out);
  }

  void sign_part(const chat::Signature& signature, std::string& out) {
    if (kind_ == Kind::kThought || kind_ == Kind::kSummary) {
      signature_ = signature;
      return;
    }
    close(out);
    Json item = writer_.reasoning(items_.size(), {}, signature);
    add_item(item, out);
    done_item(std::move(item), out);
  }

  void close(std::string& out) {
    const Kind kind = kind_;
    if (kind == Kind::kNone) return;
    if (kind == Kind::kTool) {
      Json data = Json::object({{"item_id", id_},
                                {"output_index", index()},
                                {call_.is_custom ? "input" : "arguments", call_.arguments}});
      if (!call_.is_custom) data.set("name", call_.name);
      frame(
          call_.is_custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done",
          std::move(data), out);
      done_item(writer_.call(items_.size(), call_, "completed"), out);
    } else {
      const bool is_summary = kind == Kind::kSummary;
      Json done = place(is_summary ? "summary_index" : "content_index");
      done.set(kind == Kind::kRefusal ? "refusal" : "text", text_);
      if (kind == Kind::kText) done.set("logprobs", Json::array());
      frame(kind == Kind::kText      ? "response.output_text.done"
            : kind == Kind::kRefusal ? "response.refusal.done"
            : is_summary             ? "response.reasoning_summary_text.done"
                                     : "response.reasoning_text.done",
            std::move(done), out);
      if (kind != Kind::kThought) {
        Json data = place(is_summary ? "summary_index" : "content_index");
        data.set("part", part_value());
        frame(is_summary ? "response.reasoning_summary_part.done" : "response.content_part.done",
              std::move(data), out);
      }
      const bool is_thought = kind == Kind::kThought || is_summary;
      done_item(is_thought ? writer_.reasoning(items_.size(), {text_, false, is_summary}, signature_)
                           : writer_.message(items_.size(), Json::array({part_value()}), "completed"),
                out);
    }
    kind_ = Kind::kNone;
    text_.clear();
    citations_ = {};
    signature_ = {};
  }

  void finish(std::string& out) {
    close(out);
    Json response = response_value(request_, identity_, "completed");
    finish_response(response, answer_, identity_);
    response.set("output", std::move(items_));
    const bool is_incomplete = string_at(response, "status") == "incomplete";
    frame(is_incomplete ? "response.incomplete" : "response.completed",
          Json::object({{"response", std::move(response)}}), out);
  }

  void fail(const Fault& fault, std::string& out) {
    if (!has_begun_) begin(out);
    Json response = response_value(request_, identity_, "failed");
    response.set("error", Json::object({{"code", fault.reason.empty() ? "server_error" : fault.reason},
                                        {"message", fault.message}}));
    response.set("output", std::move(items_));
    frame("response.failed", Json::object({{"response", std::move(response)}}), out);
  }

  const AnswerIdentity identity_;
  const ItemWriter writer_;
  chat::Request request_;  // what the response object repeats of it
  Answer answer_;
  JsonArray items_;
  Kind kind_ = Kind::kNone;
  std::string id_, head_, text_;
  Json citations_;
  chat::Signature signature_;
  chat::ToolCall call_;
  int call_number_ = -1;
  int64_t sequence_ = 0;
  bool has_begun_ = false;
};

}  // namespace

std::string encode_responses_answer(const chat::Request& request, const Answer& answer,
                                    const AnswerIdentity& identity) {
  Json out = response_value(request, identity, "completed");
  finish_response(out, answer, identity);
  out.set("output", items_of(answer.choices()[0], identity));
  return out.write();
}

std::unique_ptr<StreamEncoder> make_responses_stream_encoder(const chat::Request& request,
                                                             AnswerIdentity identity) {
  return std::make_unique<ResponsesStreamEncoder>(request, std::move(identity));
}

}  // namespace cresset::wire
