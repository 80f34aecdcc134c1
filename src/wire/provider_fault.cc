#include "wire/provider_fault.h"

#include <string>
#include <utility>

#include "base/text.h"
#include "wire/lenient.h"

namespace cresset::wire {

namespace {

constexpr size_t kMessageBytesMax = 4096;

struct Word {
  std::string_view word;
  int status;
};
// The words of Anthropic, OpenAI and Google (google.rpc.Code) for what has a status.
constexpr Word kWords[] = {
    {"invalid_request_error", 400}, {"authentication_error", 401},
    {"billing_error", 402},         {"permission_error", 403},
    {"not_found_error", 404},       {"request_too_large", 413},
    {"rate_limit_error", 429},      {"api_error", 500},
    {"timeout_error", 504},         {"overloaded_error", 529},
    {"server_error", 500},          {"rate_limit_exceeded", 429},
    {"insufficient_quota", 429},    {"INVALID_ARGUMENT", 400},
    {"FAILED_PRECONDITION", 400},   {"UNAUTHENTICATED", 401},
    {"PERMISSION_DENIED", 403},     {"NOT_FOUND", 404},
    {"RESOURCE_EXHAUSTED", 429},    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},           {"DEADLINE_EXCEEDED", 504},
};

// "36s", "1.5s" to whole seconds, rounded up.
int retry_delay_s(const Json& error) {
  for (const Json& detail : array_at(error, "details")) {
    const std::string_view delay = string_at(detail, "retryDelay");
    if (delay.empty() || delay.back() != 's') continue;
    int seconds = 0;
    for (const char c : delay) {
      if (c < '0' || c > '9') return seconds + (c == '.' ? 1 : 0);
      if (seconds < 1'000'000) seconds = seconds * 10 + (c - '0');
    }
  }
  return 0;
}

}  // namespace

Fault not_an_answer() {
  Fault fault;
  fault.code = Code::kCorrupt;
  fault.status = 502;
  fault.message = "The provider answered with something that is not an answer.";
  fault.reason = "bad_gateway";
  return fault;
}

Code code_of_status(int status) {
  switch (status) {
    case 401:
    case 402:
    case 403:
      return Code::kRefused;
    case 404:
      return Code::kNotFound;
    case 408:
    case 504:
      return Code::kTimeout;
    case 409:
    case 425:
    case 429:
      return Code::kUnavailable;
    default:
      break;
  }
  if (status >= 500) return Code::kUnavailable;
  return status >= 400 ? Code::kInvalid : Code::kCorrupt;
}

chat::Failed failed_from_status(int status) {
  chat::Failed failed;
  failed.is_remote = true;
  failed.status = status >= 400 && status <= 599 ? status : 502;
  failed.error = {
      code_of_status(status), "The provider answered with status " + std::to_string(status) + ".", {}};
  return failed;
}

chat::Failed failed_from(const Json& error, int status) {
  std::string_view word = string_at(error, "type");
  if (word.empty()) word = string_at(error, "status");
  const std::string_view code = string_at(error, "code");
  int said = status;
  for (const std::string_view candidate : {word, code}) {
    for (const Word& known : kWords) {
      if (said == 0 && known.word == candidate) said = known.status;
    }
  }
  if (const int number = count_at(error, "code"); said == 0 && number >= 400 && number < 600) said = number;
  chat::Failed failed = failed_from_status(said == 0 ? 500 : said);
  const std::string_view message =
      error.is_string() ? std::string_view(error.as_string()) : string_at(error, "message");
  if (!message.empty()) failed.error.what = to_valid_utf8(message.substr(0, kMessageBytesMax));
  failed.kind = to_valid_utf8((word.empty() ? code : word).substr(0, 128));
  if (code == "context_length_exceeded") failed.kind = code;
  failed.retry_after_s = retry_delay_s(error);
  return failed;
}

chat::Failed failed_from_body(int status, std::string_view body) {
  const auto value = parse_json(body);
  if (!value) return failed_from_status(status);
  const Json* error = get(*value, "error");
  // Google's streams wrap the error in a list.
  if (error == nullptr && value->is_array() && !value->as_array().empty())
    error = get(value->as_array()[0], "error");
  if (error == nullptr) return failed_from_status(status);
  return failed_from(*error, status);
}

}  // namespace cresset::wire
