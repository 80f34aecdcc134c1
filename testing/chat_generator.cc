#include "testing/chat_generator.h"

#include <utility>

namespace cresset::testing {

using chat::Dialect;

std::string ChatGenerator::text() {
  constexpr std::string_view kPieces[] = {"a",  " ",    "\n",   "\"", "\\",     "é",      "日本",
                                          "🙂", "\x01", "</s>", "{}", "\u2028", "data: x"};
  std::string out = "t";
  for (int i = below(12); i > 0; --i) out += kPieces[below(static_cast<int>(std::size(kPieces)))];
  return out;
}

std::string ChatGenerator::arguments() {
  if (below(4) == 0) return "{}";
  return Json::object({{word(), text()},
                       {"n", below(100)},
                       {"nested", Json::object({{"a", Json::array({1, true, nullptr})}})}})
      .write();
}

Json ChatGenerator::schema() {
  return Json::object(
      {{"type", "object"}, {"properties", Json::object({{word(), Json::object({{"type", "string"}})}})}});
}

Json ChatGenerator::cache() {
  const bool has = !common_ && !is(Dialect::kGemini) && below(4) == 0;
  return has ? Json::object({{"type", "ephemeral"}}) : Json();
}

chat::Media ChatGenerator::media(const std::string& type) {
  if (coin()) return {chat::Media::Source::kBase64, type, "aGVsbG8="};
  return {chat::Media::Source::kUrl, is(Dialect::kGemini) ? type : "", "https://example.org/" + word()};
}

chat::Part ChatGenerator::user_part() {
  chat::Part part;
  const int kind = below(5);
  if (kind == 0) {
    part.body = chat::Image{media("image/png"), is(Dialect::kOpenAiChat) && !common_ && coin() ? "high" : ""};
  } else if (kind == 1 && !common_) {
    chat::Media bytes{chat::Media::Source::kBase64, "application/pdf", "JVBERi0="};
    part.body = chat::Document{std::move(bytes), coin() ? word() + ".pdf" : ""};
  } else {
    part.body = chat::Text{text()};
  }
  part.cache = cache();
  part.extras = extras();
  return part;
}

chat::Message ChatGenerator::user() {
  chat::Message m;
  if (is(Dialect::kOpenAiChat) && !common_ && coin()) m.name = word();
  for (int i = 1 + below(3); i > 0; --i) m.parts.push_back(user_part());
  m.extras = is(Dialect::kOpenAiChat) || is(Dialect::kOpenAiResponses) ? extras() : Json();
  return m;
}

// Parts in the order of the dialect: thoughts, text, calls.
chat::Message ChatGenerator::assistant(std::vector<std::string>& calls) {
  chat::Message m;
  m.role = chat::Role::kAssistant;
  if (!common_ && coin()) {
    chat::Part part;
    part.body = chat::Reasoning{text(), false, false};
    part.signature = {word(), dialect_};
    m.parts.push_back(std::move(part));
  }
  if (!common_ && is(Dialect::kAnthropic) && coin()) {
    chat::Part part;
    part.body = chat::Reasoning{{}, true, false};
    part.signature = {word(), dialect_};
    m.parts.push_back(std::move(part));
  }
  const int count = below(3);
  if (count == 0 || coin()) m.parts.push_back({chat::Text{text()}});
  for (int i = 0; i < count; ++i) {
    chat::ToolCall call{"call_" + std::to_string(calls_++), word(), arguments(), false};
    calls.push_back(call.id);
    chat::Part part;
    if (!common_ && is(Dialect::kGemini) && coin()) part.signature = {word(), dialect_};
    part.body = std::move(call);
    m.parts.push_back(std::move(part));
  }
  return m;
}

void ChatGenerator::add_results(std::vector<chat::Message>& out, const std::vector<std::string>& calls) {
  const bool is_one_turn = is(Dialect::kAnthropic) || is(Dialect::kGemini);
  chat::Message together;
  for (const std::string& id : calls) {
    chat::ToolResult result;
    result.id = id;
    for (const chat::Message& m : out) {
      for (const chat::Part& p : m.parts) {
        const auto* call = std::get_if<chat::ToolCall>(&p.body);
        if (call != nullptr && call->id == id && is(Dialect::kGemini)) result.name = call->name;
      }
    }
    result.parts.push_back({chat::Text{text()}});
    if (is_one_turn) {
      if (!common_) result.is_error = below(4) == 0;
      together.parts.push_back({std::move(result)});
    } else {
      chat::Message m;
      m.role = chat::Role::kTool;
      m.parts.push_back({std::move(result)});
      out.push_back(std::move(m));
    }
  }
  if (!together.parts.empty()) out.push_back(std::move(together));
}

void ChatGenerator::add_tools(chat::Request& r) {
  for (int i = below(3); i > 0; --i) {
    chat::Tool tool;
    tool.name = word();
    if (coin()) tool.description = text();
    tool.schema = schema();
    if (!is(Dialect::kGemini) && !common_ && coin()) tool.is_strict = coin();
    tool.extras = extras();
    r.tools.push_back(std::move(tool));
  }
  if (!common_ && coin()) {
    chat::Tool tool;
    tool.kind = chat::Tool::Kind::kOpaque;
    tool.name = is(Dialect::kGemini) ? "googleSearch" : "web_search_1";
    tool.extras = is(Dialect::kGemini) ? Json::object({{"googleSearch", Json::object()}})
                                       : Json::object({{"type", "web_search_1"}, {"max_uses", 3}});
    r.tools.push_back(std::move(tool));
  }
  if (r.tools.empty() || coin()) return;
  chat::ToolChoice choice;
  choice.mode = static_cast<chat::ToolChoice::Mode>(below(4));
  if (choice.mode == chat::ToolChoice::Mode::kNamed) choice.name = r.tools[0].name;
  if (!is(Dialect::kGemini) && !common_ && choice.mode != chat::ToolChoice::Mode::kNone && coin())
    r.parallel_tools = coin();
  r.tool_choice = std::move(choice);
}

void ChatGenerator::add_thinking(chat::Request& r) {
  if (common_ || coin()) return;
  using Mode = chat::Thinking::Mode;
  if (is(Dialect::kOpenAiChat) || is(Dialect::kOpenAiResponses)) {
    r.thinking.effort = coin() ? "low" : "high";
    if (is(Dialect::kOpenAiResponses) && coin()) r.thinking.summary = "auto";
    return;
  }
  r.thinking.mode = static_cast<Mode>(1 + below(3));
  if (r.thinking.mode == Mode::kOn) r.thinking.budget_tokens = 1024 + below(1000);
  if (is(Dialect::kAnthropic) && coin()) r.thinking.effort = "medium";
  if (is(Dialect::kGemini) && coin()) r.thinking.is_shown = coin();
}

void ChatGenerator::add_sampling(chat::Request& r) {
  chat::Sampling& s = r.sampling;
  if (coin()) s.temperature = fraction();
  if (coin()) s.top_p = 1 - fraction();
  if (coin() && !common_ && !is(Dialect::kOpenAiResponses)) s.top_k = 1 + below(1000);
  const bool is_chat = is(Dialect::kOpenAiChat) && !common_;
  if (coin() && is_chat) s.min_p = fraction();
  if (coin() && is_chat) s.repetition_penalty = 0.5 + fraction();
  if (coin() && is_chat) s.logit_bias.emplace_back(below(1000), 200 * fraction() - 100);
  if (!common_ && (is(Dialect::kOpenAiChat) || is(Dialect::kGemini))) {
    if (coin()) s.presence_penalty = 4 * fraction() - 2;
    if (coin()) s.frequency_penalty = 4 * fraction() - 2;
    if (coin()) s.seed = static_cast<int64_t>(random_());
    if (coin()) r.choices = 1 + below(4);
  }
}

chat::Request ChatGenerator::request() {
  chat::Request r;
  r.dialect = dialect_;
  r.model = "m/" + word();
  if (coin()) {
    chat::Message m;
    m.role = chat::Role::kSystem;
    m.is_apart = !is(Dialect::kOpenAiChat);
    m.parts.push_back({chat::Text{text()}});
    r.messages.push_back(std::move(m));
  }
  for (int i = 1 + below(3); i > 0; --i) {
    r.messages.push_back(user());
    if (coin()) continue;
    std::vector<std::string> calls;
    chat::Message m = assistant(calls);
    if (is(Dialect::kOpenAiResponses)) {  // an item is a message
      for (chat::Part& part : m.parts) r.messages.push_back({chat::Role::kAssistant, {}, {std::move(part)}});
    } else {
      r.messages.push_back(std::move(m));
    }
    add_results(r.messages, calls);
  }
  add_sampling(r);
  r.tokens_max = 1 + below(100'000);
  if (!is(Dialect::kOpenAiResponses) && !common_) {
    for (int i = below(4); i > 0; --i) r.stop.push_back(text());
  }
  add_tools(r);
  add_thinking(r);
  if (coin() && !common_) {
    chat::Format format;
    format.kind = chat::Format::Kind::kSchema;
    format.schema = schema();
    if (is(Dialect::kOpenAiChat) || is(Dialect::kOpenAiResponses)) format.name = word();
    r.format = std::move(format);
  }
  if (coin() && !is(Dialect::kGemini) && !common_) r.user = word();
  if (coin() && !is(Dialect::kGemini) && !common_) r.metadata = Json::object({{word(), word()}});
  r.stream = coin();
  if (r.stream && is(Dialect::kOpenAiChat)) r.include_usage = coin();
  r.extras = extras();
  return r;
}

std::vector<chat::Event> ChatGenerator::answer() {
  std::vector<chat::Event> out;
  out.push_back(chat::Started{});
  bool has_calls = false;
  int calls = 0;
  if (!common_ && coin()) {
    for (int i = 1 + below(3); i > 0; --i) out.push_back(chat::ReasoningDelta{0, text(), false});
    out.push_back(chat::Signed{0, {word(), dialect_}});
    if (is(Dialect::kAnthropic) || is(Dialect::kOpenAiResponses)) out.push_back(chat::PartEnd{0});
  }
  if (coin()) {
    for (int i = 1 + below(4); i > 0; --i) out.push_back(chat::TextDelta{0, text(), {}});
    if (is(Dialect::kAnthropic) || is(Dialect::kOpenAiResponses)) out.push_back(chat::PartEnd{0});
  }
  for (int i = below(3); i > 0; --i) {
    has_calls = true;
    out.push_back(chat::ToolBegin{0, calls, "call_" + std::to_string(calls), word(), false});
    const std::string json = arguments();
    size_t cut = json.size() / 2;
    while ((static_cast<unsigned char>(json[cut]) & 0xC0) == 0x80) ++cut;  // whole characters
    out.push_back(chat::ToolDelta{0, calls, json.substr(0, cut)});
    out.push_back(chat::ToolDelta{0, calls, json.substr(cut)});
    ++calls;
    if (!is(Dialect::kOpenAiChat)) out.push_back(chat::PartEnd{0});
  }
  chat::Finished finished;
  finished.reason = has_calls ? chat::FinishReason::kToolCalls
                    : coin()  ? chat::FinishReason::kStop
                              : chat::FinishReason::kLength;
  finished.usage = {100 + below(100), below(50), 60 + below(50), 0, 0};
  out.push_back(finished);
  return out;
}

}  // namespace cresset::testing
