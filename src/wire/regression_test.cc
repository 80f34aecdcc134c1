// One test for each way in which other gateways were reported to get a translation wrong; the names say
// where.
#include <gtest/gtest.h>

#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"
#include "wire/rate_limit.h"

namespace cresset::wire {
namespace {

using chat::Dialect;

std::string stream_of(const Codec& codec, const std::vector<chat::Event>& events, Dialect origin) {
  chat::Request asked;
  asked.stream = true;
  auto encoder = codec.make_stream_encoder(asked, {"msg_1", 0, "m", "", origin});
  std::string out;
  for (const chat::Event& event : events) encoder->encode(event, out);
  return out;
}

size_t count(std::string_view text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

// litellm #25852, #29518, #8964: a text block without text before the thinking, thinking inside a text block.
TEST(Regression, ThinkingIsABlockOfItsOwnAndNothingStandsBeforeIt) {
  const std::string out =
      stream_of(anthropic_codec(),
                {chat::Started{}, chat::TextDelta{0, "", {}}, chat::ReasoningDelta{0, "hm", false},
                 chat::TextDelta{0, "yes", {}}, chat::Finished{}},
                Dialect::kOpenAiChat);
  EXPECT_LT(out.find(R"("index":0,"content_block":{"type":"thinking")"),
            out.find(R"("index":1,"content_block":{"type":"text")"));
  EXPECT_EQ(count(out, "content_block_start\""), 2u);
  EXPECT_EQ(count(out, "content_block_stop\""), 2u);
}

// litellm #38153: the signature was dropped, and the next turn refused.
TEST(Regression, ASignatureIsWithinItsThinkingBlock) {
  const std::string out = stream_of(
      anthropic_codec(),
      {chat::Started{}, chat::ReasoningDelta{0, "hm", false}, chat::Signed{0, {"sig", Dialect::kAnthropic}},
       chat::PartEnd{0}, chat::TextDelta{0, "yes", {}}, chat::Finished{}},
      Dialect::kAnthropic);
  const size_t signature = out.find(R"({"type":"signature_delta","signature":"sig"})");
  ASSERT_NE(signature, std::string::npos) << out;
  EXPECT_LT(signature, out.find("content_block_stop"));
}

// bifrost #6342: thinking blocks were restructured on replay, and the tool loop wedged.
TEST(Regression, ThinkingBlocksAreReplayedVerbatimAndInPlace) {
  const std::string body =
      R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[)"
      R"({"type":"thinking","thinking":"one","signature":"s1"},{"type":"redacted_thinking","data":"x"},)"
      R"({"type":"text","text":"t"},{"type":"thinking","thinking":"two","signature":"s2"},)"
      R"({"type":"tool_use","id":"i","name":"n","input":{}}]},{"role":"user","content":[)"
      R"({"type":"tool_result","tool_use_id":"i","content":"r"}]}]})";
  const auto request = anthropic_codec().decode_request(body);
  ASSERT_TRUE(request);
  const auto again = parse_json(anthropic_codec().encode_request(*request));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->find("messages")->as_array()[1].write(),
            parse_json(body)->find("messages")->as_array()[1].write());
}

// bifrost #3511: tools of an OpenAI client all broke at Anthropic.
TEST(Regression, ToolsOfAnOpenAiClientReachAnthropicInItsOrder) {
  const auto request = openai_chat_codec().decode_request(
      R"({"model":"m","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],)"
      R"("tool_choice":"required","parallel_tool_calls":false,"messages":[{"role":"user","content":"q"},)"
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":""}},)"
      R"({"id":"c2","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
      R"({"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2"},)"
      R"({"role":"user","content":"and?"}]})");
  ASSERT_TRUE(request);
  Dropped dropped;
  const auto sent = parse_json(anthropic_codec().encode_request(*request, {}, dropped));
  ASSERT_TRUE(sent);
  EXPECT_EQ(dropped.text(), "(max_tokens=4096)");
  EXPECT_EQ(
      sent->find("messages")->write(),
      R"([{"role":"user","content":"q"},{"role":"assistant","content":[)"
      R"({"type":"tool_use","id":"c1","name":"f","input":{}},{"type":"tool_use","id":"c2","name":"f","input":{"a":1}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r1"},)"
      R"({"type":"tool_result","tool_use_id":"c2","content":"r2"},{"type":"text","text":"and?"}]}])");
  EXPECT_EQ(sent->find("tool_choice")->write(), R"({"type":"any","disable_parallel_tool_use":true})");
}

