#include <limits>
#include <utility>

#include "wire/anthropic.h"
#include "wire/field.h"
#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/ollama.h"
#include "wire/openai_tools.h"

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

}  // namespace

Decoded<chat::Request> decode_ollama_request(std::string_view body, bool is_chat) {
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

}  // namespace cresset::wire
