#include "gateway/gateway.h"

#include <gtest/gtest.h>

#include <thread>

#include "testing/gateway_bench.h"

namespace cresset::gateway {
namespace {

using testing::failed;
using testing::finished;
using testing::GatewayBench;
using testing::started;
using testing::text;

constexpr const char* kChat = R"({"model":"small","messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kChatStream =
    R"({"model":"small","stream":true,"stream_options":{"include_usage":true},)"
    R"("messages":[{"role":"user","content":"hi"}]})";

Json body_of(const testing::FakeCall& call) {
  auto value = parse_json(call.body());
  EXPECT_TRUE(value) << call.body();
  return value ? *value : Json();
}

std::string error_code(const testing::FakeCall& call) {
  const Json body = body_of(call);
  const Json* error = body.find("error");
  const Json* code = error != nullptr ? error->find("code") : nullptr;
  return code != nullptr && code->is_string() ? code->as_string() : "";
}

TEST(Gateway, AnswersAChatWithTheLoadedModel) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChat);
  bench.settle();
  EXPECT_FALSE(call->is_over());
  bench.say(0, started(7, 3));
  bench.say(0, text("Hel"));
  bench.say(0, text("lo"));
  bench.say(0, finished(2));
  bench.settle();
  ASSERT_TRUE(call->is_replied());
  EXPECT_EQ(call->status(), 200);
  const Json body = body_of(*call);
  EXPECT_EQ(body.find("choices")->as_array()[0].find("message")->find("content")->as_string(), "Hello");
  EXPECT_EQ(body.find("model")->as_string(), "small");
  EXPECT_EQ(body.find("system_fingerprint")->as_string(), "fp_fake");
  EXPECT_EQ(body.find("usage")->find("total_tokens")->as_integer(), 9);
  EXPECT_EQ(body.find("usage")->find("prompt_tokens_details")->find("cached_tokens")->as_integer(), 3);
  EXPECT_EQ(call->header("X-Cresset-Route"), "local/small:latest; own engine");
  EXPECT_EQ(call->header("Cache-Control"), "no-store");
  EXPECT_TRUE(call->header("X-Request-Id").starts_with("req_"));
  EXPECT_EQ(bench.gateway->exchanges(), 0u);
}

TEST(Gateway, StreamsInOpenAisShape) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  for (auto event : {started(7), text("Hé"), finished(2, chat::FinishReason::kLength)}) bench.say(0, event);
  bench.settle();
  ASSERT_TRUE(call->is_ended());
  EXPECT_EQ(call->header("Content-Type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(call->header("X-Accel-Buffering"), "no");
  EXPECT_TRUE(call->body().ends_with("data: [DONE]\n\n"));
  EXPECT_NE(call->body().find("\"finish_reason\":\"length\""), std::string::npos);
  EXPECT_EQ(call->writes(), 1) << "what arrives together is written together";
}

TEST(Gateway, AClientThatLeavesStopsCosting) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  bench.say(0, started(7));
  bench.say(0, text("a"));
  bench.settle();
  EXPECT_FALSE(bench.job(0)->cancel.is_cancelled());
  call->close();
  EXPECT_TRUE(bench.job(0)->cancel.is_cancelled());
  bench.say(0, text("b"));
  bench.say(0, failed(Code::kCancelled, "cancelled"));
  bench.settle();
  EXPECT_EQ(call->body().find("\"b\""), std::string::npos);
  EXPECT_EQ(bench.gateway->exchanges(), 0u);
}

TEST(Gateway, AnErrorAfterTheStreamBeganIsItsLastEvent) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  bench.say(0, started(7));
  bench.say(0, text("a"));
  bench.say(0, failed(Code::kInternal, "a secret of ours"));
  bench.settle();
  ASSERT_TRUE(call->is_ended());
  EXPECT_EQ(call->body().find("[DONE]"), std::string::npos);
  EXPECT_NE(call->body().find("data: {\"error\":{\"message\":\"The server had an error"), std::string::npos);
  EXPECT_EQ(call->body().find("secret"), std::string::npos);
}

