#include "wire/fault.h"

#include <utility>

#include "wire/field.h"
#include "wire/limits.h"

namespace cresset::wire {

namespace {

constexpr int kRetryAfterS = 1;

Fault parameter_fault(Code code, std::string param, std::string message, std::string reason) {
  Fault fault;
  fault.code = code;
  fault.message = std::move(message);
  fault.param = std::move(param);
  fault.reason = std::move(reason);
  return fault;
}

}  // namespace

int http_status(const Fault& fault) {
  if (fault.status != 0) return fault.status;
  switch (fault.code) {
    case Code::kInvalid:
    case Code::kExists:
    case Code::kUnsupported:
    case Code::kLimit:
      return 400;
    case Code::kNotFound:
      return 404;
    case Code::kRefused:
      return 403;
    case Code::kUnavailable:
      return 503;
    case Code::kCancelled:
      return 499;  // nobody reads it; metrics do
    case Code::kTimeout:
      return 504;
    case Code::kIo:
    case Code::kCorrupt:
    case Code::kInternal:
      return 500;
  }
  return 500;
}

Fault to_fault(const Error& error) {
  Fault fault;
  fault.code = error.code;
  switch (error.code) {
    case Code::kInvalid:
    case Code::kExists:
    case Code::kRefused:
    case Code::kCancelled:
    case Code::kNotFound:
      fault.message = error.what;
      break;
    case Code::kUnsupported:
      fault.message = error.what;
      fault.reason = "unsupported_value";
      break;
    case Code::kLimit:
      fault.message = error.what;
      fault.reason = "context_length_exceeded";
      break;
    case Code::kUnavailable:
      fault.message = error.what;
      fault.reason = "unavailable";
      fault.retry_after_s = kRetryAfterS;
      break;
    case Code::kTimeout:
      fault.message = "The model took too long to answer.";
      fault.reason = "timeout";
      break;
    case Code::kIo:
    case Code::kCorrupt:
    case Code::kInternal:
      fault.message = "The server had an error while processing your request.";
      fault.reason = "internal_error";
      break;
  }
  return fault;
}

Fault to_fault(const chat::Failed& failed) {
  Fault fault = to_fault(failed.error);
  if (!failed.is_remote) {
    fault.status = failed.status;
    if (failed.status == 429) fault.reason = "rate_limit_exceeded";
    if (failed.retry_after_s > 0) fault.retry_after_s = failed.retry_after_s;
    return fault;
  }
  fault.message = failed.error.what;
  fault.status = failed.status;
  fault.kind = failed.kind;
  fault.reason = failed.kind;
  fault.retry_after_s = failed.retry_after_s;
  return fault;
}

Decoded<Json> parse_body(std::string_view body) {
  Result<Json> parsed = parse_json(body);
  if (!parsed) {
    Fault fault;
    fault.code = Code::kInvalid;
    fault.message = "We could not parse the JSON body of your request: " + parsed.error().message() + ".";
    fault.reason = "invalid_json";
    return tl::unexpected<Fault>(std::move(fault));
  }
  if (!parsed->is_object()) return tl::unexpected<Fault>(wrong_type({*parsed, "body"}, "an object"));
  return std::move(*parsed);
}

Fault missing_parameter(std::string param) {
  std::string message = "Missing required parameter: '" + param + "'.";
  return parameter_fault(Code::kInvalid, std::move(param), std::move(message), "missing_required_parameter");
}

Fault unknown_parameter(std::string param) {
  std::string message = "Unrecognized request argument supplied: " + param;
  return parameter_fault(Code::kInvalid, std::move(param), std::move(message), "unknown_parameter");
}

Fault unsupported_parameter(std::string param, std::string_view why) {
  std::string message = "Unsupported parameter: '" + param + "' " + std::string(why);
  return parameter_fault(Code::kUnsupported, std::move(param), std::move(message), "unsupported_parameter");
}

Fault unsupported_value(std::string param, std::string_view why) {
  std::string message = "Unsupported value: '" + param + "' " + std::string(why);
  return parameter_fault(Code::kUnsupported, std::move(param), std::move(message), "unsupported_value");
}

Fault invalid_value(std::string param, std::string_view why, std::string reason) {
  std::string message = "Invalid '" + param + "': " + std::string(why);
  return parameter_fault(Code::kInvalid, std::move(param), std::move(message), std::move(reason));
}

}  // namespace cresset::wire
