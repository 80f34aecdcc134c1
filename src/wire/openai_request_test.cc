// Every parameter of OpenAI's two endpoints: what is honoured, what passes because it asks for nothing, and
// by which name and word the rest is refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "testing/paths.h"
#include "wire/openai_chat.h"

namespace cresset::wire {
namespace {

std::string chat_body(const std::string& members) {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" +
         (members.empty() ? "" : "," + members) + "}";
}
std::string completion_body(const std::string& members) {
  return R"({"model":"m","prompt":"hi")" + (members.empty() ? "" : "," + members) + "}";
}
std::string message_body(const std::string& message) {
  return R"({"model":"m","messages":[)" + message + "]}";
}

// As the own engine is asked: decoded, and nothing left that it cannot honour.
Decoded<chat::Request> decode_for_own(const Codec& codec, const std::string& body) {
  Decoded<chat::Request> request = codec.decode_request(body);
  if (!request) return request;
  if (Checked ok = codec.check_own(*request); !ok) return tl::unexpected<Fault>(ok.error());
  return request;
}
Decoded<chat::Request> decode_chat(const std::string& body) {
  return decode_for_own(openai_chat_codec(), body);
}
Decoded<chat::Request> decode_completion(const std::string& body) {
  return decode_for_own(openai_completions_codec(), body);
}

chat::Request chat_request(const std::string& members) {
  auto request = decode_chat(chat_body(members));
  EXPECT_TRUE(request) << members << ": " << request.error().message;
  return request ? *request : chat::Request{};
}
chat::Request completion_request(const std::string& members) {
  auto request = decode_completion(completion_body(members));
  EXPECT_TRUE(request) << members << ": " << request.error().message;
  return request ? *request : chat::Request{};
}

struct Refusal {
  std::string members, param, reason;
};

void expect_refused(const Decoded<chat::Request>& request, const Refusal& refusal) {
  ASSERT_FALSE(request) << refusal.members;
  EXPECT_EQ(request.error().param, refusal.param) << refusal.members;
  EXPECT_EQ(request.error().reason, refusal.reason) << refusal.members;
  EXPECT_NE(request.error().message.find(refusal.param), std::string::npos) << request.error().message;
  EXPECT_EQ(http_status(request.error()), 400);
}

TEST(OpenAiRequest, KnowsEveryParameterOfTheSchema) {
  // The members of CompletionCreateParams in OpenAI's Python client 3.57.0.
  for (const char* name : {"audio",
                           "frequency_penalty",
                           "function_call",
                           "functions",
                           "logit_bias",
                           "logprobs",
                           "max_completion_tokens",
                           "max_tokens",
                           "metadata",
                           "modalities",
                           "moderation",
                           "n",
                           "parallel_tool_calls",
                           "prediction",
                           "presence_penalty",
                           "prompt_cache_key",
                           "prompt_cache_options",
                           "prompt_cache_retention",
                           "reasoning_effort",
                           "response_format",
                           "safety_identifier",
                           "seed",
                           "service_tier",
                           "stop",
                           "store",
                           "stream",
                           "stream_options",
                           "temperature",
                           "tool_choice",
                           "tools",
                           "top_logprobs",
                           "top_p",
                           "user",
                           "verbosity",
                           "web_search_options",
                           "top_k",
                           "min_p",
                           "repetition_penalty",
                           "ignore_eos",
                           "min_tokens",
                           "chat_template_kwargs"}) {
    EXPECT_TRUE(decode_chat(chat_body("\"" + std::string(name) + "\":null"))) << name;
    auto odd = decode_chat(chat_body("\"" + std::string(name) + "\":[[]]"));
    ASSERT_FALSE(odd) << name << " takes a list in a list";
    EXPECT_TRUE(odd.error().param.starts_with(name)) << name;
    EXPECT_NE(odd.error().reason, "unknown_parameter") << name;
  }
  for (const char* name : {"best_of",
                           "echo",
                           "frequency_penalty",
                           "logit_bias",
                           "logprobs",
                           "max_tokens",
                           "n",
                           "presence_penalty",
                           "seed",
                           "stop",
                           "stream",
                           "stream_options",
                           "suffix",
                           "temperature",
                           "top_p",
                           "user",
                           "top_k",
                           "min_p",
                           "repetition_penalty",
                           "ignore_eos",
                           "min_tokens"}) {
    EXPECT_TRUE(decode_completion(completion_body("\"" + std::string(name) + "\":null"))) << name;
    auto odd = decode_completion(completion_body("\"" + std::string(name) + "\":[[]]"));
    ASSERT_FALSE(odd) << name << " takes a list in a list";
    EXPECT_NE(odd.error().reason, "unknown_parameter") << name;
  }
}

TEST(OpenAiRequest, HonoursSampling) {
  const chat::Request r = chat_request(
      R"("temperature":0,"top_p":0.5,"top_k":40,"min_p":0.05,"repetition_penalty":1.1,"presence_penalty":-2,)"
      R"("frequency_penalty":2,"logit_bias":{"50256":-100,"7":1.5},"seed":-9223372036854775808)");
  EXPECT_EQ(r.sampling.temperature, 0);
  EXPECT_EQ(r.sampling.top_p, 0.5);
  EXPECT_EQ(r.sampling.top_k, 40);
  EXPECT_EQ(r.sampling.min_p, 0.05);
  EXPECT_EQ(r.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(r.sampling.presence_penalty, -2);
  EXPECT_EQ(r.sampling.frequency_penalty, 2);
  EXPECT_EQ(r.sampling.logit_bias, (std::vector<std::pair<int32_t, double>>{{50256, -100}, {7, 1.5}}));
  EXPECT_EQ(r.sampling.seed, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(chat_request(R"("top_k":-1)").sampling.top_k, 0);
  EXPECT_FALSE(chat_request("").sampling.temperature) << "not given: the model's own";
}

TEST(OpenAiRequest, HonoursLengthsStopsAndCounts) {
  EXPECT_FALSE(chat_request("").tokens_max);
  EXPECT_EQ(chat_request(R"("max_tokens":5)").tokens_max, 5);
  EXPECT_EQ(chat_request(R"("max_completion_tokens":6)").tokens_max, 6);
  EXPECT_EQ(chat_request(R"("max_completion_tokens":6,"max_tokens":6)").tokens_max, 6);
  EXPECT_EQ(completion_request("").tokens_max, 16) << "OpenAI's default for this endpoint";
  EXPECT_EQ(chat_request(R"("stop":"x")").stop, std::vector<std::string>{"x"});
  EXPECT_EQ(chat_request(R"("stop":["a","b","c","d"])").stop.size(), 4u);
  EXPECT_TRUE(chat_request(R"("stop":[])").stop.empty());
  const chat::Request r = chat_request(R"("n":3,"min_tokens":2,"ignore_eos":true,"user":"u","max_tokens":9)");
  EXPECT_EQ(r.choices, 3);
  EXPECT_EQ(r.tokens_min, 2);
  EXPECT_TRUE(r.ignore_eos);
  EXPECT_EQ(r.user, "u");
  EXPECT_EQ(chat_request(R"("safety_identifier":"s")").user, "s");
}

TEST(OpenAiRequest, HonoursStreamsLogprobsAndTemplateArguments) {
  const chat::Request r = chat_request(
      R"("stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},"logprobs":true,)"
      R"("top_logprobs":20,"chat_template_kwargs":{"enable_thinking":false})");
  EXPECT_TRUE(r.stream && r.include_usage && r.logprobs);
  EXPECT_EQ(r.top_logprobs, 20);
  EXPECT_EQ(r.template_kwargs.write(), R"({"enable_thinking":false})");
  const chat::Request c = completion_request(R"("logprobs":0,"echo":true,"n":2,"best_of":2)");
  EXPECT_TRUE(c.logprobs && c.echo);
  EXPECT_EQ(c.top_logprobs, 0);
  EXPECT_EQ(c.choices, 2);
}

TEST(OpenAiRequest, PassesWhatAsksForNothing) {
  for (const char* members : {R"("tools":[])",
                              R"("functions":[])",
                              R"("tool_choice":"none")",
                              R"("tool_choice":"auto")",
                              R"("function_call":"none")",
                              R"("parallel_tool_calls":true)",
                              R"("response_format":{"type":"text"})",
                              R"("store":false)",
                              R"("service_tier":"auto")",
                              R"("service_tier":"default")",
                              R"("modalities":["text"])",
                              R"("reasoning_effort":"none")",
                              R"("reasoning_effort":"medium")",
                              R"("verbosity":"medium")",
                              R"("n":1)",
                              R"("metadata":{"team":"a"})",
                              R"("prompt_cache_key":"k")",
                              R"("prompt_cache_options":{})",
                              R"("prompt_cache_retention":"in_memory")",
                              R"("logprobs":false,"top_logprobs":0)",
                              R"("stream":false)"}) {
    EXPECT_TRUE(decode_chat(chat_body(members))) << members;
  }
  for (const char* members : {R"("suffix":"")", R"("best_of":1)", R"("echo":false)"}) {
    EXPECT_TRUE(decode_completion(completion_body(members))) << members;
  }
}

TEST(OpenAiRequest, RefusesByNameWhatTheEngineCannotDo) {
  const Refusal refusals[] = {
      {R"("tools":[{"type":"function","function":{"name":"f"}}])", "tools", "unsupported_parameter"},
      {R"("functions":[{"name":"f"}])", "functions", "unsupported_parameter"},
      {R"("tool_choice":"required")", "tool_choice", "unsupported_value"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice", "unsupported_value"},
      {R"("function_call":{"name":"f"})", "function_call", "unsupported_value"},
      {R"("parallel_tool_calls":false)", "parallel_tool_calls", "unsupported_value"},
      {R"("response_format":{"type":"json_object"})", "response_format", "unsupported_value"},
      {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format",
       "unsupported_value"},
      {R"("response_format":{"type":"text","x":1})", "response_format.x", "unknown_parameter"},
      {R"("store":true)", "store", "unsupported_value"},
      {R"("service_tier":"flex")", "service_tier", "unsupported_value"},
      {R"("modalities":["text","audio"])", "modalities[1]", "unsupported_value"},
      {R"("reasoning_effort":"high")", "reasoning_effort", "unsupported_value"},
      {R"("verbosity":"low")", "verbosity", "unsupported_value"},
      {R"("audio":{"voice":"alloy","format":"wav"})", "audio", "unsupported_parameter"},
      {R"("prediction":{"type":"content","content":"x"})", "prediction", "unsupported_parameter"},
      {R"("web_search_options":{})", "web_search_options", "unsupported_parameter"},
      {R"("moderation":{})", "moderation", "unsupported_parameter"},
      {R"("prompt_cache_retention":"24h")", "prompt_cache_retention", "unsupported_value"},
      {R"("prompt_cache_options":{"mode":"explicit"})", "prompt_cache_options", "unsupported_parameter"},
      {R"("stream":true,"stream_options":{"include_obfuscation":true})", "stream_options.include_obfuscation",
       "unsupported_value"},
      {R"("stream":true,"stream_options":{"continuous_usage_stats":true})",
       "stream_options.continuous_usage_stats", "unknown_parameter"},
      {R"("guided_json":{})", "guided_json", "unknown_parameter"},
      {R"("best_of":1)", "best_of", "unknown_parameter"},
      {R"("prompt":"x")", "prompt", "unknown_parameter"},
  };
  for (const Refusal& refusal : refusals) expect_refused(decode_chat(chat_body(refusal.members)), refusal);
  const Refusal completions[] = {
      {R"("suffix":"end")", "suffix", "unsupported_parameter"},
      {R"("best_of":2)", "best_of", "unsupported_value"},
      {R"("tools":[])", "tools", "unknown_parameter"},
      {R"("max_completion_tokens":1)", "max_completion_tokens", "unknown_parameter"},
      {R"("logprobs":6)", "logprobs", "integer_above_max_value"},
      {R"("logprobs":true)", "logprobs", "invalid_type"},
  };
  for (const Refusal& refusal : completions)
    expect_refused(decode_completion(completion_body(refusal.members)), refusal);
}

TEST(OpenAiRequest, ChecksRangesAndTypes) {
  const Refusal refusals[] = {
      {R"("temperature":2.1)", "temperature", "decimal_above_max_value"},
      {R"("temperature":-1)", "temperature", "integer_below_min_value"},
      {R"("temperature":"1")", "temperature", "invalid_type"},
      {R"("top_p":0)", "top_p", "integer_below_min_value"},
      {R"("top_p":1.01)", "top_p", "decimal_above_max_value"},
      {R"("min_p":1.5)", "min_p", "decimal_above_max_value"},
      {R"("top_k":-2)", "top_k", "integer_below_min_value"},
      {R"("top_k":1.5)", "top_k", "invalid_type"},
      {R"("repetition_penalty":0)", "repetition_penalty", "integer_below_min_value"},
      {R"("presence_penalty":2.5)", "presence_penalty", "decimal_above_max_value"},
      {R"("frequency_penalty":-2.5)", "frequency_penalty", "decimal_below_min_value"},
      {R"("n":0)", "n", "integer_below_min_value"},
      {R"("n":129)", "n", "integer_above_max_value"},
      {R"("n":true)", "n", "invalid_type"},
      {R"("max_tokens":0)", "max_tokens", "integer_below_min_value"},
      {R"("max_completion_tokens":0)", "max_completion_tokens", "integer_below_min_value"},
      {R"("max_tokens":1,"max_completion_tokens":2)", "max_tokens", "invalid_value"},
      {R"("max_tokens":1,"min_tokens":2)", "min_tokens", "invalid_value"},
      {R"("seed":9223372036854775808)", "seed", "integer_above_max_value"},
      {R"("seed":1.5)", "seed", "invalid_type"},
      {R"("logit_bias":{"a":1})", "logit_bias", "invalid_value"},
      {R"("logit_bias":{"-1":1})", "logit_bias", "invalid_value"},
      {R"("logit_bias":{"1":101})", "logit_bias.1", "integer_above_max_value"},
      {R"("logit_bias":{"1":1,"01":1})", "logit_bias", "invalid_value"},
      {R"("logit_bias":[])", "logit_bias", "invalid_type"},
      {R"("stop":"")", "stop", "empty_string"},
      {R"("stop":["a",""])", "stop[1]", "empty_string"},
      {R"("stop":["a","b","c","d","e"])", "stop", "array_above_max_length"},
      {R"("stop":[1])", "stop[0]", "invalid_type"},
      {R"("top_logprobs":1)", "top_logprobs", "invalid_value"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs", "integer_above_max_value"},
      {R"("logprobs":3)", "logprobs", "invalid_type"},
      {R"("stream_options":{"include_usage":true})", "stream_options", "invalid_value"},
      {R"("stream":1)", "stream", "invalid_type"},
      {R"("metadata":{"a":1})", "metadata.a", "invalid_type"},
      {R"("user":7)", "user", "invalid_type"},
      {R"("chat_template_kwargs":[])", "chat_template_kwargs", "invalid_type"},
  };
  for (const Refusal& refusal : refusals) expect_refused(decode_chat(chat_body(refusal.members)), refusal);
}

TEST(OpenAiRequest, SaysWhatWasExpectedAndWhatCame) {
  EXPECT_EQ(decode_chat(chat_body(R"("temperature":"hot")")).error().message,
            "Invalid type for 'temperature': expected a number, but got a string instead.");
  EXPECT_EQ(decode_chat(chat_body(R"("temperature":3)")).error().message,
            "Invalid 'temperature': integer above maximum value. Expected a value <= 2, but got 3 instead.");
  EXPECT_EQ(decode_chat(chat_body(R"("foo":1)")).error().message,
            "Unrecognized request argument supplied: foo");
  EXPECT_EQ(decode_chat(R"({"model":"m"})").error().message, "Missing required parameter: 'messages'.");
}

TEST(OpenAiRequest, ReadsMessages) {
  auto request = decode_chat(message_body(
      R"({"role":"system","content":"s","name":"n"},{"role":"developer","content":"d"},)"
      R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},)"
      R"({"role":"assistant","content":"c","refusal":null,"annotations":[],"audio":null,"function_call":null,"tool_calls":null})"));
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_EQ(request->messages.size(), 4u);
  EXPECT_EQ(request->messages[0].role, chat::Role::kSystem);
  EXPECT_EQ(request->messages[0].name, "n");
  EXPECT_EQ(request->messages[1].role, chat::Role::kDeveloper);
  EXPECT_EQ(request->messages[2].parts.size(), 2u);
  EXPECT_EQ(request->messages[2].text(), "ab");
  EXPECT_EQ(request->messages[3].role, chat::Role::kAssistant);
}

TEST(OpenAiRequest, RefusesMessagesByTheirPlace) {
  const Refusal refusals[] = {
      {R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]})",
       "messages[0].content[1]", "unsupported_value"},
      {R"({"role":"user","content":[{"type":"input_audio","input_audio":{}}]})", "messages[0].content[0]",
       "unsupported_value"},
      {R"({"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]})", "messages[0].content[0]",
       "unsupported_value"},
      {R"({"role":"assistant","content":[{"type":"refusal","refusal":"no"}]})", "messages[0].content[0]",
       "unsupported_value"},
      {R"({"role":"user","content":"a"},{"role":"tool","content":"x","tool_call_id":"1"})",
       "messages[1].role", "unsupported_value"},
      {R"({"role":"function","content":"x","name":"f"})", "messages[0].role", "unsupported_value"},
      {R"({"role":"robot","content":"x"})", "messages[0].role", "invalid_value"},
      {R"({"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":""}}]})",
       "messages[0].tool_calls", "unsupported_parameter"},
      {R"({"role":"assistant","content":null})", "messages[0].content", "invalid_type"},
      {R"({"role":"assistant","content":"x","reasoning_content":"y"})", "messages[0].reasoning_content",
       "unsupported_parameter"},
      {R"({"role":"assistant","content":"x","mood":"y"})", "messages[0].mood", "unknown_parameter"},
      {R"({"role":"user","content":"x","refusal":"y"})", "messages[0].refusal", "unknown_parameter"},
      {R"({"role":"user"})", "messages[0].content", "missing_required_parameter"},
      {R"({"content":"x"})", "messages[0].role", "missing_required_parameter"},
      {R"({"role":"user","content":[]})", "messages[0].content", "empty_array"},
      {R"({"role":"user","content":[{"type":"text"}]})", "messages[0].content[0].text",
       "missing_required_parameter"},
      {R"({"role":"user","content":[{"type":"text","text":"a","mood":"x"}]})", "messages[0].content[0].mood",
       "unknown_parameter"},
      {R"({"role":"user","content":7})", "messages[0].content", "invalid_type"},
      {"7", "messages[0]", "invalid_type"},
      {"", "messages", "empty_array"},
  };
  for (const Refusal& refusal : refusals) expect_refused(decode_chat(message_body(refusal.members)), refusal);
}

