#include "wire/ollama.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "wire/anthropic.h"
#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/own_engine.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kOllama;
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
    return decode_ollama_request(body, is_chat_);
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
