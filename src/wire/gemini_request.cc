#include <limits>
#include <utility>

#include "wire/field.h"
#include "wire/gemini.h"
#include "wire/lenient.h"
#include "wire/limits.h"
#include "wire/signature.h"

namespace cresset::wire {

namespace {

constexpr chat::Dialect kOwn = chat::Dialect::kGemini;
constexpr int kIntMax = std::numeric_limits<int>::max();

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Google writes the types of a schema in capitals too ("OBJECT"); JSON Schema, and all others, do not.
Json lower_types(const Json& schema) {
  if (schema.is_array()) {
    JsonArray out;
    for (const Json& item : schema.as_array()) out.push_back(lower_types(item));
    return out;
  }
  if (!schema.is_object()) return schema;
  JsonObject out;
  for (const JsonMember& m : schema.as_object()) {
    const bool is_type = m.first == "type" && m.second.is_string();
    out.emplace_back(m.first, is_type ? Json(lower(m.second.as_string())) : lower_types(m.second));
  }
  return out;
}

class Reader {
 public:
  Checked contents(const Field& field) {
    if (field.value.is_string()) {  // as the SDKs' own convenience
      request.messages.push_back({chat::Role::kUser, {}, {{chat::Text{field.value.as_string()}}}});
      return {};
    }
    if (Checked ok = check_array(field, 1, kMessagesMax); !ok) return ok;
    for (size_t i = 0; i < field.value.as_array().size(); ++i) {
      chat::Message message;
      if (Checked ok = content(field.item(i), message); !ok) return ok;
      request.messages.push_back(std::move(message));
    }
    return {};
  }

  Checked content(const Field& field, chat::Message& message) {
    if (Checked ok = check_object(field); !ok) return ok;
    const std::string_view role = string_at(field.value, "role");
    message.role = role == "model"    ? chat::Role::kAssistant
                   : role == "system" ? chat::Role::kSystem
                                      : chat::Role::kUser;
    for (const JsonMember& m : field.value.as_object()) {
      if (m.first != "role" && m.first != "parts") keep(message.extras, m);
    }
    const Json* list = get(field.value, "parts");
    if (list == nullptr) return refuse(missing_parameter(field.path + ".parts"));
    const Field parts{*list, field.path + ".parts"};
    if (list->is_object()) return part(parts, message);  // one part without its list: Google takes it
    if (Checked ok = check_array(parts, 0, kPartsMax); !ok) return ok;
    for (size_t i = 0; i < list->as_array().size(); ++i) {
      if (Checked ok = part(parts.item(i), message); !ok) return ok;
    }
    return {};
  }

  chat::Request request;

 private:
  Checked part(const Field& field, chat::Message& message) {
    if (Checked ok = check_object(field); !ok) return ok;
    const Json& value = field.value;
    chat::Part out;
    std::vector<std::string_view> taken{"thoughtSignature"};
    if (const Json* text = get(value, "text")) {
      std::string body;
      if (Checked ok = take_string({*text, field.path + ".text"}, kTextBytesMax, body); !ok) return ok;
      const Json* thought = get(value, "thought");
      const bool is_thought = thought != nullptr && thought->is_bool() && thought->as_bool();
      if (is_thought) {
        out.body = chat::Reasoning{std::move(body), false, false};
      } else {
        out.body = chat::Text{std::move(body)};
      }
      taken.insert(taken.end(), {"text", "thought"});
    } else if (const Json* data = get(value, "inlineData")) {
      out.body = media(string_at(*data, "mimeType"), chat::Media::Source::kBase64, string_at(*data, "data"),
                       string_at(*data, "displayName"));
      taken.push_back("inlineData");
    } else if (const Json* file = get(value, "fileData")) {
      out.body = media(string_at(*file, "mimeType"), chat::Media::Source::kUrl, string_at(*file, "fileUri"),
                       string_at(*file, "displayName"));
      taken.push_back("fileData");
    } else if (const Json* call = get(value, "functionCall")) {
      out.body = tool_call(*call);
      taken.push_back("functionCall");
    } else if (const Json* response = get(value, "functionResponse")) {
      out.body = tool_result(*response);
      taken.push_back("functionResponse");
    } else {
      out.body = chat::Opaque{value};
      message.parts.push_back(std::move(out));
      return {};
    }
    out.signature = read_signature(string_at(value, "thoughtSignature"), kOwn);
    for (const JsonMember& m : value.as_object()) {
      if (std::find(taken.begin(), taken.end(), m.first) == taken.end()) keep(out.extras, m);
    }
    append(std::move(out), message.parts);
    return {};
  }

  // A thought that came in pieces is one thought: only whole does its signature fit.
  static void append(chat::Part part, std::vector<chat::Part>& parts) {
    auto* thought = std::get_if<chat::Reasoning>(&part.body);
    auto* before = parts.empty() ? nullptr : std::get_if<chat::Reasoning>(&parts.back().body);
    if (thought == nullptr || before == nullptr || !parts.back().signature.empty()) {
      parts.push_back(std::move(part));
      return;
    }
    before->text += thought->text;
    parts.back().signature = std::move(part.signature);
  }

