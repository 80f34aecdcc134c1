// decode(encode(x)) = x for every dialect, on generated requests and answers; what all dialects can say goes
// through another and back unchanged; a stream cut at every byte gives the same events.
#include <gtest/gtest.h>

#include "testing/chat_generator.h"
#include "wire/anthropic.h"
#include "wire/event_gate.h"
#include "wire/gemini.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"

namespace cresset::wire {
namespace {

using chat::Dialect;
using testing::ChatGenerator;

constexpr Dialect kDialects[] = {Dialect::kOpenAiChat, Dialect::kOpenAiResponses, Dialect::kAnthropic,
                                 Dialect::kGemini};

// The model and the wish for a stream stand in Gemini's address.
chat::Request with_address(chat::Request decoded, const chat::Request& from) {
  if (decoded.dialect == Dialect::kGemini) {
    decoded.model = from.model;
    decoded.stream = from.stream;
  }
  return decoded;
}

TEST(RoundTrip, DecodingWhatWasEncodedGivesTheSameRequest) {
  for (const Dialect dialect : kDialects) {
    const Codec& codec = *find_provider_codec(dialect);
    ChatGenerator generator(7, dialect, false);
    for (int i = 0; i < 1000; ++i) {
      const chat::Request request = generator.request();
      Dropped dropped;
      const std::string body = codec.encode_request(request, {}, dropped);
      ASSERT_TRUE(dropped.empty() || dialect == Dialect::kGemini || dropped.text() == "tool_result.is_error")
          << codec.name() << " " << dropped.text() << "\n"
          << body;
      const auto decoded = codec.decode_request(body);
      ASSERT_TRUE(decoded) << codec.name() << " " << decoded.error().message << "\n" << body;
      const chat::Request got = with_address(*decoded, request);
      ASSERT_EQ(body, codec.encode_request(got)) << codec.name();
      ASSERT_TRUE(got == request) << codec.name() << "\n" << body;
    }
  }
}

TEST(RoundTrip, WhatAllCanSayComesBackFromAnyDialect) {
  for (const Dialect home : kDialects) {
    for (const Dialect abroad : kDialects) {
      if (home == abroad) continue;
      const Codec &own = *find_provider_codec(home), &other = *find_provider_codec(abroad);
      ChatGenerator generator(11, home, true);
      for (int i = 0; i < 200; ++i) {
        const chat::Request request = generator.request();
        Dropped dropped;
        const std::string there = other.encode_request(request, {}, dropped);
        ASSERT_TRUE(dropped.empty()) << own.name() << " to " << other.name() << ": " << dropped.text() << "\n"
                                     << there;
        const auto visitor = other.decode_request(there);
        ASSERT_TRUE(visitor) << visitor.error().message << "\n" << there;
        chat::Request travelled = with_address(*visitor, request);
        Dropped on_return;
        const std::string back = own.encode_request(travelled, {}, on_return);
        const auto decoded = own.decode_request(back);
        ASSERT_TRUE(decoded) << decoded.error().message << "\n" << back;
        const chat::Request got = with_address(*decoded, request);
        std::string all_text, all_back;
        for (const chat::Message& m : request.messages) all_text += m.text();
        for (const chat::Message& m : got.messages) all_back += m.text();
        ASSERT_EQ(all_text, all_back) << there;
        ASSERT_EQ(request.sampling, got.sampling);
        ASSERT_EQ(request.tokens_max, got.tokens_max);
        ASSERT_EQ(request.tools.size(), got.tools.size());
        for (size_t t = 0; t < got.tools.size(); ++t) {
          ASSERT_EQ(request.tools[t].name, got.tools[t].name);
          ASSERT_EQ(request.tools[t].schema, got.tools[t].schema);
          ASSERT_EQ(request.tools[t].description, got.tools[t].description);
        }
        ASSERT_EQ(request.tool_choice, got.tool_choice);
        ASSERT_EQ(request.stream, got.stream);
        std::vector<chat::Part> calls, calls_back;
        const auto collect = [](const chat::Request& from, std::vector<chat::Part>& to) {
          for (const chat::Message& m : from.messages) {
            for (const chat::Part& p : m.parts) {
              if (const auto* result = std::get_if<chat::ToolResult>(&p.body)) {
                chat::ToolResult bare = *result;
                bare.name.clear();
                to.push_back({bare});
              } else if (!std::holds_alternative<chat::Text>(p.body)) {
                to.push_back({p.body});
              }
            }
          }
        };
        collect(request, calls);
        collect(got, calls_back);
        // A URL's type is known to one dialect only.
        for (auto* list : {&calls, &calls_back}) {
          for (chat::Part& p : *list) {
            if (auto* image = std::get_if<chat::Image>(&p.body);
                image != nullptr && image->media.source == chat::Media::Source::kUrl)
              image->media.type.clear();
            if (auto* document = std::get_if<chat::Document>(&p.body);
                document != nullptr && document->media.source == chat::Media::Source::kUrl)
              p.body = chat::Image{{document->media.source, {}, document->media.data}};
          }
        }
        ASSERT_EQ(calls.size(), calls_back.size()) << own.name() << " by " << other.name() << "\n" << there;
        for (size_t c = 0; c < calls.size(); ++c)
          ASSERT_TRUE(calls[c].body == calls_back[c].body) << own.name() << " by " << other.name() << "\n"
                                                           << there << "\n"
                                                           << back;
      }
    }
  }
}

// The parts and the end that events amount to.
Answer fold(const std::vector<chat::Event>& events) {
  Answer answer(1);
  EventGate gate(1);
  for (const chat::Event& event : events) {
    const Status ok = gate.check(event);
    EXPECT_TRUE(ok) << ok.error().what;
    if (!ok) break;
    answer.add(event);
  }
  return answer;
}

void expect_same(const Answer& a, const Answer& b, const std::string& shown) {
  ASSERT_EQ(a.is_complete(), b.is_complete()) << shown;
  const Choice &x = a.choices()[0], &y = b.choices()[0];
  ASSERT_EQ(x.parts.size(), y.parts.size()) << shown;
  for (size_t i = 0; i < x.parts.size(); ++i) {
    ASSERT_TRUE(x.parts[i].body == y.parts[i].body) << i << "\n" << shown;
    ASSERT_EQ(x.parts[i].signature, y.parts[i].signature) << i << "\n" << shown;
  }
  ASSERT_EQ(x.reason, y.reason) << shown;
  ASSERT_EQ(a.usage().prompt_tokens, b.usage().prompt_tokens) << shown;
  ASSERT_EQ(a.usage().cached_tokens, b.usage().cached_tokens) << shown;
  ASSERT_EQ(a.usage().completion_tokens, b.usage().completion_tokens) << shown;
}

std::string encode_stream(const Codec& codec, const std::vector<chat::Event>& events, Dialect origin) {
  chat::Request request;
  request.stream = request.include_usage = true;
  auto encoder = codec.make_stream_encoder(request, {"msg_1", 0, "m", "", origin});
  std::string out;
  for (const chat::Event& event : events) encoder->encode(event, out);
  return out;
}

std::vector<chat::Event> decode_stream(const Codec& codec, std::string_view bytes, size_t cut) {
  auto decoder = codec.make_stream_decoder({});
  std::vector<chat::Event> out;
  EXPECT_TRUE(decoder->feed(bytes.substr(0, cut), out));
  EXPECT_TRUE(decoder->feed(bytes.substr(cut), out));
  EXPECT_TRUE(decoder->end(out)) << bytes;
  return out;
}

TEST(RoundTrip, AStreamedAnswerComesBackAsItWas) {
  for (const Dialect dialect : kDialects) {
    const Codec& codec = *find_provider_codec(dialect);
    ChatGenerator generator(13, dialect, false);
    for (int i = 0; i < 500; ++i) {
      const auto events = generator.answer();
      const std::string bytes = encode_stream(codec, events, dialect);
      expect_same(fold(events), fold(decode_stream(codec, bytes, bytes.size())), bytes);
    }
  }
}

TEST(RoundTrip, AWholeAnswerComesBackAsItWas) {
  for (const Dialect dialect : kDialects) {
    const Codec& codec = *find_provider_codec(dialect);
    ChatGenerator generator(17, dialect, false);
    for (int i = 0; i < 500; ++i) {
      const Answer answer = fold(generator.answer());
      const std::string body = codec.encode_answer({}, answer, {"msg_1", 0, "m", "", dialect});
      const auto decoded = codec.decode_answer({}, body);
      ASSERT_TRUE(decoded) << codec.name() << "\n" << body;
      expect_same(answer, fold(*decoded), body);
    }
  }
}

TEST(RoundTrip, ASignatureOfAnotherModelComesBackToItThroughEveryClient) {
  for (const Dialect client : kDialects) {
    for (const Dialect maker : kDialects) {
      const Codec &codec = *find_provider_codec(client), &provider = *find_provider_codec(maker);
      std::vector<chat::Event> events{chat::Started{},
                                      chat::ReasoningDelta{0, "thinking", false},
                                      chat::Signed{0, {"c2lnbmF0dXJl", maker}},
                                      chat::PartEnd{0},
                                      chat::TextDelta{0, "said", {}},
                                      chat::PartEnd{0},
                                      chat::Finished{}};
      const Answer answer = fold(events);
      const std::string body = codec.encode_answer({}, answer, {"msg_1", 0, "m", "", maker});
      const auto decoded = codec.decode_answer({}, body);
      ASSERT_TRUE(decoded);
      // The client puts what it got into its history, and asks again.
      chat::Request next;
      next.dialect = client;
      next.model = "m";
      chat::Message user;
      user.parts.push_back({chat::Text{"go on"}});
      chat::Message told;
      told.role = chat::Role::kAssistant;
      told.parts = fold(*decoded).choices()[0].parts;
      next.messages = {user, told, user};
      if (client == Dialect::kOpenAiResponses) {
        next.messages = {user};
        for (const chat::Part& part : told.parts)
          next.messages.push_back({chat::Role::kAssistant, {}, {part}});
        next.messages.push_back(user);
      }
      Dropped dropped;
      const std::string sent = provider.encode_request(next, {}, dropped);
      EXPECT_NE(sent.find("c2lnbmF0dXJl"), std::string::npos)
          << codec.name() << " " << provider.name() << "\n"
          << body << "\n"
          << sent;
      EXPECT_EQ(sent.find("cresset."), std::string::npos) << sent;
    }
  }
}

TEST(RoundTrip, AStreamCutAtEveryByteGivesTheSameEvents) {
  for (const Dialect dialect : kDialects) {
    const Codec& codec = *find_provider_codec(dialect);
    ChatGenerator generator(19, dialect, false);
    for (int i = 0; i < 6; ++i) {
      std::string bytes = encode_stream(codec, generator.answer(), dialect);
      if (i % 2 == 1) {  // with CRLF, comments and a line for pings
        std::string crlf = ": hello\r\n\r\n";
        for (const char c : bytes) crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
        bytes = crlf;
      }
      const auto whole = decode_stream(codec, bytes, bytes.size());
      for (size_t cut = 0; cut < bytes.size(); ++cut) {
        const auto events = decode_stream(codec, bytes, cut);
        ASSERT_EQ(events.size(), whole.size()) << cut;
        ASSERT_NO_FATAL_FAILURE(expect_same(fold(whole), fold(events), bytes));
      }
    }
  }
}

}  // namespace
}  // namespace cresset::wire