TEST(OpenAiRequest, ReadsEveryKindOfPrompt) {
  const auto prompts = [](const std::string& value) {
    auto request = decode_completion(R"({"model":"m","prompt":)" + value + "}");
    EXPECT_TRUE(request) << value << request.error().message;
    return request ? request->prompts : std::vector<chat::Prompt>{};
  };
  EXPECT_EQ(prompts(R"("a")"), (std::vector<chat::Prompt>{"a"}));
  EXPECT_EQ(prompts(R"(["a","b"])"), (std::vector<chat::Prompt>{"a", "b"}));
  EXPECT_EQ(prompts("[1,2]"), (std::vector<chat::Prompt>{chat::Tokens{1, 2}}));
  EXPECT_EQ(prompts("[[1,2],[3]]"), (std::vector<chat::Prompt>{chat::Tokens{1, 2}, chat::Tokens{3}}));
  const Refusal refusals[] = {{"[]", "prompt", "empty_array"},
                              {"[[]]", "prompt[0]", "empty_array"},
                              {"[1,\"a\"]", "prompt[1]", "invalid_type"},
                              {"[\"a\",1]", "prompt[1]", "invalid_type"},
                              {"[-1]", "prompt[0]", "integer_below_min_value"},
                              {"[1.5]", "prompt[0]", "invalid_type"},
                              {"[[1],[2147483648]]", "prompt[1][0]", "integer_above_max_value"},
                              {"{}", "prompt", "invalid_type"},
                              {"null", "prompt", "missing_required_parameter"}};
  for (const Refusal& refusal : refusals) {
    expect_refused(decode_completion(R"({"model":"m","prompt":)" + refusal.members + "}"), refusal);
  }
  std::string many = "[\"x\"";
  for (int i = 1; i < 65; ++i) many += ",\"x\"";
  expect_refused(decode_completion(R"({"model":"m","n":2,"prompt":)" + many + "]}"),
                 {"", "n", "integer_above_max_value"});
}