// bifrost #1479: a thinking budget under Anthropic's least.
TEST(Regression, AThinkingBudgetIsNeverUnderTheLeastNorOverTheAnswers) {
  for (const auto& [max_tokens, budget] : {std::pair(500, 0), std::pair(1025, 1024), std::pair(4000, 2048)}) {
    chat::Request request;
    request.dialect = Dialect::kOpenAiChat;
    request.tokens_max = max_tokens;
    request.thinking.effort = "low";
    Dropped dropped;
    const auto sent = parse_json(anthropic_codec().encode_request(request, {}, dropped));
    const Json* thinking = sent->find("thinking");
    EXPECT_EQ(thinking == nullptr ? 0 : thinking->find("budget_tokens")->as_integer(), budget);
    EXPECT_EQ(dropped.empty(), budget != 0) << dropped.text();
  }
}

// bifrost #1354 (OpenRouter): arguments came empty. Also a server that says "stop" after a tool call, sends
// empty texts between the pieces, gives no index, or all calls the same one.
TEST(Regression, ArgumentsInPiecesArriveWholeHoweverTheyAreNumbered) {
  for (const char* index : {R"("index":0,)", "", R"("index":7,)"}) {
    auto decoder = openai_chat_codec().make_stream_decoder({});
    std::vector<chat::Event> events;
    const std::string i = index;
    for (const std::string& delta :
         {R"({"tool_calls":[{)" + i + R"("id":"a","function":{"name":"f","arguments":"{\"x\""}}]})",
          std::string(R"({"content":""})"),
          R"({"tool_calls":[{)" + i + R"("function":{"arguments":":1}"}}]})",
          R"({"tool_calls":[{)" + i + R"("id":"b","function":{"name":"g","arguments":"{}"}}]})"}) {
      ASSERT_TRUE(decoder->feed("data: {\"choices\":[{\"index\":0,\"delta\":" + delta + "}]}\n\n", events));
    }
    ASSERT_TRUE(decoder->feed(
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        events));
    Answer answer(1);
    for (const chat::Event& event : events) answer.add(event);
    ASSERT_EQ(answer.choices()[0].parts.size(), 2u) << i;
    EXPECT_EQ(std::get<chat::ToolCall>(answer.choices()[0].parts[0].body).arguments, R"({"x":1})");
    EXPECT_EQ(std::get<chat::ToolCall>(answer.choices()[0].parts[1].body).name, "g");
    EXPECT_EQ(answer.choices()[0].reason, chat::FinishReason::kToolCalls);
  }
}

// litellm #40404: a stream that is cut counted as an answer.
TEST(Regression, ACutStreamIsAFailureInEveryDialect) {
  const std::vector<chat::Event> events{chat::Started{}, chat::TextDelta{0, "half an answer", {}}};
  for (const Dialect dialect :
       {Dialect::kOpenAiChat, Dialect::kOpenAiResponses, Dialect::kAnthropic, Dialect::kGemini}) {
    const Codec& codec = *find_provider_codec(dialect);
    auto decoder = codec.make_stream_decoder({});
    std::vector<chat::Event> out;
    ASSERT_TRUE(decoder->feed(stream_of(codec, events, dialect), out));
    const Status ended = decoder->end(out);
    ASSERT_FALSE(ended) << codec.name();
    EXPECT_EQ(ended.error().code, Code::kUnavailable);
  }
}

TEST(Regression, AnErrorWithinAStreamIsTheProvidersOwn) {
  const std::pair<Dialect, const char*> streams[] = {
      {Dialect::kAnthropic,
       "event: error\ndata: "
       "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"},
      {Dialect::kOpenAiChat, "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"},
      {Dialect::kOpenAiResponses,
       "data: {\"type\":\"error\",\"code\":\"overloaded_error\",\"message\":\"busy\"}\n\n"},
      {Dialect::kGemini,
       "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\",\"message\":\"busy\"}}\n\n"}};
  for (const auto& [dialect, bytes] : streams) {
    auto decoder = find_provider_codec(dialect)->make_stream_decoder({});
    std::vector<chat::Event> out;
    ASSERT_TRUE(decoder->feed(bytes, out));
    ASSERT_EQ(out.size(), 1u) << bytes;
    const auto& failed = std::get<chat::Failed>(out[0]);
    EXPECT_EQ(failed.error.what, "busy");
    EXPECT_TRUE(failed.status == 529 || failed.status == 503) << failed.status;
    const std::string told = stream_of(anthropic_codec(), {failed}, dialect);
    EXPECT_NE(told.find(R"("type":"overloaded_error","message":"busy")"), std::string::npos) << told;
  }
}

