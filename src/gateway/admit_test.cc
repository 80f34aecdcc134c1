// The guard of the owner's machine: Host, Origin, content type, keys.
#include "gateway/admit.h"

#include <gtest/gtest.h>

#include "testing/gateway_bench.h"

namespace cresset::gateway {
namespace {

using testing::GatewayBench;

constexpr const char* kChat = R"({"model":"small","messages":[{"role":"user","content":"hi"}]})";

std::vector<policy::KeyEntry> two_keys() {
  std::vector<policy::KeyEntry> keys;
  keys.push_back({"all", Secret("key-for-everything"), {"*"}});
  keys.push_back({"one", Secret("key-for-one-model"), {"other"}, chat::Priority::kBatch});
  return keys;
}

TEST(Admission, AnswersUnderItsOwnNamesOnly) {
  GatewayBench bench;
  for (const char* host : {"localhost", "localhost:1", "LOCALHOST:7171", "localhost.", "127.0.0.1",
                           "127.0.0.1:7171", "[::1]", "[::1]:7171", "box.example:80", "[fd00::7]:7171"}) {
    EXPECT_EQ(bench.get("/healthz", {{"Host", host}})->status(), 200) << host;
  }
  for (const char* host :
       {"evil.example", "evil.example:7171", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2",
        "[::2]", "0.0.0.0", "", ":7171", "localhost:x", "localhost@evil.example", "evil.example/localhost",
        "[::1", "local host"}) {
    EXPECT_EQ(bench.get("/healthz", {{"Host", host}})->status(), 403) << host;
  }
}

TEST(Admission, RefusesARequestWhoseHostIsNotOne) {
  GatewayBench bench;
  EXPECT_EQ(bench.get("/healthz", {{"Host", "localhost"}, {"host", "evil.example"}})->status(), 400);
  EXPECT_EQ(bench.get("http://evil.example/healthz", {{"Host", "localhost"}})->status(), 400);
  auto none = testing::make_http("GET", "/healthz");
  none.headers.clear();
  auto call = std::make_shared<testing::FakeCall>(none);
  bench.gateway->handle(call);
  EXPECT_EQ(call->status(), 400);
}

TEST(Admission, RefusesPagesOfOtherOrigins) {
  GatewayBench bench;
  for (const char* origin :
       {"http://localhost:7171", "http://127.0.0.1:7171", "http://[::1]:7171", "HTTP://LOCALHOST:7171"}) {
    EXPECT_EQ(bench.get("/v1/models", {{"Origin", origin}})->status(), 200) << origin;
  }
  for (const char* origin :
       {"null", "http://evil.example", "http://localhost", "http://localhost:3000", "https://localhost:7171",
        "http://evil.example:7171", "file://", "", "localhost:7171", "http://localhost:7171.evil.example",
        "http://localhost:7171/", "http://a@localhost:7171"}) {
    auto call = bench.get("/v1/models", {{"Origin", origin}});
    EXPECT_EQ(call->status(), 403) << origin;
    for (const auto& [name, value] : call->headers())
      EXPECT_FALSE(name.starts_with("Access-Control")) << name;
  }
  EXPECT_EQ(bench.get("/v1/models", {{"Origin", "null"}, {"Origin", "http://localhost:7171"}})->status(),
            400);
  EXPECT_EQ(bench.send("OPTIONS", "/v1/chat/completions", "", {{"Origin", "http://evil.example"}})->status(),
            403);
}

// What a key's holder has said is cached for that key alone.
TEST(Admission, ARequestBelongsToItsKey) {
  GatewayBench bench(true, two_keys());
  auto call =
      bench.send("POST", "/v1/chat/completions", kChat,
                 {{"Content-Type", "application/json"}, {"Authorization", "Bearer key-for-everything"}});
  bench.settle();
  ASSERT_EQ(bench.jobs().size(), 1u);
  EXPECT_EQ(bench.jobs()[0]->request.tenant, "all");
}

TEST(Admission, BelievesABrowserThatSaysWhereARequestComesFrom) {
  GatewayBench bench;
  EXPECT_EQ(
      bench.get("/v1/models", {{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "no-cors"}})->status(),
      403);
  EXPECT_EQ(bench.get("/v1/models", {{"Sec-Fetch-Site", "same-site"}})->status(), 403);
  EXPECT_EQ(
      bench.get("/v1/models", {{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "navigate"}})->status(),
      200);
  EXPECT_EQ(bench.get("/v1/models", {{"Sec-Fetch-Site", "same-origin"}})->status(), 200);
  EXPECT_EQ(bench.get("/v1/models", {{"Sec-Fetch-Site", "none"}})->status(), 200);
}

TEST(Admission, TakesBodiesAsJsonOnly) {
  GatewayBench bench;
  for (const char* type : {"application/json", "Application/JSON; charset=utf-8", "application/json ; x=y"}) {
    EXPECT_FALSE(bench.post("/v1/chat/completions", kChat, {{"Content-Type", type}})->is_over()) << type;
  }
  for (const char* type : {"text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data",
                           "application/jsonp", "text/plain; application/json"}) {
    EXPECT_EQ(bench.post("/v1/chat/completions", kChat, {{"Content-Type", type}})->status(), 415) << type;
  }
  EXPECT_EQ(bench
                .post("/v1/chat/completions", kChat,
                      {{"Content-Type", "application/json"}, {"Content-Type", "text/plain"}})
                ->status(),
            415);
}

TEST(Admission, WithKeysEveryRouteButHealthNeedsOne) {
  GatewayBench bench(true, two_keys());
  for (const char* path : {"/v1/models", "/v1/models/small", "/metrics", "/nothing"}) {
    auto call = bench.get(path);
    EXPECT_EQ(call->status(), 401) << path;
    EXPECT_NE(call->body().find("\"code\":\"invalid_api_key\""), std::string::npos);
  }
  EXPECT_EQ(bench.post("/v1/chat/completions", kChat)->status(), 401);
  EXPECT_EQ(bench.get("/healthz")->status(), 200);
  EXPECT_EQ(bench.get("/readyz")->status(), 200);
  for (const net::Headers& headers : {net::Headers{{"Authorization", "Bearer key-for-everything"}},
                                      net::Headers{{"x-api-key", "key-for-everything"}},
                                      net::Headers{{"x-goog-api-key", "key-for-everything"}}}) {
    EXPECT_EQ(bench.get("/metrics", headers)->status(), 200);
  }
  auto wrong = bench.get("/metrics", {{"Authorization", "Bearer key-for-everythinG"}});
  EXPECT_EQ(wrong->status(), 401);
  EXPECT_EQ(wrong->body().find("everythinG"), std::string::npos) << "a key is never repeated";
  EXPECT_EQ(bench
                .get("/metrics",
                     {{"Authorization", "Bearer key-for-everything"}, {"x-api-key", "key-for-one-model"}})
                ->status(),
            401);
}

TEST(Admission, AKeySeesAndUsesItsModelsOnly) {
  GatewayBench bench(true, two_keys());
  const net::Headers one{{"Authorization", "Bearer key-for-one-model"}};
  auto list = bench.get("/v1/models", one);
  EXPECT_NE(list->body().find("local/other:latest"), std::string::npos);
  EXPECT_EQ(list->body().find("small"), std::string::npos);
  EXPECT_EQ(bench.get("/v1/models/small", one)->status(), 404);
  EXPECT_EQ(bench.get("/v1/models/other", one)->status(), 200);
  auto refused = bench.post("/v1/chat/completions", kChat, one);
  EXPECT_EQ(refused->status(), 404);
  auto absent = bench.post("/v1/chat/completions",
                           R"({"model":"nosuch","messages":[{"role":"user","content":"hi"}]})", one);
  std::string same = absent->body();
  same.replace(same.find("nosuch"), 6, "small");
  EXPECT_EQ(refused->body(), same) << "a model that is not this key's looks like one that is not there";
  EXPECT_FALSE(bench
                   .post("/v1/chat/completions",
                         R"({"model":"pair","messages":[{"role":"user","content":"hi"}]})", one)
                   ->is_over())
      << "of an alias the candidates that are this key's";
}

TEST(Admission, AKeysTenantAndPriorityGoWithItsRequests) {
  GatewayBench bench(true, two_keys());
  const std::string other = R"({"model":"other","messages":[{"role":"user","content":"hi"}]})";
  bench.post("/v1/chat/completions", other, {{"Authorization", "Bearer key-for-everything"}});
  bench.post("/v1/chat/completions", other, {{"Authorization", "Bearer key-for-one-model"}});
  bench.settle();
  ASSERT_EQ(bench.jobs().size(), 2u);
  EXPECT_EQ(bench.job(0)->request.tenant, "all");
  EXPECT_EQ(bench.job(0)->request.priority, chat::Priority::kNormal);
  EXPECT_EQ(bench.job(1)->request.tenant, "one");
  EXPECT_EQ(bench.job(1)->request.priority, chat::Priority::kBatch);
}

TEST(Admission, ALabelledRequestStaysHereOrIsRefused) {
  GatewayBench bench;
  const net::Headers label{{"X-Cresset-Label", "level=confidential"}};
  EXPECT_FALSE(bench.post("/v1/chat/completions", kChat, label)->is_over());
  auto refused = bench.post("/v1/chat/completions",
                            R"({"model":"openai/gpt","messages":[{"role":"user","content":"hi"}]})", label);
  EXPECT_EQ(refused->status(), 403);
}

TEST(Admission, EveryRefusalNamesItsRequest) {
  GatewayBench bench;
  auto a = bench.get("/healthz", {{"Host", "evil.example"}}), b = bench.get("/nothing");
  EXPECT_TRUE(a->header("X-Request-Id").starts_with("req_"));
  EXPECT_NE(a->header("X-Request-Id"), b->header("X-Request-Id"));
  EXPECT_EQ(b->header("X-Content-Type-Options"), "nosniff");
}

}  // namespace
}  // namespace cresset::gateway
