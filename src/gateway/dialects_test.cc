// Every dialect at the gateway's door: the own engine behind each, a provider behind each, and what is
// refused in each one's own words.
#include <gtest/gtest.h>

#include "testing/gateway_bench.h"

namespace cresset::gateway {
namespace {

using testing::finished;
using testing::GatewayBench;
using testing::started;
using testing::text;

struct Door {
  const char *path, *body, *stream_path, *stream_body;
  std::vector<std::string> text_at;  // where the text of a whole answer stands
};

const Door kDoors[] = {
    {"/v1/chat/completions",
     R"({"model":"M","messages":[{"role":"user","content":"hi"}]})",
     "/v1/chat/completions",
     R"({"model":"M","stream":true,"messages":[{"role":"user","content":"hi"}]})",
     {}},
    {"/v1/responses",
     R"({"model":"M","input":"hi"})",
     "/v1/responses",
     R"({"model":"M","input":"hi","stream":true})",
     {}},
    {"/v1/messages?beta=true",
     R"({"model":"M","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})",
     "/v1/messages",
     R"({"model":"M","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]})",
     {}},
    {"/v1beta/models/M:generateContent",
     R"({"contents":[{"role":"user","parts":[{"text":"hi"}]}]})",
     "/v1/models/M:streamGenerateContent?alt=sse",
     R"({"contents":[{"parts":[{"text":"hi"}]}]})",
     {}},
    {"/api/chat",
     R"({"model":"M","stream":false,"messages":[{"role":"user","content":"hi"}]})",
     "/api/chat",
     R"({"model":"M","messages":[{"role":"user","content":"hi"}]})",
     {}},
};

std::string with_model(std::string text, const std::string& model) {
  for (size_t at = text.find('M'); at != std::string::npos; at = text.find('M', at + model.size())) {
    const bool is_name = at > 0 && (text[at - 1] == '"' || text[at - 1] == '/') &&
                         !(at + 1 < text.size() && text[at + 1] == 'A');
    if (is_name) text.replace(at, 1, model);
  }
  return text;
}

TEST(Dialects, TheOwnEngineAnswersInEach) {
  for (const Door& door : kDoors) {
    for (const bool is_stream : {false, true}) {
      GatewayBench bench;
      auto call = bench.post(with_model(is_stream ? door.stream_path : door.path, "small"),
                             with_model(is_stream ? door.stream_body : door.body, "small"));
      bench.settle();
      ASSERT_EQ(bench.jobs().size(), 1u) << door.path << call->body();
      EXPECT_EQ(bench.job(0)->request.messages[0].text(), "hi");
      for (auto event : {started(7), text("Hel"), text("lo"), finished(2)}) bench.say(0, event);
      bench.settle();
      EXPECT_EQ(call->status(), 200) << door.path;
      EXPECT_EQ(call->is_stream(), is_stream) << door.path;
      EXPECT_NE(call->body().find("Hel"), std::string::npos) << door.path << call->body();
      EXPECT_EQ(call->header("X-Cresset-Route"), "local/small:latest; own engine");
    }
  }
}

TEST(Dialects, AProviderAnswersEach) {
  for (const Door& door : kDoors) {
    GatewayBench bench;
    auto call = bench.post(with_model(door.path, "lab/big-1"), with_model(door.body, "lab/big-1"));
    ASSERT_EQ(bench.remote.asked.size(), 1u) << door.path << call->body();
    auto& asked = *bench.remote.asked[0];
    EXPECT_EQ(asked.provider, "lab");
    EXPECT_EQ(asked.model, "big-1");
    asked.sink->on_accepted(
        {{}, chat::Dialect::kAnthropic, "req_theirs", {{"anthropic-ratelimit-requests-limit", "5"}}});
    asked.sink->on_event(started(3));
    asked.sink->on_event(chat::ReasoningDelta{0, "thinking", false});
    asked.sink->on_event(text("Hello"));
    asked.sink->on_event(finished(2));
    bench.settle();
    EXPECT_EQ(call->status(), 200) << call->body();
    EXPECT_NE(call->body().find("Hello"), std::string::npos) << call->body();
    EXPECT_NE(call->body().find("thinking"), std::string::npos) << call->body();
    EXPECT_EQ(call->header("X-Cresset-Route"), "lab/big-1; provider lab");
    EXPECT_EQ(call->header("X-Cresset-Dropped"), "lost");
    EXPECT_EQ(call->header("anthropic-ratelimit-requests-limit"), "5");
  }
}