TEST(OpenAiRequest, RefusesWhatIsNotARequest) {
  for (const char* body :
       {"", "{", "[]", "7", "null", R"({"model":"m","model":"m","messages":[]})",
        R"({"messages":[{"role":"user","content":"x"}]})",
        R"({"model":null,"messages":[{"role":"user","content":"x"}]})",
        R"({"model":"","messages":[{"role":"user","content":"x"}]})",
        R"({"model":7,"messages":[{"role":"user","content":"x"}]})", "{\"model\":\"\xff\"}"}) {
    auto request = decode_chat(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(http_status(request.error()), 400) << body;
  }
  EXPECT_FALSE(decode_chat(chat_body("\"a\":" + std::string(100'000, '['))));
}

TEST(OpenAiRequest, TheCorpusDecodesOrIsRefusedByAName) {
  const std::filesystem::path folder = testing::source_path("../shared/corpus/dialects/requests/completions");
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no corpus beside the checkout";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    auto request = decode_chat(text.str());
    if (!request) {
      EXPECT_FALSE(request.error().param.empty()) << entry.path() << ": " << request.error().message;
      EXPECT_NE(request.error().reason, "unknown_parameter")
          << entry.path() << ": " << request.error().message;
    }
  }
}

}  // namespace
}  // namespace cresset::wire
