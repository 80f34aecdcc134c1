// Golden transcripts: the bytes an OpenAI client reads. The shapes are those of OpenAI's API reference (chat
// completion object, chunk object, legacy completion object).
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "wire/openai_chat.h"

namespace cresset::wire {
namespace {

const AnswerIdentity kIdentity{"chatcmpl-1", 1700000000, "m", "fp_1"};
constexpr std::string_view kHead =
    R"("object":"chat.completion.chunk","created":1700000000,"model":"m","system_fingerprint":"fp_1","choices":[)";

chat::Request request_of(const Codec& codec, const std::string& body) {
  auto request = codec.decode_request(body);
  EXPECT_TRUE(request) << request.error().message;
  return *request;
}

chat::Request chat_request(const std::string& members = {}) {
  return request_of(openai_chat_codec(),
                    R"({"model":"m","messages":[{"role":"user","content":"x"}])" + members + "}");
}

std::string stream(const Codec& codec, const chat::Request& request, const std::vector<chat::Event>& events) {
  std::string out;
  const auto encoder = codec.make_stream_encoder(request, kIdentity);
  for (const chat::Event& event : events) encoder->encode(event, out);
  return out;
}

std::string whole(const Codec& codec, const chat::Request& request, const std::vector<chat::Event>& events) {
  Answer answer(count_choices(request));
  for (const chat::Event& event : events) answer.add(event);
  EXPECT_TRUE(answer.is_complete());
  return codec.encode_answer(request, answer, kIdentity);
}

// "data: {"id":"chatcmpl-1",…"choices":[REST" with the fixed head put in.
std::string chunk(std::string_view rest) {
  return "data: {\"id\":\"chatcmpl-1\"," + std::string(kHead) + std::string(rest) + "\n\n";
}

chat::Event started(int prompt, int cached = 0) {
  return chat::Started{{prompt, cached, 0}};
}
chat::Event text(std::string t, int choice = 0) {
  return chat::TextDelta{choice, std::move(t), {}};
}
chat::Event finished(int tokens, chat::FinishReason reason = chat::FinishReason::kStop, int choice = 0) {
  return chat::Finished{choice, reason, {0, 0, tokens}};
}

TEST(OpenAiAnswer, StreamsAChat) {
  const auto out = stream(openai_chat_codec(), chat_request(R"(,"stream":true)"),
                          {started(3), text("Hel"), text("lo \"é🙂\"\n"), finished(2)});
  EXPECT_EQ(
      out,
      chunk(
          R"({"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]})") +
          chunk(R"({"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}]})") +
          chunk(R"({"index":0,"delta":{"content":"lo \"é🙂\"\n"},"logprobs":null,"finish_reason":null}]})") +
          chunk(R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]})") + "data: [DONE]\n\n");
}

TEST(OpenAiAnswer, StreamsUsageLastAndNullBefore) {
  const auto out =
      stream(openai_chat_codec(), chat_request(R"(,"stream":true,"stream_options":{"include_usage":true})"),
             {started(3, 2), text("a"), finished(1, chat::FinishReason::kLength)});
  EXPECT_EQ(
      out,
      chunk(
          R"({"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null})") +
          chunk(
              R"({"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}],"usage":null})") +
          chunk(R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null})") +
          chunk(R"(],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,)"
                R"("prompt_tokens_details":{"cached_tokens":2,"audio_tokens":0},)"
                R"("completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,)"
                R"("accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}})") +
          "data: [DONE]\n\n");
}

TEST(OpenAiAnswer, AStreamOfTwoChoicesEndsWhenBothHave) {
  const auto out = stream(openai_chat_codec(), chat_request(R"(,"stream":true,"n":2)"),
                          {started(3), text("b", 1), text("a", 0), finished(1, chat::FinishReason::kStop, 1),
                           text("a", 0), finished(2)});
  EXPECT_EQ(out.find("[DONE]"), out.size() - 8);
  EXPECT_NE(out.find(R"({"index":1,"delta":{"role":"assistant")"), std::string::npos);
  EXPECT_NE(out.find(R"({"index":1,"delta":{},"logprobs":null,"finish_reason":"stop"})"), std::string::npos);
}

