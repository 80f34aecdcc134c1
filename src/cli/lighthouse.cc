#include "cli/lighthouse.h"

#include <algorithm>
#include <set>
#include <utility>

#include "gateway/endpoints.h"
#include "wire/answer.h"
#include "wire/gemini.h"
#include "wire/lenient.h"

namespace cresset::cli {

namespace {

constexpr std::string_view kText =
    "This light is not a real one: it says the same words to everyone who asks, so that you can try the "
    "whole "
    "road from your tool through the gateway to a provider and back without any key.";
constexpr std::string_view kSignature = "ZmFrZS1saWdodGhvdXNl";  // base64, as the real ones look
constexpr size_t kScriptLinesMax = 100'000;

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at + 1), text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

int count_words(const chat::Request& request) {
  size_t words = 0;
  for (const chat::Message& m : request.messages) words += split_words(m.text()).size() + 1;
  return static_cast<int>(words);
}

std::string_view text_or(const Json& line, std::string_view name, std::string_view otherwise) {
  const Json* value = wire::get(line, name);
  return value != nullptr && value->is_string() ? std::string_view(value->as_string()) : otherwise;
}

// Why the real provider would not take this; empty: it would.
std::string fault_of(const net::HttpRequest& http, const chat::Request& request) {
  const bool is_anthropic = request.dialect == chat::Dialect::kAnthropic;
  if (is_anthropic && net::count_header(http.headers, "anthropic-version") == 0)
    return "anthropic-version: header is required";
  if (is_anthropic && !request.tokens_max) return "max_tokens: Field required";
  if (is_anthropic && request.thinking.budget_tokens && *request.thinking.budget_tokens < 1024)
    return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024";
  std::set<std::string> calls;
  for (const chat::Message& message : request.messages) {
    for (const chat::Part& part : message.parts) {
      if (const auto* call = std::get_if<chat::ToolCall>(&part.body)) calls.insert(call->id);
      if (const auto* result = std::get_if<chat::ToolResult>(&part.body);
          result != nullptr && !calls.contains(result->id))
        return "a tool's answer without its call: " + result->id.substr(0, 64);
      const bool is_thought = std::holds_alternative<chat::Reasoning>(part.body);
      const bool is_wrong = part.signature.text != kSignature && (is_anthropic || !part.signature.empty());
      if (is_thought && is_wrong) return "Invalid `signature` in `thinking` block";
      if (const auto* text = std::get_if<chat::Text>(&part.body);
          text != nullptr && is_anthropic && text->text.empty())
        return "messages: text content blocks must be non-empty";
    }
  }
  return {};
}

}  // namespace

Result<LighthouseScript> parse_lighthouse_script(std::string_view text) {
  LighthouseScript out;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (++number > kScriptLinesMax) return fail(Code::kLimit, "more than 100000 lines", "script");
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = "script:" + std::to_string(number);
    auto value = parse_json(line);
    if (!value || !value->is_object()) return fail(Code::kInvalid, "not a JSON object", where);
    constexpr std::string_view kKinds[] = {"answer", "tool", "think", "status", "stall", "cut", "garbage"};
    const std::string_view kind = wire::string_at(*value, "do");
    if (std::find(std::begin(kKinds), std::end(kKinds), kind) == std::end(kKinds))
      return fail(Code::kInvalid, "\"do\" is one of answer, tool, think, status, stall, cut, garbage", where);
    const Json* request = wire::get(*value, "request");
    if (request == nullptr) {
      out.otherwise = std::move(*value);
    } else if (request->is_integer() && request->as_integer() >= 1) {
      out.lines[request->as_integer()] = std::move(*value);
    } else {
      return fail(Code::kInvalid, "\"request\" is a whole number from 1", where);
    }
  }
  return out;
}