TEST(Dialects, WhatTheOwnEngineCannotDoIsRefusedByItsNameThere) {
  GatewayBench bench;
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"/v1/messages",
       R"({"model":"small","max_tokens":9,"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"hi"}]})",
       R"({"type":"error","error":{"type":"invalid_request_error","message":"Unsupported parameter: 'tools')"},
      {"/v1/messages",
       R"({"model":"small","max_tokens":9,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"hi"}]})",
       "'thinking'"},
      {"/v1/messages",
       R"({"model":"small","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x.org/a"}}]}]})",
       "messages[0].content[0]"},
      {"/v1/responses", R"({"model":"small","input":"x","previous_response_id":"resp_1"})",
       "previous_response_id"},
      {"/v1/responses", R"({"model":"small","input":"x","text":{"format":{"type":"json_object"}}})",
       "text.format"},
      {"/v1beta/models/small:generateContent",
       R"({"contents":[{"parts":[{"text":"x"}]}],"tools":[{"googleSearch":{}}]})",
       R"({"error":{"code":400,"message":"Unsupported parameter: 'tools')"},
      {"/api/chat", R"({"model":"small","format":"json","messages":[{"role":"user","content":"x"}]})",
       R"({"error":"Unsupported value: 'format')"},
  };
  for (const auto& [path, body, expected] : cases) {
    auto call = bench.post(path, body);
    bench.settle();
    EXPECT_EQ(call->status(), 400) << path;
    EXPECT_NE(call->body().find(expected), std::string::npos) << path << call->body();
  }
  EXPECT_TRUE(bench.jobs().empty());
}

TEST(Dialects, AnotherCandidateIsAskedForWhatTheFirstCannotDo) {
  GatewayBench bench;
  auto call = bench.post(
      "/v1/chat/completions",
      R"({"model":"up","tools":[{"type":"function","function":{"name":"f"}}],"messages":[{"role":"user","content":"x"}]})");
  bench.settle();
  ASSERT_EQ(bench.remote.asked.size(), 1u);
  EXPECT_TRUE(bench.jobs().empty());
  EXPECT_EQ(bench.remote.asked[0]->request.tools.size(), 1u);
}

TEST(Dialects, AProvidersErrorComesInTheClientsWords) {
  GatewayBench bench;
  auto call = bench.post("/v1/messages",
                         R"({"model":"gpu/x","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})");
  chat::Failed failed;
  failed.error = {Code::kUnavailable, "gpu: slow down (request r1)", {}};
  failed.status = 429;
  failed.kind = "rate_limit_exceeded";
  failed.retry_after_s = 7;
  failed.is_remote = true;
  bench.remote.asked.at(0)->sink->on_event(failed);
  bench.settle();
  EXPECT_EQ(call->status(), 429);
  EXPECT_EQ(call->header("Retry-After"), "7");
  EXPECT_EQ(
      call->body(),
      R"x({"type":"error","error":{"type":"rate_limit_error","message":"gpu: slow down (request r1)"}})x");
}

