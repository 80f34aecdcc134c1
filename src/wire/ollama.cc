#include "wire/ollama.h"

#include <chrono>
#include <cstdio>
#include <limits>
#include <utility>

#include "wire/anthropic.h"
#include "wire/field.h"
#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/media.h"
#include "wire/openai_tools.h"
#include "wire/own_engine.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOllama;
constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr std::string_view kCallPrefix = "ollama_";  // ids of calls, which have none here

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

Checked take_images(const Field& field, std::vector<chat::Part>& parts) {
  if (Checked ok = check_array(field, 0, kPartsMax); !ok) return ok;
  for (size_t i = 0; i < field.value.as_array().size(); ++i) {
    std::string data;
    if (Checked ok = take_string(field.item(i), kTextBytesMax, data); !ok) return ok;
    // The first letters of base64 say which kind of image it is.
    const char* type = data.starts_with("/9j/")    ? "image/jpeg"
                       : data.starts_with("UklGR") ? "image/webp"
                                                   : "image/png";
    chat::Part part;
    part.body = chat::Image{{chat::Media::Source::kBase64, type, std::move(data)}};
    parts.push_back(std::move(part));
  }
  return {};
}

Checked take_options(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  chat::Sampling& s = request.sampling;
  Json rest;
  for (const JsonMember& m : field.value.as_object()) {
    const Field f = field.member(m);
    Checked ok;
    if (m.second.is_null()) continue;
    if (m.first == "temperature") {
      ok = take_number(f, {0, 100}, s.temperature);
    } else if (m.first == "top_p") {
      ok = take_number(f, {0, 1}, s.top_p);
    } else if (m.first == "top_k") {
      ok = take_integer(f, 0, kIntMax, s.top_k);
    } else if (m.first == "min_p") {
      ok = take_number(f, {0, 1}, s.min_p);
    } else if (m.first == "repeat_penalty") {
      ok = take_number(f, {0, 100, true}, s.repetition_penalty);
    } else if (m.first == "presence_penalty") {
      ok = take_number(f, {-2, 2}, s.presence_penalty);
    } else if (m.first == "frequency_penalty") {
      ok = take_number(f, {-2, 2}, s.frequency_penalty);
    } else if (m.first == "seed") {
      ok = take_integer(f, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), s.seed);
    } else if (m.first == "num_predict") {
      int tokens = 0;
      ok = take_integer(f, -2, kIntMax, tokens);
      if (ok && tokens > 0) request.tokens_max = tokens;  // -1: no limit, -2: to the end of the context
    } else if (m.first == "stop") {
      const Json list = m.second.is_string() ? Json::array({m.second}) : m.second;
      const Field stops{list, f.path};
      ok = check_array(stops, 0, kStopsMaxAny);
      for (size_t i = 0; ok && i < list.as_array().size(); ++i) {
        std::string stop;
        ok = take_string(stops.item(i), kStopBytesMaxAny, stop);
        if (!stop.empty()) request.stop.push_back(std::move(stop));
      }
    } else {
      keep(rest, m);
    }
    if (!ok) return ok;
  }
  if (!rest.is_null()) request.extras.set("options", std::move(rest));
  return {};
}

// What both endpoints take.
Checked take_common(const Field& f, std::string_view name, chat::Request& request) {
  if (name == "model") return take_string(f, kModelBytesMax, request.model);
  if (name == "stream") return take_boolean(f, request.stream);
  if (name == "options") return take_options(f, request);
  if (name == "tools") return take_openai_tools(f, request.tools);
  if (name == "think") {
    if (f.value.is_bool()) {
      request.thinking.mode = f.value.as_bool() ? chat::Thinking::Mode::kOn : chat::Thinking::Mode::kOff;
      return {};
    }
    return take_string(f, 64, request.thinking.effort);
  }
  if (name == "format") {
    chat::Format format;
    if (f.value.is_object()) {
      format.kind = chat::Format::Kind::kSchema;
      format.schema = f.value;
    } else if (f.value == Json("json")) {
      format.kind = chat::Format::Kind::kJson;
    } else if (f.value != Json("")) {
      return refuse(unsupported_value(f.path, "is neither 'json' nor a schema."));
    }
    if (format.kind != chat::Format::Kind::kText) request.format = std::move(format);
    return {};
  }
  request.extras.set(name, f.value);
  return {};
}

Checked take_tool_calls(const Field& field, chat::Message& message, int& calls) {
  if (Checked ok = check_array(field, 0, kPartsMax); !ok) return ok;
  for (const Json& call : field.value.as_array()) {
    const Json* function = get(call, "function");
    if (function == nullptr) return refuse(missing_parameter(field.path + ".function"));
    chat::ToolCall out;
    out.id = string_at(call, "id");
    if (out.id.empty()) out.id = std::string(kCallPrefix) + std::to_string(calls);
    ++calls;
    out.name = string_at(*function, "name");
    if (const Json* arguments = get(*function, "arguments"))
      out.arguments = arguments->is_string() ? arguments->as_string() : arguments_text(*arguments);
    message.parts.push_back({std::move(out)});
  }
  return {};
}

