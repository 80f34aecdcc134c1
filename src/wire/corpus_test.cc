// Real bodies of every dialect: each decodes, comes back as the same value, and translates into every other
// dialect with no loss that the report does not name.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "testing/paths.h"
#include "wire/anthropic.h"
#include "wire/event_gate.h"
#include "wire/gemini.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"

namespace cresset::wire {
namespace {

namespace fs = std::filesystem;
using chat::Dialect;

constexpr Dialect kDialects[] = {Dialect::kOpenAiChat, Dialect::kOpenAiResponses, Dialect::kAnthropic,
                                 Dialect::kGemini};

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<fs::path> files_in(const std::string& folder) {
  std::vector<fs::path> out;
  const fs::path root = testing::source_path("../shared/corpus/dialects/" + folder);
  if (!fs::is_directory(root)) return out;
  for (const auto& entry : fs::directory_iterator(root)) out.push_back(entry.path());
  return out;
}

class Corpus : public ::testing::Test {
 protected:
  void SetUp() override {
    if (files_in("requests/completions").empty()) GTEST_SKIP() << "no corpus beside the checkout";
  }
};

void expect_request(const Codec& codec, const fs::path& path) {
  auto request = codec.decode_request(read(path));
  ASSERT_TRUE(request) << path << ": " << request.error().message;
  if (codec.dialect() == Dialect::kGemini) request->model = "m";  // of the address
  if (!request->tokens_max && codec.dialect() == Dialect::kAnthropic)
    request->tokens_max = 4096;  // to count only
  Dropped none;
  const std::string again = codec.encode_request(*request, {}, none);
  EXPECT_TRUE(none.empty()) << path << ": " << none.text();
  const auto decoded = codec.decode_request(again);
  ASSERT_TRUE(decoded) << path << ": " << decoded.error().message << "\n" << again;
  chat::Request got = *decoded;
  got.model = request->model;
  EXPECT_TRUE(got == *request) << path << "\n" << again;
  for (const Dialect dialect : kDialects) {
    const Codec& other = *find_provider_codec(dialect);
    Dropped dropped;
    const std::string there = other.encode_request(*request, {}, dropped);
    const auto visitor = other.decode_request(there);
    ASSERT_TRUE(visitor) << path << " as " << other.name() << ": " << visitor.error().message << "\n"
                         << there;
    // What is not named as lost has arrived.
    size_t parts = 0, arrived = 0;
    for (const chat::Message& m : request->messages) parts += m.text().size();
    for (const chat::Message& m : visitor->messages) arrived += m.text().size();
    EXPECT_GE(arrived, parts) << path << " as " << other.name() << "\n" << there;
    EXPECT_TRUE(visitor->tools.size() == request->tools.size() || !dropped.empty()) << path << "\n" << there;
  }
}

TEST_F(Corpus, RequestsComeBackAndTranslate) {
  for (const auto& path : files_in("requests/completions")) expect_request(openai_chat_codec(), path);
  for (const auto& path : files_in("requests/responses")) expect_request(openai_responses_codec(), path);
  for (const auto& path : files_in("requests/messages")) expect_request(anthropic_codec(), path);
  for (const auto& path : files_in("requests/count-tokens")) expect_request(anthropic_codec(), path);
  for (const auto& path : files_in("requests/gemini")) expect_request(gemini_codec(), path);
}

Answer fold(const std::vector<chat::Event>& events) {
  Answer answer(1);
  EventGate gate(1);
  for (const chat::Event& event : events) {
    const Status ok = gate.check(event);
    EXPECT_TRUE(ok) << ok.error().what;
    if (ok) answer.add(event);
  }
  return answer;
}

std::vector<chat::Event> read_answer(const Codec& codec, const std::string& body, bool is_stream) {
  if (!is_stream) {
    auto events = codec.decode_answer({}, body);
    EXPECT_TRUE(events) << body;
    return events ? *events : std::vector<chat::Event>{};
  }
  auto decoder = codec.make_stream_decoder({});
  std::vector<chat::Event> out;
  EXPECT_TRUE(decoder->feed(body, out)) << body;
  EXPECT_TRUE(decoder->end(out)) << body;
  return out;
}

std::string text_of(const Answer& answer) {
  std::string out = answer.choices()[0].text();
  for (const chat::Part& part : answer.choices()[0].parts) {
    if (const auto* refusal = std::get_if<chat::Refusal>(&part.body)) out += refusal->text;
  }
  return out;
}

void expect_answer(const Codec& codec, const fs::path& path) {
  const bool is_stream = path.filename().string().starts_with("stream");
  const auto events = read_answer(codec, read(path), is_stream);
  const Answer answer = fold(events);
  ASSERT_TRUE(answer.is_complete()) << path;
  for (const Dialect dialect : kDialects) {
    const Codec& other = *find_provider_codec(dialect);
    const AnswerIdentity identity{"msg_1", 0, "m", "", codec.dialect()};
    chat::Request asked;
    asked.stream = asked.include_usage = true;
    std::string streamed;
    auto encoder = other.make_stream_encoder(asked, identity);
    for (const chat::Event& event : events) encoder->encode(event, streamed);
    for (const Answer& got : {fold(read_answer(other, other.encode_answer({}, answer, identity), false)),
                              fold(read_answer(other, streamed, true))}) {
      EXPECT_TRUE(got.is_complete()) << path << " as " << other.name();
      EXPECT_EQ(text_of(got), text_of(answer)) << path << " as " << other.name();
      EXPECT_EQ(got.usage().prompt_tokens, answer.usage().prompt_tokens) << path << " as " << other.name();
      EXPECT_EQ(got.usage().completion_tokens, answer.usage().completion_tokens)
          << path << " as " << other.name();
      size_t calls = 0, calls_got = 0;
      for (const chat::Part& part : answer.choices()[0].parts)
        calls += std::holds_alternative<chat::ToolCall>(part.body);
      for (const chat::Part& part : got.choices()[0].parts)
        calls_got += std::holds_alternative<chat::ToolCall>(part.body);
      EXPECT_EQ(calls, calls_got) << path << " as " << other.name() << "\n" << streamed;
    }
  }
}

TEST_F(Corpus, AnswersAndStreamsDecodeAndTranslate) {
  for (const auto& path : files_in("response/completions")) expect_answer(openai_chat_codec(), path);
  for (const auto& path : files_in("response/responses")) expect_answer(openai_responses_codec(), path);
  for (const auto& path : files_in("response/vertex-gemini")) expect_answer(gemini_codec(), path);
  for (const auto& path : files_in("response/anthropic")) {
    if (path.filename() != "count_tokens.json") expect_answer(anthropic_codec(), path);
  }
}

TEST_F(Corpus, AStreamCutAtEveryByteGivesTheSameEvents) {
  for (const auto& [folder, dialect] : {std::pair("response/completions", Dialect::kOpenAiChat),
                                        std::pair("response/responses", Dialect::kOpenAiResponses),
                                        std::pair("response/anthropic", Dialect::kAnthropic),
                                        std::pair("response/vertex-gemini", Dialect::kGemini)}) {
    for (const auto& path : files_in(folder)) {
      const std::string bytes = read(path);
      if (!path.filename().string().starts_with("stream") || bytes.size() > 12'000) continue;
      const Codec& codec = *find_provider_codec(dialect);
      const auto whole = read_answer(codec, bytes, true);
      for (size_t cut = 0; cut < bytes.size(); ++cut) {
        auto decoder = codec.make_stream_decoder({});
        std::vector<chat::Event> out;
        ASSERT_TRUE(decoder->feed(std::string_view(bytes).substr(0, cut), out)) << path << cut;
        ASSERT_TRUE(decoder->feed(std::string_view(bytes).substr(cut), out)) << path << cut;
        ASSERT_TRUE(decoder->end(out)) << path << cut;
        ASSERT_EQ(out.size(), whole.size()) << path << cut;
      }
    }
  }
}

TEST_F(Corpus, WhatIsNotJsonIsAFaultInTheClientsDialect) {
  const std::string body = read(testing::source_path("../shared/corpus/dialects/response/detect/non-json"));
  for (const Dialect dialect : kDialects) {
    const auto events = find_provider_codec(dialect)->decode_answer({}, body);
    ASSERT_FALSE(events);
    EXPECT_EQ(http_status(events.error()), 502);
    EXPECT_TRUE(parse_json(find_provider_codec(dialect)->encode_error(events.error())));
    auto decoder = find_provider_codec(dialect)->make_stream_decoder({});
    std::vector<chat::Event> out;
    EXPECT_FALSE(decoder->feed("data: " + body.substr(0, 5) + "\n\n", out));
  }
}

}  // namespace
}  // namespace cresset::wire
