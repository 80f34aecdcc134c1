#include "cli/lighthouse.h"

#include <gtest/gtest.h>

#include "testing/fake_call.h"
#include "testing/hand_clock.h"

namespace cresset::cli {
namespace {

using testing::FakeCall;

struct Light {
  explicit Light(const std::string& script = {}, chat::Dialect dialect = chat::Dialect::kOpenAiChat) {
    Lighthouse::Options options;
    options.dialect = dialect;
    auto parsed = parse_lighthouse_script(script);
    EXPECT_TRUE(parsed) << parsed.error().message();
    options.script = std::move(*parsed);
    options.record = [this](int64_t number, const std::string& body) {
      recorded.push_back(std::to_string(number) + body);
    };
    lighthouse = std::make_unique<Lighthouse>(env, schedule, std::move(options));
  }
  std::shared_ptr<FakeCall> post(const std::string& path, const std::string& body,
                                 net::Headers headers = {}) {
    auto call = std::make_shared<FakeCall>(testing::make_http("POST", path, body, std::move(headers)));
    lighthouse->handle(call);
    return call;
  }
  std::shared_ptr<FakeCall> chat(bool is_stream = false) {
    return post("/v1/chat/completions", R"({"model":"any","stream":)" +
                                            std::string(is_stream ? "true" : "false") +
                                            R"(,"messages":[{"role":"user","content":"hi"}]})");
  }

  testing::HandEnv env;
  testing::HandSchedule schedule{env};
  std::vector<std::string> recorded;
  std::unique_ptr<Lighthouse> lighthouse;
};

std::string content_of(const FakeCall& call) {
  const auto body = parse_json(call.body());
  return body ? body->find("choices")->as_array()[0].find("message")->find("content")->as_string() : "";
}

TEST(Lighthouse, SaysAFixedTextOfMoreThanTwentyWordsToAnyModelName) {
  Light light;
  auto call = light.chat();
  EXPECT_EQ(call->status(), 200);
  const std::string text = content_of(*call);
  EXPECT_GE(std::count(text.begin(), text.end(), ' '), 20);
  auto stream = light.chat(true);
  EXPECT_TRUE(stream->is_ended());
  EXPECT_TRUE(stream->body().ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(light.recorded.size(), 2u);
  EXPECT_TRUE(light.recorded[1].starts_with(R"(2{"model")"));
}

TEST(Lighthouse, DoesWhatItsScriptSaysRequestByRequest) {
  Light light(R"({"request":1,"do":"status","status":429,"retry_after":3,"headers":{"x-extra":"1"}}
{"request":2,"do":"garbage"}

{"do":"answer","text":"hello there","usage":{"prompt":1,"completion":999}}
)");
  auto busy = light.chat();
  EXPECT_EQ(busy->status(), 429);
  EXPECT_EQ(busy->header("retry-after"), "3");
  EXPECT_EQ(busy->header("x-extra"), "1");
  EXPECT_EQ(busy->header("x-ratelimit-remaining-requests"), "0");
  EXPECT_FALSE(parse_json(light.chat()->body()));
  EXPECT_EQ(content_of(*light.chat()), "hello there");
  EXPECT_NE(light.chat()->body().find("\"completion_tokens\":999"), std::string::npos);
}

TEST(Lighthouse, CutsWhereItIsToldAndStallsAsLong) {
  Light cut(R"({"do":"cut","after":300})");
  auto call = cut.chat(true);
  EXPECT_EQ(call->body().size(), 300u);
  cut.schedule.advance(std::chrono::milliseconds(20));
  EXPECT_TRUE(call->is_aborted());
  Light stall(R"({"do":"stall","after":2,"seconds":5})");
  auto slow = stall.chat(true);
  EXPECT_FALSE(slow->is_over());
  stall.schedule.advance(std::chrono::milliseconds(5000));
  EXPECT_TRUE(slow->is_ended());
}

TEST(Lighthouse, RefusesWhatTheRealOneWould) {
  Light light({}, chat::Dialect::kAnthropic);
  const net::Headers version{{"anthropic-version", "2023-06-01"}};
  const std::string ask = R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"})";
  EXPECT_EQ(light.post("/v1/messages", ask + "]}", version)->status(), 200);
  EXPECT_EQ(light.post("/v1/messages", ask + "]}")->status(), 400) << "no version";
  EXPECT_EQ(
      light.post("/v1/messages", R"({"model":"m","messages":[{"role":"user","content":"hi"}]})", version)
          ->status(),
      400);
  EXPECT_EQ(
      light
          .post(
              "/v1/messages",
              ask +
                  R"(,{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"other"}]}]})",
              version)
          ->status(),
      400);
  EXPECT_EQ(
      light
          .post("/v1/messages",
                ask + R"(,{"role":"user","content":[{"type":"tool_result","tool_use_id":"x"}]}]})", version)
          ->status(),
      400);
  EXPECT_EQ(light.post("/v1/chat/completions", "{}")->status(), 404);
}

TEST(Lighthouse, AScriptWithAFaultNamesItsLine) {
  EXPECT_EQ(parse_lighthouse_script("{\"do\":\"answer\"}\n{\"do\":\"dance\"}").error().where, "script:2");
  EXPECT_FALSE(parse_lighthouse_script("{\"do\":\"answer\",\"request\":0}"));
  EXPECT_FALSE(parse_lighthouse_script("[]"));
}

}  // namespace
}  // namespace cresset::cli