// A tool's message names the tool, not the call: it answers the first of that name that has no answer.
std::string call_answered_by(const std::vector<chat::Message>& messages, std::string_view name) {
  std::vector<std::string> open;
  for (const chat::Message& message : messages) {
    for (const chat::Part& part : message.parts) {
      if (const auto* call = std::get_if<chat::ToolCall>(&part.body);
          call != nullptr && (name.empty() || call->name == name))
        open.push_back(call->id);
      if (const auto* result = std::get_if<chat::ToolResult>(&part.body)) std::erase(open, result->id);
    }
  }
  return open.empty() ? std::string() : open.front();
}

Checked take_message(const Field& field, chat::Request& request, int& calls) {
  if (Checked ok = check_object(field); !ok) return ok;
  chat::Message message;
  const std::string_view role = string_at(field.value, "role");
  if (role == "system" || role == "developer") {
    message.role = chat::Role::kSystem;
  } else if (role == "assistant") {
    message.role = chat::Role::kAssistant;
  } else if (role == "tool") {
    message.role = chat::Role::kTool;
  } else if (role != "user") {
    return refuse(invalid_value(field.path + ".role",
                                "supported values are 'system', 'user', 'assistant' and 'tool'."));
  }
  if (const std::string_view thought = string_at(field.value, "thinking"); !thought.empty())
    message.parts.push_back({chat::Reasoning{std::string(thought)}});
  const Json* content = get(field.value, "content");
  std::string text;
  if (content != nullptr) {
    if (Checked ok = take_string({*content, field.path + ".content"}, kTextBytesMax, text); !ok) return ok;
  }
  const Json* tool_calls = get(field.value, "tool_calls");
  if (message.role == chat::Role::kTool) {
    chat::ToolResult result;
    result.name = string_at(field.value, "tool_name");
    if (result.name.empty()) result.name = string_at(field.value, "name");
    result.id = string_at(field.value, "tool_call_id");
    if (result.id.empty()) result.id = call_answered_by(request.messages, result.name);
    result.parts.push_back({chat::Text{std::move(text)}});
    message.parts.push_back({std::move(result)});
  } else if (!text.empty() || tool_calls == nullptr) {
    message.parts.push_back({chat::Text{std::move(text)}});
  }
  if (const Json* images = get(field.value, "images")) {
    if (Checked ok = take_images({*images, field.path + ".images"}, message.parts); !ok) return ok;
  }
  if (tool_calls != nullptr) {
    if (Checked ok = take_tool_calls({*tool_calls, field.path + ".tool_calls"}, message, calls); !ok)
      return ok;
  }
  for (const JsonMember& m : field.value.as_object()) {
    constexpr std::string_view kTaken[] = {"role",       "content",   "thinking", "images",
                                           "tool_calls", "tool_name", "name",     "tool_call_id"};
    if (std::find(std::begin(kTaken), std::end(kTaken), m.first) == std::end(kTaken)) keep(message.extras, m);
  }
  request.messages.push_back(std::move(message));
  return {};
}

Decoded<chat::Request> decode(std::string_view body, bool is_chat) {
  Decoded<Json> value = parse_body(body);
  if (!value) return tl::unexpected<Fault>(value.error());
  chat::Request request;
  request.dialect = kOwn;
  request.stream = true;
  request.include_usage = true;
  Checked ok;
  if (is_chat) {
    const Json* messages = get(*value, "messages");
    if (messages == nullptr) return tl::unexpected<Fault>(missing_parameter("messages"));
    const Field field{*messages, "messages"};
    ok = check_array(field, 1, kMessagesMax);
    int calls = 0;
    for (size_t i = 0; ok && i < messages->as_array().size(); ++i)
      ok = take_message(field.item(i), request, calls);
  } else {
    const std::string prompt(string_at(*value, "prompt"));
    const Json* raw = get(*value, "raw");
    if (raw != nullptr && raw->is_bool() && raw->as_bool()) {
      request.prompts.emplace_back(prompt);
    } else {
      if (const std::string_view system = string_at(*value, "system"); !system.empty()) {
        request.messages.push_back({chat::Role::kSystem, {}, {{chat::Text{std::string(system)}}}});
        request.messages.back().is_apart = true;
      }
      chat::Message message;
      message.parts.push_back({chat::Text{prompt}});
      if (const Json* images = get(*value, "images")) ok = take_images({*images, "images"}, message.parts);
      request.messages.push_back(std::move(message));
    }
  }
  for (const JsonMember& m : value->as_object()) {
    if (!ok) break;
    const bool is_taken =
        is_chat ? m.first == "messages"
                : m.first == "prompt" || m.first == "system" || m.first == "images" || m.first == "raw";
    if (!is_taken && !m.second.is_null()) ok = take_common({m.second, m.first}, m.first, request);
  }
  if (!ok) return tl::unexpected<Fault>(std::move(ok.error()));
  if (request.model.empty()) return tl::unexpected<Fault>(missing_parameter("model"));
  return request;
}