TEST(OpenAiAnswer, AFailureIsTheLastEvent) {
  const auto out =
      stream(openai_chat_codec(), chat_request(R"(,"stream":true)"),
             {started(3), chat::Failed{Error{Code::kUnavailable, "Come back later.", "/models/x"}}});
  EXPECT_TRUE(
      out.ends_with("data: {\"error\":{\"message\":\"Come back "
                    "later.\",\"type\":\"server_error\",\"param\":null,\"code\":\"unavailable\"}}\n\n"));
  EXPECT_EQ(out.find("[DONE]"), std::string::npos);
}

TEST(OpenAiAnswer, TellsAChatWhole) {
  EXPECT_EQ(
      whole(openai_chat_codec(), chat_request(), {started(3, 1), text("a"), text("b"), finished(2)}),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","system_fingerprint":"fp_1",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"ab","refusal":null,"annotations":[]},)"
      R"("logprobs":null,"finish_reason":"stop"}],)"
      R"("usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,)"
      R"("prompt_tokens_details":{"cached_tokens":1,"audio_tokens":0},)"
      R"("completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}})");
}

TEST(OpenAiAnswer, APromptCountsOnceHoweverManyChoices) {
  const auto out =
      whole(openai_chat_codec(), chat_request(R"(,"n":2)"),
            {started(10), text("a"), text("b", 1), finished(3), finished(4, chat::FinishReason::kStop, 1)});
  EXPECT_NE(out.find(R"("prompt_tokens":10,"completion_tokens":7,"total_tokens":17)"), std::string::npos);
}

chat::TextDelta with_report(std::string text, std::string bytes, double logprob,
                            std::vector<chat::TokenLogprob> top) {
  return {0, std::move(text), {{{1, std::move(bytes), logprob}, std::move(top)}}};
}

TEST(OpenAiAnswer, ReportsLogprobsOfAChat) {
  const std::vector<chat::Event> events{
      started(1), with_report("", "\xf0\x9f", -0.5, {}),
      with_report("🙂a",
                  "\x99\x82"
                  "a",
                  -0.25, {{1, "a", -0.25}, {2, "b", -std::numeric_limits<double>::infinity()}}),
      finished(2)};
  const auto out = whole(openai_chat_codec(), chat_request(R"(,"logprobs":true,"top_logprobs":2)"), events);
  EXPECT_NE(
      out.find(
          R"("logprobs":{"content":[{"token":"\\xf0\\x9f","logprob":-0.5,"bytes":[240,159],"top_logprobs":[]},)"
          R"({"token":"\\x99\\x82\\x61","logprob":-0.25,"bytes":[153,130,97],"top_logprobs":[)"
          R"({"token":"a","logprob":-0.25,"bytes":[97]},{"token":"b","logprob":-9999.0,"bytes":[98]}]}],"refusal":null})"),
      std::string::npos)
      << out;
  const auto streamed =
      stream(openai_chat_codec(), chat_request(R"(,"stream":true,"logprobs":true)"), events);
  EXPECT_NE(streamed.find(R"("delta":{"content":""},"logprobs":{"content":[{"token":"\\xf0\\x9f")"),
            std::string::npos)
      << "a token that completes no character is still reported";
}