  static decltype(chat::Part::body) media(std::string_view type, chat::Media::Source source,
                                          std::string_view data, std::string_view name) {
    chat::Media media{source, std::string(type), std::string(data)};
    if (type.starts_with("image/")) return chat::Image{std::move(media)};
    return chat::Document{std::move(media), std::string(name)};
  }

  chat::ToolCall tool_call(const Json& call) {
    chat::ToolCall out;
    out.id = string_at(call, "id");
    out.name = string_at(call, "name");
    if (out.id.empty()) out.id = std::string(kGeminiCallPrefix) + std::to_string(calls_.size());
    if (const Json* args = get(call, "args")) out.arguments = args->write();
    calls_.push_back({out.id, out.name, false});
    return out;
  }

  chat::ToolResult tool_result(const Json& response) {
    chat::ToolResult out;
    out.id = string_at(response, "id");
    out.name = string_at(response, "name");
    for (Call& call : calls_) {
      if (out.id.empty() ? call.name == out.name && !call.is_answered : call.id == out.id) {
        out.id = call.id;
        call.is_answered = true;
      }
    }
    const Json* value = get(response, "response");
    if (value == nullptr) return out;
    const bool is_single = value->is_object() && value->as_object().size() == 1;
    const std::string_view key = is_single ? std::string_view(value->as_object()[0].first) : "";
    const bool is_text = is_single && value->as_object()[0].second.is_string();
    out.is_error = key == "error" && is_text;
    const bool is_plain = is_text && (key == "result" || key == "output" || key == "error");
    out.parts.push_back({chat::Text{is_plain ? value->as_object()[0].second.as_string() : value->write()}});
    return out;
  }

  struct Call {
    std::string id, name;
    bool is_answered;
  };
  std::vector<Call> calls_;
};

Checked take_tools(const Field& field, chat::Request& request) {
  const Json list = field.value.is_object() ? Json::array({field.value}) : field.value;
  const Field tools{list, field.path};
  if (Checked ok = check_array(tools, 0, kToolsMax); !ok) return ok;
  for (const Json& item : list.as_array()) {
    if (!item.is_object()) return refuse(wrong_type({item, field.path}, "an array of objects"));
    for (const JsonMember& m : item.as_object()) {
      if (m.first != "functionDeclarations") {
        chat::Tool tool;
        tool.kind = chat::Tool::Kind::kOpaque;
        tool.name = m.first;
        tool.extras = Json::object({m});
        request.tools.push_back(std::move(tool));
        continue;
      }
      for (const Json& declaration : array_at(item, "functionDeclarations")) {
        if (!declaration.is_object())
          return refuse(wrong_type({declaration, field.path}, "an array of objects"));
        chat::Tool tool;
        tool.name = string_at(declaration, "name");
        tool.description = string_at(declaration, "description");
        if (tool.name.empty()) return refuse(missing_parameter(field.path + ".functionDeclarations.name"));
        for (const JsonMember& d : declaration.as_object()) {
          if (d.first == "name" || d.first == "description") continue;
          if (d.first == "parameters") {
            tool.schema = lower_types(d.second);
          } else {
            if (d.first == "parametersJsonSchema") tool.schema = d.second;
            keep(tool.extras, d);
          }
        }
        request.tools.push_back(std::move(tool));
      }
    }
  }
  return {};
}

Checked take_tool_config(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  Json rest;
  for (const JsonMember& m : field.value.as_object()) {
    if (m.first != "functionCallingConfig") keep(rest, m);
  }
  if (!rest.is_null()) request.extras.set("toolConfig", std::move(rest));
  const Json* config = get(field.value, "functionCallingConfig");
  if (config == nullptr) return {};
  using Mode = chat::ToolChoice::Mode;
  chat::ToolChoice choice;
  const std::string_view mode = string_at(*config, "mode");
  choice.mode = mode == "ANY" ? Mode::kAny : mode == "NONE" ? Mode::kNone : Mode::kAuto;
  for (const Json& name : array_at(*config, "allowedFunctionNames")) {
    if (name.is_string()) choice.allowed.push_back(name.as_string());
  }
  if (choice.mode == Mode::kAny && choice.allowed.size() == 1) {
    choice.mode = Mode::kNamed;
    choice.name = std::move(choice.allowed[0]);
    choice.allowed.clear();
  }
  request.tool_choice = std::move(choice);
  return {};
}

Checked take_thinking(const Field& field, chat::Thinking& thinking, Json& rest) {
  if (Checked ok = check_object(field); !ok) return ok;
  Json kept;
  for (const JsonMember& m : field.value.as_object()) {
    const Field f = field.member(m);
    Checked ok;
    if (m.second.is_null()) continue;
    if (m.first == "thinkingBudget") {
      int budget = 0;
      ok = take_integer(f, -1, kIntMax, budget);
      thinking.mode = budget == 0    ? chat::Thinking::Mode::kOff
                      : budget == -1 ? chat::Thinking::Mode::kAdaptive
                                     : chat::Thinking::Mode::kOn;
      if (budget > 0) thinking.budget_tokens = budget;
    } else if (m.first == "thinkingLevel") {
      std::string level;
      ok = take_string(f, 64, level);
      thinking.effort = lower(level);
    } else if (m.first == "includeThoughts") {
      ok = take_boolean(f, thinking.is_shown.emplace(false));
    } else {
      keep(kept, m);
    }
    if (!ok) return ok;
  }
  if (!kept.is_null()) rest.set("thinkingConfig", std::move(kept));
  return {};
}

void take_format(const Json& config, chat::Request& request) {
  const bool is_json = string_at(config, "responseMimeType") == "application/json";
  const Json* schema = get(config, "responseSchema");
  const Json* json_schema = get(config, "responseJsonSchema");
  if (schema == nullptr && json_schema == nullptr && !is_json) return;
  chat::Format format;
  format.kind =
      schema == nullptr && json_schema == nullptr ? chat::Format::Kind::kJson : chat::Format::Kind::kSchema;
  if (json_schema != nullptr) {
    format.schema = *json_schema;
  } else if (schema != nullptr) {
    format.schema = lower_types(*schema);
  }
  request.format = std::move(format);
}

Checked take_config(const Field& field, chat::Request& request) {
  if (Checked ok = check_object(field); !ok) return ok;
  chat::Sampling& s = request.sampling;
  Json rest;
  take_format(field.value, request);
  for (const JsonMember& m : field.value.as_object()) {
    const Field f = field.member(m);
    Checked ok;
    if (m.second.is_null()) continue;
    if (m.first == "temperature") {
      ok = take_number(f, {0, 2}, s.temperature);
    } else if (m.first == "topP") {
      ok = take_number(f, {0, 1}, s.top_p);
    } else if (m.first == "topK") {
      std::optional<double> top_k;  // a float in some clients
      ok = take_number(f, {0, kIntMax}, top_k);
      if (ok) s.top_k = static_cast<int>(*top_k);
    } else if (m.first == "maxOutputTokens") {
      ok = take_integer(f, 1, kIntMax, request.tokens_max);
    } else if (m.first == "candidateCount") {
      ok = take_integer(f, 1, 8, request.choices);
    } else if (m.first == "seed") {
      ok = take_integer(f, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), s.seed);
    } else if (m.first == "presencePenalty") {
      ok = take_number(f, {-2, 2}, s.presence_penalty);
    } else if (m.first == "frequencyPenalty") {
      ok = take_number(f, {-2, 2}, s.frequency_penalty);
    } else if (m.first == "stopSequences") {
      ok = check_array(f, 0, kStopsMaxAny);
      for (size_t i = 0; ok && i < m.second.as_array().size(); ++i) {
        std::string stop;
        ok = take_string(f.item(i), kStopBytesMaxAny, stop);
        if (ok && stop.empty())
          ok = refuse(invalid_value(f.item(i).path, "an empty string would stop at once."));
        request.stop.push_back(std::move(stop));
      }
    } else if (m.first == "thinkingConfig") {
      ok = take_thinking(f, request.thinking, rest);
    } else if (m.first == "responseSchema" || (m.first == "responseMimeType" && request.format)) {
      continue;
    } else {
      keep(rest, m);
    }
    if (!ok) return ok;
  }
  if (!rest.is_null()) request.extras.set("generationConfig", std::move(rest));
  return {};
}

}  // namespace