TEST(Gateway, APromptTooLongIsAClear400) {
  GatewayBench bench;
  for (const char* request : {kChat, kChatStream}) {
    auto call = bench.post("/v1/chat/completions", request);
    bench.settle();
    bench.say_last(
        failed(Code::kLimit, "This model's context is 2048 tokens, but the messages are 2050 tokens."));
    bench.settle();
    ASSERT_TRUE(call->is_replied());
    EXPECT_EQ(call->status(), 400);
    EXPECT_EQ(error_code(*call), "context_length_exceeded");
    EXPECT_NE(call->body().find("2050"), std::string::npos);
  }
}

TEST(Gateway, SixteenInterleavedAnswersDoNotMix) {
  GatewayBench bench;
  std::vector<std::shared_ptr<testing::FakeCall>> calls;
  for (int i = 0; i < 16; ++i) calls.push_back(bench.post("/v1/chat/completions", kChatStream));
  bench.settle();
  for (size_t i = 0; i < 16; ++i) bench.say(i, started(static_cast<int>(i) + 1));
  for (int word = 0; word < 20; ++word) {
    for (size_t i = 0; i < 16; ++i) bench.say((i * 7) % 16, text("<" + std::to_string((i * 7) % 16) + ">"));
    if (word % 3 == 0) bench.settle();
  }
  for (size_t i = 0; i < 16; ++i) bench.say(i, finished(20));
  bench.settle();
  for (size_t i = 0; i < 16; ++i) {
    ASSERT_TRUE(calls[i]->is_ended());
    const std::string own = "{\"content\":\"<" + std::to_string(i) + ">\"}";
    size_t own_count = 0, all_count = 0;
    for (size_t at = 0; (at = calls[i]->body().find(own, at)) != std::string::npos; ++at) ++own_count;
    for (size_t at = 0; (at = calls[i]->body().find("{\"content\":\"<", at)) != std::string::npos; ++at)
      ++all_count;
    EXPECT_EQ(own_count, 20u);
    EXPECT_EQ(all_count, 20u);
  }
}