TEST(Dialects, AClientThatReadsSlowlyHoldsItsProviderBack) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", with_model(kDoors[0].stream_body, "gpu/x"));
  auto& asked = *bench.remote.asked.at(0);
  asked.sink->on_accepted({{}, chat::Dialect::kOpenAiChat, {}, {}});
  asked.sink->on_event(started(1));
  call->stall();
  for (int i = 0; i < 10; ++i) asked.sink->on_event(text(std::string(50'000, 'x')));
  bench.settle();
  EXPECT_EQ(asked.pauses, 1);
  EXPECT_EQ(asked.resumes, 0);
  call->drain();
  EXPECT_EQ(asked.resumes, 1);
  call->close();
  EXPECT_TRUE(asked.flow.expired()) << "who left is not paid for";
}

TEST(Dialects, AStreamThatHasOnlyBegunIsTriedElsewhere) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions",
                         R"({"model":"pair","stream":true,"messages":[{"role":"user","content":"x"}]})");
  bench.settle();
  bench.say(0, started(3));
  bench.say(0, testing::failed(Code::kUnavailable, "gone"));
  bench.settle();
  ASSERT_EQ(bench.jobs().size(), 2u);
  for (auto event : {started(3), text("second"), finished(1)}) bench.say(1, event);
  bench.settle();
  EXPECT_NE(call->body().find("second"), std::string::npos);
  EXPECT_EQ(call->body().find("error"), std::string::npos);
}

TEST(Dialects, ALabelledRequestStaysHere) {
  GatewayBench bench;
  auto call = bench.post(
      "/v1/messages", R"({"model":"lab/big-1","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})",
      {{"X-Cresset-Label", "level=secret"}});
  EXPECT_EQ(call->status(), 403);
  EXPECT_TRUE(bench.remote.asked.empty());
  EXPECT_NE(call->body().find("permission_error"), std::string::npos);
}

TEST(Dialects, AModelsNameCannotBecomeAHeaderOfItsOwn) {
  GatewayBench bench;
  auto call =
      bench.post("/v1/chat/completions",
                 R"({"model":"gpu/x\r\nSet-Cookie: a=b","messages":[{"role":"user","content":"x"}]})");
  auto& asked = *bench.remote.asked.at(0);
  for (auto event : {started(1), text("a"), finished(1)}) asked.sink->on_event(event);
  bench.settle();
  EXPECT_EQ(call->header("X-Cresset-Route"), "gpu/x__Set-Cookie: a=b; attached engine gpu");
}

TEST(Dialects, ModelListsHaveTheShapeOfWhoAsks) {
  GatewayBench bench;
  EXPECT_NE(bench.get("/v1/models")->body().find(R"("id":"lab/big-1","object":"model")"), std::string::npos);
  EXPECT_NE(bench.get("/v1/models")->body().find(R"("cresset":{"price":3})"), std::string::npos);
  EXPECT_NE(bench.get("/v1/models", {{"anthropic-version", "2023-06-01"}})
                ->body()
                .find(R"({"type":"model","id":"local/small:latest")"),
            std::string::npos);
  EXPECT_NE(bench.get("/v1beta/models")->body().find(R"({"name":"models/local/small:latest")"),
            std::string::npos);
  EXPECT_NE(bench.get("/v1/models", {{"x-goog-api-key", "k"}})->body().find("{\"models\":[{\"name\":"),
            std::string::npos);
  EXPECT_NE(bench.get("/api/tags")->body().find(R"("name":"small:latest")"), std::string::npos);
  EXPECT_EQ(bench.post("/api/show", R"({"model":"small"})")->status(), 200);
  EXPECT_EQ(bench.get("/v1beta/models/lab/big-1")->status(), 200);
  EXPECT_EQ(bench.get("/v1beta/models/none")->body().substr(0, 21), R"({"error":{"code":404,)");
  EXPECT_EQ(bench.get("/api/version")->status(), 200);
  EXPECT_EQ(bench.post("/api/embed", "{}")->status(), 501);
  EXPECT_EQ(bench.head("/")->status(), 200);
}

TEST(Dialects, TokensAreCountedByTheEngineThatWouldReadThem) {
  GatewayBench bench;
  auto call = bench.post("/v1/messages/count_tokens",
                         R"({"model":"small","messages":[{"role":"user","content":"hi"}]})");
  bench.settle();
  EXPECT_TRUE(call->is_replied());
  EXPECT_TRUE(bench.jobs().empty()) << "nothing is computed for it";
  auto remote = bench.post("/v1/messages/count_tokens",
                           R"({"model":"lab/big-1","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_EQ(remote->status(), 501);
}

}  // namespace
}  // namespace cresset::gateway