TEST(Regression, CountsThatACacheSplitsAddUp) {
  const auto events = anthropic_codec().decode_answer(
      {},
      R"({"type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn",)"
      R"("usage":{"input_tokens":10,"cache_read_input_tokens":100,"cache_creation_input_tokens":5,"output_tokens":7}})");
  ASSERT_TRUE(events);
  Answer answer(1);
  for (const chat::Event& event : *events) answer.add(event);
  EXPECT_EQ(answer.usage().prompt_tokens, 115);
  const auto openai =
      parse_json(openai_chat_codec().encode_answer({}, answer, {"c", 0, "m", "", Dialect::kAnthropic}));
  EXPECT_EQ(openai->find("usage")->find("prompt_tokens")->as_integer(), 115);
  EXPECT_EQ(openai->find("usage")->find("prompt_tokens_details")->find("cached_tokens")->as_integer(), 100);
  const auto back =
      parse_json(anthropic_codec().encode_answer({}, answer, {"c", 0, "m", "", Dialect::kAnthropic}));
  EXPECT_EQ(back->find("usage")->find("input_tokens")->as_integer(), 10);
}

TEST(Regression, AToolCallCutShortIsKeptAsItIs) {
  const std::vector<chat::Event> events{chat::Started{}, chat::ToolBegin{0, 0, "c", "f", false},
                                        chat::ToolDelta{0, 0, R"({"location": "Par)"},
                                        chat::Finished{0, chat::FinishReason::kLength, {}, {}, {}}};
  Answer answer(1);
  for (const chat::Event& event : events) answer.add(event);
  const std::string body =
      anthropic_codec().encode_answer({}, answer, {"c", 0, "m", "", Dialect::kOpenAiChat});
  EXPECT_NE(body.find(R"("input":{"INVALID_JSON":"{\"location\": \"Par"})"), std::string::npos) << body;
  const auto back = anthropic_codec().decode_answer({}, body);
  Answer again(1);
  for (const chat::Event& event : *back) again.add(event);
  EXPECT_EQ(std::get<chat::ToolCall>(again.choices()[0].parts[0].body).arguments, R"({"location": "Par)");
}

TEST(Regression, WhatAProviderSaysBesideReachesClientsOfItsDialect) {
  const std::string body =
      R"({"id":"x","object":"chat.completion","created":1,"model":"m","service_tier":"default","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":"a","mood":"good"},"finish_reason":"stop","native_finish_reason":"end"}],)"
      R"("usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"cost_in_usd_ticks":7}})";
  const auto events = openai_chat_codec().decode_answer({}, body);
  ASSERT_TRUE(events);
  Answer answer(1);
  for (const chat::Event& event : *events) answer.add(event);
  const AnswerIdentity same{"c", 0, "m", "", Dialect::kOpenAiChat};
  chat::Request asked;
  asked.stream = asked.include_usage = true;
  auto encoder = openai_chat_codec().make_stream_encoder(asked, same);
  std::string stream;
  for (const chat::Event& event : *events) encoder->encode(event, stream);
  for (const std::string& told : {openai_chat_codec().encode_answer({}, answer, same), stream}) {
    EXPECT_NE(told.find(R"("service_tier":"default")"), std::string::npos) << told;
    EXPECT_NE(told.find(R"("native_finish_reason":"end")"), std::string::npos) << told;
    EXPECT_NE(told.find(R"("cost_in_usd_ticks":7)"), std::string::npos) << told;
  }
  EXPECT_EQ(anthropic_codec().encode_answer({}, answer, same).find("native"), std::string::npos);
}

TEST(RateLimit, RetryAfterIsReadInEveryForm) {
  EXPECT_EQ(read_retry_after_s({{"Retry-After", "7"}}), 7);
  EXPECT_EQ(read_retry_after_s({{"retry-after-ms", "1500"}, {"retry-after", "9"}}), 2);
  EXPECT_EQ(read_retry_after_s({{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"}}), 0);
  EXPECT_EQ(read_go_duration_s("2m30s"), 150);
  EXPECT_EQ(read_go_duration_s("6ms"), 0.006);
  EXPECT_LT(read_go_duration_s("soon"), 0);
  const HeaderList kept = pick_rate_limits({{"X-RateLimit-Remaining-Requests", "3"},
                                            {"Set-Cookie", "a"},
                                            {"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:00Z"}});
  EXPECT_EQ(kept.size(), 2u);
}

}  // namespace
}  // namespace cresset::wire