std::string_view done_reason(chat::FinishReason reason) {
  return reason == chat::FinishReason::kLength || reason == chat::FinishReason::kContextFull ? "length"
                                                                                             : "stop";
}

Json call_value(const chat::ToolCall& call) {
  return Json::object(
      {{"id", call.id},
       {"function", Json::object({{"name", call.name},
                                  {"arguments", arguments_object(call.arguments, call.is_custom)}})}});
}

class LineWriter {
 public:
  LineWriter(bool is_chat, const AnswerIdentity& identity) : is_chat_(is_chat) {
    head_ = Json::object({{"model", identity.model}, {"created_at", rfc3339(identity.created_unix_s)}});
  }
  // A line with some of an answer; `message` is an assistant's message without its role.
  Json line(Json message, bool is_done) const {
    Json out = head_;
    if (is_chat_) {
      Json whole = Json::object({{"role", "assistant"}, {"content", ""}});
      for (const JsonMember& m : message.as_object()) whole.set(m.first, m.second);
      out.set("message", std::move(whole));
    } else {
      const Json* content = message.find("content");
      out.set("response", content != nullptr ? *content : Json(""));
      for (const JsonMember& m : message.as_object()) {
        if (m.first != "content") out.set(m.first, m.second);
      }
    }
    out.set("done", is_done);
    return out;
  }
  static void finish(Json& out, chat::FinishReason reason, const chat::Usage& usage) {
    out.set("done_reason", done_reason(reason));
    out.set("total_duration", 0);
    out.set("load_duration", 0);
    out.set("prompt_eval_count", usage.prompt_tokens);
    out.set("prompt_eval_duration", 0);
    out.set("eval_count", usage.completion_tokens);
    out.set("eval_duration", 0);
  }

 private:
  const bool is_chat_;
  Json head_;
};

class OllamaStreamEncoder final : public StreamEncoder {
 public:
  OllamaStreamEncoder(bool is_chat, const AnswerIdentity& identity) : writer_(is_chat, identity) {}

  void encode(const chat::Event& event, std::string& out) override {
    if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
      if (!delta->text.empty()) write(Json::object({{"content", delta->text}}), out);
    } else if (const auto* refusal = std::get_if<chat::RefusalDelta>(&event)) {
      write(Json::object({{"content", refusal->text}}), out);
    } else if (const auto* thought = std::get_if<chat::ReasoningDelta>(&event)) {
      if (!thought->text.empty()) write(Json::object({{"thinking", thought->text}}), out);
    } else if (const auto* begin = std::get_if<chat::ToolBegin>(&event)) {
      calls_.push_back({begin->call, {begin->id, begin->name, {}, begin->is_custom}});
    } else if (const auto* more = std::get_if<chat::ToolDelta>(&event)) {
      for (auto& [number, call] : calls_) {
        if (number == more->call) call.arguments += more->arguments;
      }
    } else if (const auto* started = std::get_if<chat::Started>(&event)) {
      usage_ = started->usage;
    } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
      finish(*finished, out);
    } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      out += encode_ollama_error(to_fault(*failed)) + "\n";
    }
  }

 private:
  void write(Json message, std::string& out) {
    writer_.line(std::move(message), false).write(out);
    out += '\n';
  }
  void finish(const chat::Finished& finished, std::string& out) {
    for (const auto& [number, call] : calls_)
      write(Json::object({{"tool_calls", Json::array({call_value(call)})}}), out);
    add_usage(usage_, finished.usage, true);
    if (finished.usage.prompt_tokens == 0) usage_.completion_tokens = finished.usage.completion_tokens;
    Json line = writer_.line(Json::object(), true);
    LineWriter::finish(line, finished.reason, usage_);
    line.write(out);
    out += '\n';
  }

  const LineWriter writer_;
  std::vector<std::pair<int, chat::ToolCall>> calls_;  // told whole
  chat::Usage usage_;
};

class OllamaCodec final : public Codec {
 public:
  explicit OllamaCodec(bool is_chat) : is_chat_(is_chat) {}
  std::string_view name() const override { return is_chat_ ? "ollama_chat" : "ollama_generate"; }
  chat::Dialect dialect() const override { return kOwn; }
  std::string_view id_prefix() const override { return ""; }