Decoded<chat::Request> decode_gemini_request(std::string_view body) {
  Decoded<Json> value = parse_body(body);
  if (!value) return tl::unexpected<Fault>(value.error());
  Reader reader;
  reader.request.dialect = kOwn;
  Checked ok;
  for (const char* name : {"systemInstruction", "system_instruction"}) {
    const Json* system = get(*value, name);
    if (system == nullptr) continue;
    chat::Message message;
    const Json content = system->is_string()
                             ? Json::object({{"parts", Json::array({Json::object({{"text", *system}})})}})
                             : *system;
    ok = reader.content({content, name}, message);
    if (!ok) return tl::unexpected<Fault>(std::move(ok.error()));
    message.role = chat::Role::kSystem;
    message.is_apart = true;
    reader.request.messages.push_back(std::move(message));
  }
  const Json* contents = get(*value, "contents");
  if (contents == nullptr) return tl::unexpected<Fault>(missing_parameter("contents"));
  ok = reader.contents({*contents, "contents"});
  for (const JsonMember& m : value->as_object()) {
    if (!ok) break;
    const Field field{m.second, m.first};
    if (m.second.is_null() || m.first == "contents" || m.first == "systemInstruction" ||
        m.first == "system_instruction")
      continue;
    if (m.first == "tools") {
      ok = take_tools(field, reader.request);
    } else if (m.first == "toolConfig") {
      ok = take_tool_config(field, reader.request);
    } else if (m.first == "generationConfig" || m.first == "generation_config") {
      ok = take_config(field, reader.request);
    } else {
      keep(reader.request.extras, m);
    }
  }
  if (!ok) return tl::unexpected<Fault>(std::move(ok.error()));
  return std::move(reader.request);
}

}  // namespace cresset::wire