TEST(OpenAiAnswer, TellsACompletionWhole) {
  const auto request =
      request_of(openai_completions_codec(), R"({"model":"m","prompt":["é","y"],"logprobs":1})");
  const auto out =
      whole(openai_completions_codec(), request,
            {started(2), with_report("é", "é", std::nan(""), {}), with_report("b", "b", -1, {{7, "c", -0.5}}),
             text("z", 1), finished(2), finished(1, chat::FinishReason::kLength, 1)});
  EXPECT_NE(out.find(R"("object":"text_completion")"), std::string::npos);
  EXPECT_NE(
      out.find(
          R"("choices":[{"index":0,"text":"éb","logprobs":{"tokens":["é","b"],"token_logprobs":[null,-1.0],)"
          R"("top_logprobs":[null,{"c":-0.5,"b":-1.0}],"text_offset":[0,1]},"finish_reason":"stop"},)"
          R"({"index":1,"text":"z","logprobs":{"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]},)"
          R"("finish_reason":"length"}])"),
      std::string::npos)
      << out;
}

TEST(OpenAiAnswer, StreamsACompletion) {
  const auto request = request_of(openai_completions_codec(), R"({"model":"m","prompt":"x","stream":true})");
  const std::string head =
      R"(data: {"id":"chatcmpl-1","object":"text_completion","created":1700000000,"model":"m","system_fingerprint":"fp_1","choices":[)";
  EXPECT_EQ(
      stream(openai_completions_codec(), request, {started(1), text("a"), finished(1)}),
      head + "{\"index\":0,\"text\":\"a\",\"logprobs\":null,\"finish_reason\":null}]}\n\n" + head +
          "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
}

TEST(OpenAiAnswer, TextOffsetsOfAStreamGoOn) {
  const auto request =
      request_of(openai_completions_codec(), R"({"model":"m","prompt":"x","stream":true,"logprobs":0})");
  const auto out = stream(openai_completions_codec(), request,
                          {started(1), with_report("", "\xc3", -1, {}), with_report("é", "\xa9", -1, {}),
                           with_report("ab", "ab", -1, {}), with_report("c", "c", -1, {}), finished(4)});
  for (const char* offset : {"\"text_offset\":[0]", "\"text_offset\":[1]", "\"text_offset\":[3]"}) {
    EXPECT_NE(out.find(offset), std::string::npos) << offset << "\n" << out;
  }
  EXPECT_NE(out.find(R"("tokens":["bytes:\\xc3"])"), std::string::npos);
}

TEST(OpenAiError, HasOpenAisShapeAndHidesWhatWentWrongInside) {
  EXPECT_EQ(encode_openai_error(unsupported_parameter("tools", "is not supported by this model.")),
            R"({"error":{"message":"Unsupported parameter: 'tools' is not supported by this model.",)"
            R"("type":"invalid_request_error","param":"tools","code":"unsupported_parameter"}})");
  for (Code code : {Code::kInternal, Code::kIo, Code::kCorrupt}) {
    const Fault fault = to_fault(Error{code, "open /home/x: permission denied", "/home/x"});
    EXPECT_EQ(http_status(fault), 500);
    EXPECT_EQ(encode_openai_error(fault).find("home"), std::string::npos);
  }
  EXPECT_EQ(http_status(to_fault(Error{Code::kLimit, "", ""})), 400);
  EXPECT_EQ(http_status(to_fault(Error{Code::kUnavailable, "", ""})), 503);
  EXPECT_EQ(http_status(to_fault(Error{Code::kTimeout, "", ""})), 504);
  EXPECT_EQ(http_status(to_fault(Error{Code::kNotFound, "", ""})), 404);
  EXPECT_EQ(http_status(to_fault(Error{Code::kRefused, "", ""})), 403);
}

TEST(OpenAiModels, AreListedWithWhatWeAdd) {
  const OpenAiModel model{"local/a", 5, "cresset", Json::object({{"max_model_len", 2048}})};
  EXPECT_EQ(
      encode_openai_model_list(std::span(&model, 1)),
      R"({"object":"list","data":[{"id":"local/a","object":"model","created":5,"owned_by":"cresset","max_model_len":2048}]})");
  EXPECT_EQ(encode_openai_model_list({}), R"({"object":"list","data":[]})");
}

}  // namespace
}  // namespace cresset::wire