// An answer on its way out in pieces.
struct Lighthouse::Stream {
  std::shared_ptr<net::Call> call;
  std::unique_ptr<wire::StreamEncoder> encoder;
  std::vector<chat::Event> events;
  size_t next = 0;
  std::chrono::milliseconds delay{0};
  int stall_after = -1;  // words
  std::chrono::milliseconds stall{0};
  int64_t cut_after = -1;  // bytes
  int words = 0;
  int64_t bytes = 0;
  bool is_closed = false;
};

Lighthouse::Lighthouse(sys::Env& env, provider::Schedule& schedule, Options options)
    : env_(env),
      schedule_(schedule),
      options_(std::move(options)),
      codec_(*wire::find_provider_codec(options_.dialect)) {}

std::string Lighthouse::next_id(std::string_view prefix) {
  return std::string(prefix) + std::to_string(options_.seed) + "x" + std::to_string(++ids_);
}

void Lighthouse::refuse(net::Call& call, int status, std::string message, const Json& line) {
  wire::Fault fault;
  fault.code = Code::kInvalid;
  fault.status = status;
  fault.message = std::move(message);
  fault.retry_after_s = wire::count_at(line, "retry_after");
  net::HttpResponse response;
  response.status = status;
  response.headers = {{"Content-Type", "application/json"}, {"request-id", next_id("req_fake_")}};
  if (fault.retry_after_s > 0)
    response.headers.emplace_back("retry-after", std::to_string(fault.retry_after_s));
  if (status == 429 && options_.dialect == chat::Dialect::kAnthropic) {
    response.headers.emplace_back("anthropic-ratelimit-requests-limit", "50");
    response.headers.emplace_back("anthropic-ratelimit-requests-remaining", "0");
    response.headers.emplace_back("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z");
  } else if (status == 429 && options_.dialect != chat::Dialect::kGemini) {
    response.headers.emplace_back("x-ratelimit-limit-requests", "60");
    response.headers.emplace_back("x-ratelimit-remaining-requests", "0");
    response.headers.emplace_back("x-ratelimit-reset-requests", "1m2s");
  }
  if (const Json* headers = wire::get(line, "headers"); headers != nullptr && headers->is_object()) {
    for (const JsonMember& m : headers->as_object()) {
      if (m.second.is_string()) response.headers.emplace_back(m.first, m.second.as_string());
    }
  }
  response.body = codec_.encode_error(fault);
  call.reply(std::move(response));
}

void Lighthouse::handle(std::shared_ptr<net::Call> call) {
  const net::HttpRequest& http = call->request();
  const gateway::Target target = gateway::find_target(http);
  using gateway::Task;
  const Task task = target.endpoint != nullptr ? target.endpoint->task : Task::kNotBuilt;
  if (task == Task::kHealth || task == Task::kReady || task == Task::kRoot)
    return call->reply({200, {{"Content-Type", "application/json"}}, R"({"status":"ok"})"});
  if (task == Task::kListModels) {
    return call->reply(
        {200,
         {{"Content-Type", "application/json"}},
         R"({"object":"list","data":[{"id":"fake","object":"model","created":0,"owned_by":"fake"}]})"});
  }
  const bool is_mine = target.endpoint != nullptr && target.endpoint->codec == &codec_;
  if (!is_mine || (task != Task::kAnswer && task != Task::kCountTokens))
    return refuse(*call, 404,
                  "This light speaks " + std::string(codec_.name()) + " and has no such address.");
  auto request = codec_.decode_request(http.body);
  if (task == Task::kCountTokens) {
    if (!request) return refuse(*call, 400, request.error().message);
    const char* name = options_.dialect == chat::Dialect::kGemini ? "totalTokens" : "input_tokens";
    return call->reply(
        {200, {{"Content-Type", "application/json"}}, Json::object({{name, count_words(*request)}}).write()});
  }
  const int64_t number = ++requests_;
  if (options_.record) options_.record(number, http.body);
  if (!request) return refuse(*call, 400, request.error().message);
  if (!target.id.empty()) {
    request->model = target.id;
    request->stream = target.endpoint->streams;
  }
  if (const std::string fault = fault_of(http, *request); !fault.empty()) return refuse(*call, 400, fault);
  const auto line = options_.script.lines.find(number);
  answer(call, *request, line != options_.script.lines.end() ? line->second : options_.script.otherwise);
}