  Decoded<chat::Request> decode_request(std::string_view body) const override {
    return decode(body, is_chat_);
  }
  // Nothing is asked of a provider in this dialect: an attached Ollama speaks OpenAI's.
  std::string encode_request(const chat::Request&, const Target&, Dropped&) const override { return {}; }
  Checked check_own(const chat::Request& request) const override {
    ParameterNames names;
    names.system = "system";
    names.format = "format";
    names.thinking = "think";
    if (Checked ok = check_own_vocabulary(request, names); !ok) return ok;
    // How a model is kept and computed is this server's affair.
    return check_own_extras(request.extras, {"keep_alive", "options"});
  }
  std::string encode_answer(const chat::Request&, const Answer& answer,
                            const AnswerIdentity& identity) const override {
    const Choice& choice = answer.choices()[0];
    Json message = Json::object({{"content", choice.text()}});
    std::string thoughts;
    Json calls = Json::array();
    for (const chat::Part& part : choice.parts) {
      if (const auto* r = std::get_if<chat::Reasoning>(&part.body)) thoughts += r->text;
      if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) calls.push(call_value(*call));
      if (const auto* refusal = std::get_if<chat::Refusal>(&part.body))
        message.set("content", choice.text() + refusal->text);
    }
    if (!thoughts.empty()) message.set("thinking", thoughts);
    if (!calls.as_array().empty()) message.set("tool_calls", std::move(calls));
    Json out = LineWriter(is_chat_, identity).line(std::move(message), true);
    LineWriter::finish(out, choice.reason.value_or(chat::FinishReason::kStop), answer.usage());
    return out.write();
  }
  std::unique_ptr<StreamEncoder> make_stream_encoder(const chat::Request&,
                                                     AnswerIdentity identity) const override {
    return std::make_unique<OllamaStreamEncoder>(is_chat_, identity);
  }
  std::string encode_error(const Fault& fault) const override { return encode_ollama_error(fault); }
  std::string_view stream_content_type() const override { return "application/x-ndjson"; }
  std::string_view ping() const override { return ""; }

 private:
  const bool is_chat_;
};

Json details(const OllamaModel& model) {
  char size[32];
  std::snprintf(size, sizeof size, "%.1fM", static_cast<double>(model.parameters) / 1e6);
  return Json::object({{"parent_model", ""},
                       {"format", "gguf"},
                       {"family", model.family},
                       {"families", Json::array({model.family})},
                       {"parameter_size", size},
                       {"quantization_level", model.quantisation}});
}

Json entry(const OllamaModel& model) {
  return Json::object({{"name", model.name},
                       {"model", model.name},
                       {"modified_at", rfc3339(model.modified_unix_s)},
                       {"size", model.bytes},
                       {"digest", model.digest},
                       {"details", details(model)}});
}

}  // namespace

const Codec& ollama_chat_codec() {
  static const OllamaCodec codec(true);
  return codec;
}

const Codec& ollama_generate_codec() {
  static const OllamaCodec codec(false);
  return codec;
}

std::string encode_ollama_error(const Fault& fault) {
  return Json::object({{"error", fault.message}}).write();
}

std::string encode_ollama_tags(std::span<const OllamaModel> models) {
  JsonArray out;
  for (const OllamaModel& model : models) out.push_back(entry(model));
  return Json::object({{"models", std::move(out)}}).write();
}

std::string encode_ollama_ps(std::span<const OllamaModel> models) {
  JsonArray out;
  for (const OllamaModel& model : models) {
    Json item = entry(model);
    item.set("size_vram", 0);
    item.set("context_length", model.context_length);
    out.push_back(std::move(item));
  }
  return Json::object({{"models", std::move(out)}}).write();
}

std::string encode_ollama_show(const OllamaModel& model) {
  return Json::object(
             {{"license", model.license},
              {"modelfile", ""},
              {"parameters", ""},
              {"template", model.chat_template},
              {"details", details(model)},
              {"model_info", Json::object({{"general.architecture", model.family},
                                           {"general.parameter_count", model.parameters},
                                           {model.family + ".context_length", model.context_length}})},
              {"capabilities", Json::array({"completion"})},
              {"modified_at", rfc3339(model.modified_unix_s)}})
      .write();
}

std::string encode_ollama_version(std::string_view version) {
  return Json::object({{"version", version}}).write();
}

Decoded<std::string> decode_ollama_show(std::string_view body) {
  Decoded<Json> value = parse_body(body);
  if (!value) return tl::unexpected<Fault>(value.error());
  std::string_view name = string_at(*value, "model");
  if (name.empty()) name = string_at(*value, "name");
  if (name.empty()) return tl::unexpected<Fault>(missing_parameter("model"));
  return std::string(name.substr(0, kModelBytesMax));
}

std::string rfc3339(int64_t unix_s) {
  using namespace std::chrono;
  const sys_seconds time{seconds{unix_s}};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

}  // namespace cresset::wire
