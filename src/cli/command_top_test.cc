// top: what it makes of a server's metrics.
#include "cli/command_top.h"

#include <gtest/gtest.h>

#include "testing/fake_cli.h"

namespace cresset::cli {
namespace {

using testing::Bottle;

constexpr std::string_view kBefore = R"(# HELP vllm:num_requests_running Requests being computed.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="smol"} 1
vllm:prefix_cache_queries_total{model_name="smol"} 1000
vllm:prefix_cache_hits_total{model_name="smol"} 100
cresset_computed_prompt_tokens_total{model_name="smol"} 900
cresset_computed_generation_tokens_total{model_name="smol"} 50
vllm:time_to_first_token_seconds_bucket{model_name="smol",le="0.1"} 10
vllm:time_to_first_token_seconds_bucket{model_name="smol",le="0.25"} 10
vllm:time_to_first_token_seconds_bucket{model_name="smol",le="+Inf"} 10
cresset_exchanges 2
)";
constexpr std::string_view kNow = R"(
vllm:num_requests_running{model_name="smol"} 12
vllm:num_requests_waiting{model_name="smol"} 3
cresset_num_requests_held{model_name="smol"} 1
vllm:kv_cache_usage_perc{model_name="smol"} 0.41
cresset_kv_cache_max_bytes{model_name="smol"} 1000
cresset_kv_cache_prefix_bytes{model_name="smol"} 250
vllm:prefix_cache_queries_total{model_name="smol"} 2000
vllm:prefix_cache_hits_total{model_name="smol"} 850
vllm:num_preemptions_total{model_name="smol"} 4
cresset_computed_prompt_tokens_total{model_name="smol"} 2900
cresset_computed_generation_tokens_total{model_name="smol"} 450
vllm:request_success_total{model_name="smol",finished_reason="length"} 7
vllm:request_success_total{model_name="smol",finished_reason="stop"} 30
vllm:time_to_first_token_seconds_bucket{model_name="smol",le="0.1"} 10
vllm:time_to_first_token_seconds_bucket{model_name="smol",le="0.25"} 30
vllm:time_to_first_token_seconds_bucket{model_name="smol",le="+Inf"} 30
vllm:request_success_total{model_name="a\"b\\c\nd",finished_reason="stop"} 1
cresset_slow_clients_total 2
cresset_exchanges 17
)";

MetricsText parsed(std::string_view text) {
  auto metrics = MetricsText::parse(text);
  EXPECT_TRUE(metrics) << (metrics ? "" : metrics.error().message());
  return metrics ? *metrics : MetricsText();
}

TEST(MetricsText, ReadsPrometheusText) {
  const MetricsText now = parsed(kNow);
  EXPECT_EQ(now.models(), (std::set<std::string>{"a\"b\\c\nd", "smol"}));
  EXPECT_EQ(now.value("vllm:num_requests_running", "smol"), 12);
  EXPECT_EQ(now.value("vllm:request_success_total", "smol"), 37) << "of all reasons";
  EXPECT_EQ(now.sum("vllm:request_success_total"), 38);
  EXPECT_EQ(now.value("cresset_exchanges", ""), 17);
  EXPECT_FALSE(now.value("vllm:num_requests_running", "other"));
}

TEST(MetricsText, RefusesWhatIsNot) {
  for (const char* text : {"<html>", "a", "a{b=\"c\" 1", "a{b=\"c\"}1", "a b", "a NaN", "a{b} 1", " 1"}) {
    EXPECT_FALSE(MetricsText::parse(text)) << text;
  }
}

TEST(MetricsText, QuantilesAreOfWhatWasObservedBetween) {
  const MetricsText now = parsed(kNow), before = parsed(kBefore), nothing;
  const char* name = "vllm:time_to_first_token_seconds";
  EXPECT_NEAR(*now.quantile(name, "smol", 0.5, before), 0.175, 1e-9);  // the middle of its bucket
  EXPECT_NEAR(*now.quantile(name, "smol", 1.0 / 3, nothing), 0.1, 1e-9);
  EXPECT_FALSE(now.quantile(name, "smol", 0.5, now));
  EXPECT_FALSE(now.quantile(name, "other", 0.5, nothing));
}

TEST(Top, ShowsWhatChangedBetweenTwoReadings) {
  const MetricsText now = parsed(kNow), before = parsed(kBefore);
  const std::string frame = top_frame({now, before, 4});
  EXPECT_NE(frame.find("16 requests on their way, 38 answered; 4 put back for memory, 2 slow readers"),
            std::string::npos)
      << frame;
  EXPECT_NE(frame.find("times of the last 4 s"), std::string::npos);
  EXPECT_NE(frame.find("smol                       12     3     1     41 %    25 %  75 %       500   100    "
                       "175 ms  248 ms        -       -\n"),
            std::string::npos)
      << frame;
  EXPECT_NE(frame.find("a\"b\\c"), std::string::npos);
}

TEST(Top, OfAServerThatWasStartedAnewCountsFromItsStart) {
  const MetricsText now = parsed(kBefore), before = parsed(kNow);
  const Json model = top_json({now, before, 10}).find("models")->as_array()[0];
  EXPECT_EQ(model.find("prompt_tok_s")->as_number(), 90);
}

TEST(Top, OnceIsOneFrameWithoutRates) {
  Bottle bottle;
  bottle.network["http://127.0.0.1:7171/metrics"] = {std::string(kNow), "", 0};
  EXPECT_EQ(bottle.run({"top", "--once"}), 0);
  EXPECT_NE(bottle.terminal.out_text.find("times since its start"), std::string::npos);
  EXPECT_EQ(bottle.terminal.out_text.find('\x1b'), std::string::npos);
  EXPECT_EQ(bottle.run({"top", "--json"}), 0);
  const auto value = parse_json(bottle.terminal.out_text);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->find("exchanges")->as_number(), 16);
  const Json& model = value->find("models")->as_array()[1];
  EXPECT_EQ(model.find("model")->as_string(), "smol");
  EXPECT_EQ(model.find("prefix_hit_rate")->as_number(), 0.425);
  EXPECT_TRUE(model.find("prompt_tok_s")->is_null());
}

TEST(Top, LiveEndsWithCtrlC) {
  Bottle bottle;
  bottle.network["http://127.0.0.1:7171/metrics"] = {std::string(kNow), "", 0};
  bottle.terminal.out_terminal = true;
  bottle.parts.on_interrupt = [](std::function<void()> work) {
    work();
    return std::shared_ptr<void>();
  };
  EXPECT_EQ(bottle.run({"top"}), 0);
  EXPECT_TRUE(bottle.terminal.out_text.starts_with("\x1b[H"));
  EXPECT_TRUE(bottle.terminal.out_text.ends_with("\x1b[J"));
}

TEST(Top, SaysWhatIsThereInstead) {
  Bottle bottle;
  bottle.network["http://127.0.0.1:7171/metrics"] = {"<html>", "", 0};
  EXPECT_EQ(bottle.run({"top", "--once"}), 5);
  bottle.network["http://127.0.0.1:7171/metrics"] = {"other_metric 1\n", "", 0};
  EXPECT_EQ(bottle.run({"top", "--once"}), 5);
  bottle.parts.fetch = [](const net::FetchOptions&, const auto&, const auto&,
                          const auto&) -> Result<net::FetchResult> {
    return fail(Code::kUnavailable, "connection refused");
  };
  EXPECT_EQ(bottle.run({"top"}), 6);
}

}  // namespace
}  // namespace cresset::cli