std::vector<chat::Event> Lighthouse::events_for(const chat::Request& request, const Json& line) {
  const std::string_view kind = text_or(line, "do", "answer");
  std::vector<chat::Event> body;
  chat::Finished finished;
  int words = 0;
  const auto say = [&](std::string_view text) {
    for (std::string& word : split_words(text)) {
      ++words;
      body.push_back(chat::TextDelta{0, std::move(word), {}});
    }
    body.push_back(chat::PartEnd{0});
  };
  if (kind == "think") {
    for (std::string& word : split_words(text_or(line, "thought", "Let me think about that for a moment."))) {
      ++words;
      ++finished.usage.reasoning_tokens;
      body.push_back(chat::ReasoningDelta{0, std::move(word), false});
    }
    body.push_back(chat::Signed{0, {std::string(kSignature), options_.dialect}});
    body.push_back(chat::PartEnd{0});
  }
  if (kind == "tool") {
    if (const std::string_view before = text_or(line, "text", ""); !before.empty()) say(before);
    const Json* calls = wire::get(line, "calls");
    const Json list = calls != nullptr && calls->is_array() ? *calls : Json::array({line});
    int number = 0;
    for (const Json& call : list.as_array()) {
      std::string_view name = text_or(call, "name", "");
      if (name.empty() && !request.tools.empty()) name = request.tools[0].name;
      const Json* value = wire::get(call, "arguments");
      const std::string arguments = value == nullptr     ? "{}"
                                    : value->is_string() ? value->as_string()
                                                         : value->write();
      body.push_back(chat::ToolBegin{0, number, next_id("call_fake_"), std::string(name), false});
      for (size_t at = 0; at < arguments.size();) {
        size_t end = std::min(at + 5, arguments.size());
        while (end < arguments.size() && (static_cast<unsigned char>(arguments[end]) & 0xC0) == 0x80) ++end;
        body.push_back(chat::ToolDelta{0, number, arguments.substr(at, end - at)});
        at = end;
      }
      if (options_.dialect == chat::Dialect::kGemini)
        body.push_back(chat::Signed{0, {std::string(kSignature), options_.dialect}});
      body.push_back(chat::PartEnd{0});
      ++number;
      words += 5;
    }
    finished.reason = chat::FinishReason::kToolCalls;
  } else {
    say(text_or(line, "text", kText));
    if (request.tokens_max && *request.tokens_max < words) finished.reason = chat::FinishReason::kLength;
  }
  finished.usage.prompt_tokens = count_words(request);
  finished.usage.completion_tokens = words;
  if (const Json* usage = wire::get(line, "usage")) {
    finished.usage = {wire::count_at(*usage, "prompt"), wire::count_at(*usage, "cached"),
                      wire::count_at(*usage, "completion"), 0, wire::count_at(*usage, "reasoning")};
  }
  chat::Started started;
  started.usage.prompt_tokens = finished.usage.prompt_tokens;
  started.usage.cached_tokens = finished.usage.cached_tokens;
  std::vector<chat::Event> out{started};
  for (int choice = 0; choice < request.choices; ++choice) {
    for (chat::Event event : body) {
      std::visit(
          [choice](auto& e) {
            if constexpr (requires { e.choice; }) e.choice = choice;
          },
          event);
      out.push_back(std::move(event));
    }
    finished.choice = choice;
    out.push_back(finished);
  }
  return out;
}