TEST(Gateway, PingsWhileAStreamHasNothingToSay) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  bench.schedule.advance(std::chrono::milliseconds(14'999));
  EXPECT_FALSE(call->is_stream());
  bench.schedule.advance(std::chrono::milliseconds(1));
  EXPECT_EQ(call->body(), ": ping\n\n");
  bench.say(0, started(7));
  bench.settle();
  bench.schedule.advance(std::chrono::milliseconds(14'000));
  bench.say(0, text("a"));
  bench.settle();
  bench.schedule.advance(std::chrono::milliseconds(14'000));
  EXPECT_EQ(call->body().find("ping", 10), std::string::npos) << "it spoke a moment ago";
  bench.say(0, failed(Code::kTimeout, "slow"));
  bench.settle();
  EXPECT_TRUE(call->is_ended());
  EXPECT_NE(call->body().find("\"code\":\"timeout\""), std::string::npos);
  bench.schedule.advance(std::chrono::milliseconds(60'000));
}

TEST(Gateway, ABigBodyIsDecodedOffTheLoop) {
  GatewayBench bench;
  const std::string big =
      R"({"model":"small","messages":[{"role":"user","content":")" + std::string(200'000, 'x') + "\"}]}";
  auto call = bench.post("/v1/chat/completions", big);
  bench.schedule.run();
  EXPECT_TRUE(bench.jobs().empty());
  bench.settle();
  ASSERT_EQ(bench.jobs().size(), 1u);
  EXPECT_EQ(bench.job(0)->request.messages[0].text().size(), 200'000u);
  auto bad = bench.post("/v1/chat/completions", "[" + big);
  bench.settle();
  EXPECT_EQ(bad->status(), 400);
  auto gone = bench.post("/v1/chat/completions", big);
  gone->close();
  bench.settle();
  EXPECT_EQ(bench.jobs().size(), 1u);
  bench.decoder.queue_max = 0;
  EXPECT_EQ(bench.post("/v1/chat/completions", big)->status(), 503);
}

TEST(Gateway, ARequestThatFindsNoPlaceInTheQueueIsToldWhenToComeBack) {
  GatewayBench bench;
  for (const int status : {0, 429}) {
    auto call = bench.post("/v1/chat/completions", kChatStream);
    bench.settle();
    chat::Failed failed;
    failed.error = {Code::kUnavailable, "3 requests wait; try again in 7 s", {}};
    failed.status = status;
    failed.retry_after_s = 7;
    bench.say_last(failed);
    bench.settle();
    ASSERT_TRUE(call->is_replied());
    EXPECT_EQ(call->status(), status == 0 ? 503 : 429);
    EXPECT_EQ(call->header("Retry-After"), "7");
    EXPECT_EQ(error_code(*call), status == 0 ? "unavailable" : "rate_limit_exceeded");
    EXPECT_NE(call->body().find("3 requests wait"), std::string::npos);
  }
}

TEST(Gateway, AnotherModelMayAnswerWhereTheQueueOfTheFirstIsFull) {
  GatewayBench bench;
  auto call =
      bench.post("/v1/chat/completions", R"({"model":"pair","messages":[{"role":"user","content":"hi"}]})");
  bench.settle();
  bench.say_last(failed(Code::kUnavailable, "the queue is full"));
  bench.settle();
  EXPECT_FALSE(call->is_over());
  for (auto event : {started(1), text("x"), finished(1)}) bench.say_last(event);
  bench.settle();
  EXPECT_EQ(call->status(), 200);
}

TEST(Gateway, DrainFinishesWhatIsOnItsWayAndTakesNothingNew) {
  GatewayBench bench;
  auto running = bench.post("/v1/chat/completions", kChat);
  bench.settle();
  EXPECT_EQ(bench.get("/readyz")->status(), 200);
  bench.gateway->begin_drain();
  EXPECT_EQ(bench.get("/readyz")->status(), 503);
  EXPECT_EQ(bench.get("/healthz")->status(), 200);
  auto refused = bench.post("/v1/chat/completions", kChat);
  EXPECT_EQ(refused->status(), 503);
  EXPECT_EQ(refused->header("Retry-After"), "1");
  for (auto event : {started(1), text("x"), finished(1)}) bench.say(0, event);
  bench.settle();
  EXPECT_EQ(running->status(), 200);
  auto cut = bench.post("/v1/chat/completions", kChat);
  bench.gateway->cut_all();
  EXPECT_TRUE(bench.gateway->exchanges() == 0 && (cut->is_aborted() || cut->is_replied()));
}

TEST(Gateway, ReadyTellsWhatItWaitsFor) {
  GatewayBench bench(/*is_started=*/false);
  EXPECT_EQ(bench.get("/readyz")->status(), 503);
  bench.gateway->set_ready();
  EXPECT_EQ(bench.get("/readyz")->status(), 200);
  auto call = bench.post("/v1/chat/completions", kChat);
  EXPECT_EQ(body_of(*bench.get("/readyz")).find("status")->as_string(), "loading");
  bench.settle();
  EXPECT_EQ(bench.get("/readyz")->status(), 200);
  EXPECT_EQ(bench.head("/readyz")->status(), 200);
}

TEST(Gateway, ListsAndShowsModels) {
  GatewayBench bench;
  EXPECT_EQ(body_of(*bench.get("/v1/models")).find("data")->as_array().size(), 6u)
      << "two models, a provider's, three aliases";
  for (const char* path : {"/v1/models/local/small:latest", "/v1/models/local%2Fsmall%3Alatest",
                           "/v1/models/small", "/v1/models/default", "/v1/models/auto"}) {
    auto call = bench.get(path);
    ASSERT_EQ(call->status(), 200) << path;
    EXPECT_EQ(body_of(*call).find("id")->as_string(), "local/small:latest") << path;
  }
  auto missing = bench.get("/v1/models/nothing");
  EXPECT_EQ(missing->status(), 404);
  EXPECT_EQ(error_code(*missing), "model_not_found");
}

TEST(Gateway, AMissingModelIsOpenAis404) {
  GatewayBench bench;
  auto call =
      bench.post("/v1/chat/completions", R"({"model":"nope","messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(call->status(), 404);
  EXPECT_EQ(error_code(*call), "model_not_found");
  EXPECT_EQ(body_of(*call).find("error")->find("message")->as_string(),
            "The model `nope` does not exist or you do not have access to it.");
}

TEST(Gateway, UnknownAddressesAndMethodsAreSaid) {
  GatewayBench bench;
  EXPECT_EQ(error_code(*bench.get("/nothing")), "unknown_url");
  auto wrong = bench.get("/v1/chat/completions");
  EXPECT_EQ(wrong->status(), 405);
  EXPECT_EQ(wrong->header("Allow"), "POST");
  auto options = bench.send("OPTIONS", "/v1/models");
  EXPECT_EQ(options->status(), 405);
  EXPECT_EQ(options->header("Allow"), "GET, HEAD");
  for (const auto& [name, value] : options->headers())
    EXPECT_FALSE(name.starts_with("Access-Control")) << name;
}

TEST(Gateway, TriesTheNextCandidateWhileTheClientHasSeenNothing) {
  GatewayBench bench;
  auto call =
      bench.post("/v1/chat/completions", R"({"model":"pair","messages":[{"role":"user","content":"x"}]})");
  bench.settle();
  bench.say(0, failed(Code::kInternal, "broken"));
  bench.settle();
  ASSERT_EQ(bench.jobs().size(), 2u);
  bench.say(0, text("stale"));
  for (auto event : {started(1), text("second"), finished(1)}) bench.say(1, event);
  bench.settle();
  EXPECT_EQ(call->status(), 200);
  EXPECT_NE(call->body().find("second"), std::string::npos);
  EXPECT_EQ(call->body().find("stale"), std::string::npos);
  EXPECT_EQ(call->header("X-Cresset-Route"), "local/other:latest; own engine, by alias pair");
}

TEST(Gateway, CountsWhatHappened) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChat);
  bench.settle();
  bench.env.advance(std::chrono::milliseconds(90));
  chat::Started begun{{5, 0, 0}};
  begun.queue_s = 0.4;
  bench.say(0, begun);
  bench.say(0, text("a"));
  bench.settle();
  bench.env.advance(std::chrono::milliseconds(60));
  bench.say(0, text("b"));
  bench.settle();
  // Its times are told while it goes on.
  const std::string early = bench.get("/metrics")->body();
  EXPECT_NE(early.find("vllm:inter_token_latency_seconds_count{model_name=\"small:latest\"} 1\n"),
            std::string::npos);
  bench.say(0, finished(3, chat::FinishReason::kLength));
  bench.settle();
  const std::string text = bench.get("/metrics")->body();
  for (const char* line :
       {"vllm:num_requests_running{model_name=\"small:latest\"} ",
        "vllm:kv_cache_usage_perc{model_name=\"small:latest\"} 0.25\n",
        "vllm:prefix_cache_queries_total{model_name=\"small:latest\"} ",
        "vllm:prefix_cache_hits_total{model_name=\"small:latest\"} ",
        "vllm:num_preemptions_total{model_name=\"small:latest\"} ",
        "vllm:spec_decode_num_draft_tokens_total{model_name=\"small:latest\"} ",
        "vllm:spec_decode_num_accepted_tokens_total{model_name=\"small:latest\"} ",
        "vllm:prompt_tokens_total{model_name=\"small:latest\"} 5\n",
        "vllm:generation_tokens_total{model_name=\"small:latest\"} 3\n",
        "vllm:request_success_total{model_name=\"small:latest\",finished_reason=\"length\"} 1\n",
        "vllm:time_to_first_token_seconds_bucket{model_name=\"small:latest\",le=\"0.08\"} 0\n",
        "vllm:time_to_first_token_seconds_bucket{model_name=\"small:latest\",le=\"0.1\"} 1\n",
        "vllm:inter_token_latency_seconds_bucket{model_name=\"small:latest\",le=\"0.05\"} 0\n",
        "vllm:inter_token_latency_seconds_bucket{model_name=\"small:latest\",le=\"0.075\"} 1\n",
        "vllm:request_queue_time_seconds_bucket{model_name=\"small:latest\",le=\"0.3\"} 0\n",
        "vllm:request_queue_time_seconds_sum{model_name=\"small:latest\"} 0.4\n",
        "cresset_http_requests_total{path=\"/v1/chat/completions\",status=\"200\"} 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST(Gateway, ASlowReaderIsMarkedAndItsEventsAreKept) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  call->stall();
  bench.say(0, started(1));
  for (int i = 0; i < 20; ++i) bench.say(0, text(std::string(100'000, 'x')));
  bench.settle();
  EXPECT_GT(call->queued_bytes(), 2'000'000u);
  call->close();  // net drops a reader that stalls
  EXPECT_TRUE(bench.job(0)->cancel.is_cancelled());
  EXPECT_NE(bench.get("/metrics")->body().find("cresset_slow_clients_total 1\n"), std::string::npos);
}

TEST(Gateway, ASlowReaderHoldsItsAnswerBackUntilItHasCaughtUp) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  call->stall();
  bench.say(0, started(1));
  bench.say(0, text(std::string(200'000, 'x')));
  bench.settle();
  EXPECT_FALSE(bench.job(0)->hold.is_held());
  bench.say(0, text(std::string(100'000, 'x')));
  bench.settle();
  EXPECT_TRUE(bench.job(0)->hold.is_held());
  bench.schedule.advance(std::chrono::seconds(59));
  call->drain();
  EXPECT_FALSE(bench.job(0)->hold.is_held());
  bench.schedule.advance(std::chrono::hours(1) - std::chrono::minutes(2));
  EXPECT_FALSE(call->is_over()) << "who caught up has time again";
  bench.say(0, finished(1));
  bench.settle();
  EXPECT_TRUE(call->is_ended());
}

TEST(Gateway, AReaderThatDoesNotCatchUpIsDropped) {
  GatewayBench bench;
  auto call = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  call->stall();
  bench.say(0, started(1));
  bench.say(0, text(std::string(300'000, 'x')));
  bench.settle();
  bench.schedule.advance(std::chrono::milliseconds(59'999));
  EXPECT_FALSE(call->is_over());
  bench.schedule.advance(std::chrono::milliseconds(1));
  EXPECT_TRUE(call->is_aborted());
  EXPECT_TRUE(bench.job(0)->cancel.is_cancelled());
  EXPECT_EQ(bench.gateway->exchanges(), 0u);
}

TEST(Gateway, AnAnswerHasATimeLimit) {
  GatewayBench bench;
  auto whole = bench.post("/v1/chat/completions", kChat);
  auto streamed = bench.post("/v1/chat/completions", kChatStream);
  bench.settle();
  bench.say(1, started(1));
  bench.settle();
  bench.schedule.advance(std::chrono::hours(1));
  EXPECT_EQ(whole->status(), 504);
  EXPECT_TRUE(streamed->is_ended());
  EXPECT_NE(streamed->body().find("\"code\":\"timeout\""), std::string::npos);
  EXPECT_TRUE(bench.job(0)->cancel.is_cancelled() && bench.job(1)->cancel.is_cancelled());
}

TEST(Gateway, EnginesOnThreadsOfTheirOwnDoNotMixAnswers) {
  GatewayBench bench;
  std::vector<std::thread> threads;
  bench.state->on_submit = [&threads](std::shared_ptr<engine::Job> job) {
    threads.emplace_back([job = std::move(job)]() mutable {
      const std::string own = job->request.messages[0].text();
      job->sink->on_event(started(1));
      for (int i = 0; i < 200; ++i) job->sink->on_event(text("<" + own + ">"));
      job->sink->on_event(finished(200));
      job.reset();
    });
  };
  std::vector<std::shared_ptr<testing::FakeCall>> calls;
  for (int i = 0; i < 16; ++i) {
    calls.push_back(bench.post(
        "/v1/chat/completions",
        R"({"model":"small","messages":[{"role":"user","content":")" + std::to_string(i) + "\"}]}"));
  }
  while (bench.gateway->exchanges() > 0) {
    bench.settle();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 16; ++i) {
    std::string expected;
    for (int word = 0; word < 200; ++word) expected += "<" + std::to_string(i) + ">";
    const Json body = body_of(*calls[static_cast<size_t>(i)]);
    EXPECT_EQ(body.find("choices")->as_array()[0].find("message")->find("content")->as_string(), expected);
  }
}

TEST(Gateway, RefusesAliasesThatCannotWork) {
  GatewayBench bench;
  for (Alias alias : {Alias{"a/b", {"x"}}, Alias{"", {"x"}}, Alias{"a", {}}}) {
    EXPECT_FALSE(bench.open_with({.hosts = {}, .aliases = {alias}, .dispatch = {}}));
  }
}

}  // namespace
}  // namespace cresset::gateway