void Lighthouse::answer(const std::shared_ptr<net::Call>& call, const chat::Request& request,
                        const Json& line) {
  const std::string_view kind = text_or(line, "do", "answer");
  if (kind == "status") {
    const int status = std::clamp(wire::count_at(line, "status"), 200, 599);
    return refuse(*call, status, std::string(text_or(line, "message", "The script says so.")), line);
  }
  if (kind == "garbage") {
    const std::string garbage(text_or(line, "text", "{\n  this isn't json!\n}\n\n"));
    if (!request.stream) return call->reply({200, {{"Content-Type", "application/json"}}, garbage});
    call->begin_stream(200, {{"Content-Type", "text/event-stream"}});
    call->write("data: " + garbage + "\n\n");
    return call->end();
  }
  const std::vector<chat::Event> events = events_for(request, line);
  if (!request.stream && kind != "stall") return send_whole(call, request, line, events);
  auto stream = std::make_shared<Stream>();
  stream->call = call;
  stream->events = events;
  stream->delay = std::chrono::milliseconds(wire::count_at(line, "delay_ms"));
  if (kind == "stall") {
    stream->stall_after = wire::count_at(line, "after");
    stream->stall = std::chrono::milliseconds(1000) * std::max(1, wire::count_at(line, "seconds"));
  }
  if (kind == "cut") stream->cut_after = wire::count_at(line, "after");
  chat::Request asked = request;
  stream->encoder = codec_.make_stream_encoder(
      asked,
      {next_id(codec_.id_prefix()), env_.unix_time_ms() / 1000, request.model, "fp_fake", options_.dialect});
  call->on_closed([stream] { stream->is_closed = true; });
  if (kind == "stall" && !request.stream) {  // silence, then the whole answer
    schedule_.after(stream->stall, [this, stream, asked = std::move(asked), line] {
      if (!stream->is_closed) send_whole(stream->call, asked, line, stream->events);
    });
    return;
  }
  call->begin_stream(200, {{"Content-Type", "text/event-stream"}, {"request-id", next_id("req_fake_")}});
  pump(stream);
}

void Lighthouse::send_whole(const std::shared_ptr<net::Call>& call, const chat::Request& request,
                            const Json& line, const std::vector<chat::Event>& events) {
  wire::Answer folded(request.choices);
  for (const chat::Event& event : events) folded.add(event);
  const std::string body = codec_.encode_answer(
      request, folded,
      {next_id(codec_.id_prefix()), env_.unix_time_ms() / 1000, request.model, "fp_fake", options_.dialect});
  if (text_or(line, "do", "") == "cut") {
    call->begin_stream(200, {{"Content-Type", "application/json"}});
    call->write(body.substr(0, static_cast<size_t>(wire::count_at(line, "after"))));
    return call->abort();
  }
  call->reply({200, {{"Content-Type", "application/json"}, {"request-id", next_id("req_fake_")}}, body});
}

// Writes until there is something to wait for.
void Lighthouse::pump(const std::shared_ptr<Stream>& stream) {
  while (!stream->is_closed && stream->next < stream->events.size()) {
    const chat::Event& event = stream->events[stream->next++];
    const bool is_word = std::holds_alternative<chat::TextDelta>(event);
    std::string bytes;
    stream->encoder->encode(event, bytes);
    if (stream->cut_after >= 0 && stream->bytes + static_cast<int64_t>(bytes.size()) > stream->cut_after) {
      bytes.resize(static_cast<size_t>(stream->cut_after - stream->bytes));
      if (!bytes.empty()) stream->call->write(std::move(bytes));
      // What was written goes out first.
      schedule_.after(std::chrono::milliseconds(20), [stream] {
        if (!stream->is_closed) stream->call->abort();
      });
      return;
    }
    stream->bytes += static_cast<int64_t>(bytes.size());
    if (!bytes.empty()) stream->call->write(std::move(bytes));
    std::chrono::milliseconds wait = is_word ? stream->delay : std::chrono::milliseconds(0);
    if (is_word && ++stream->words == stream->stall_after + 1 && stream->stall_after >= 0)
      wait = stream->stall;
    if (wait.count() > 0) {
      schedule_.after(wait, [this, stream] { pump(stream); });
      return;
    }
  }
  if (!stream->is_closed) stream->call->end();
}

}  // namespace cresset::cli
