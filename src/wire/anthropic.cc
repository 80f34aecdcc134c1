#include "wire/anthropic.h"

#include <utility>

#include "wire/lenient.h"
#include "wire/own_engine.h"

namespace cresset::wire {

namespace {

constexpr std::string_view kInvalidJson = "INVALID_JSON";

class AnthropicCodec final : public Codec {
 public:
  std::string_view name() const override { return "anthropic"; }
  chat::Dialect dialect() const override { return chat::Dialect::kAnthropic; }
  std::string_view id_prefix() const override { return "msg_"; }

  Decoded<chat::Request> decode_request(std::string_view body) const override {
    return decode_anthropic_request(body);
  }
  std::string encode_request(const chat::Request& request, const Target& target,
                             Dropped& dropped) const override {
    return encode_anthropic_request(request, target, dropped);
  }
  Checked check_own(const chat::Request& request) const override {
    ParameterNames names;
    names.system = "system";
    names.parallel = "tool_choice.disable_parallel_tool_use";
    names.format = "output_config.format";
    names.thinking = "thinking";
    names.effort_default = "high";
    if (Checked ok = check_own_vocabulary(request, names); !ok) return ok;
    // Hints and bookkeeping: they change nothing of what a model without tools and thoughts would say.
    return check_own_extras(request.extras,
                            {"service_tier", "context_management", "thinking", "inference_geo"});
  }
  std::string encode_answer(const chat::Request&, const Answer& answer,
                            const AnswerIdentity& identity) const override {
    return encode_anthropic_answer(answer, identity);
  }
  std::unique_ptr<StreamEncoder> make_stream_encoder(const chat::Request&,
                                                     AnswerIdentity identity) const override {
    return make_anthropic_stream_encoder(std::move(identity));
  }
  std::string encode_error(const Fault& fault) const override { return encode_anthropic_error(fault); }
  std::string_view ping() const override { return "event: ping\ndata: {\"type\":\"ping\"}\n\n"; }

  Decoded<std::vector<chat::Event>> decode_answer(const chat::Request& asked,
                                                  std::string_view body) const override {
    return decode_anthropic_answer(asked, body);
  }
  std::unique_ptr<StreamDecoder> make_stream_decoder(const chat::Request& asked) const override {
    return make_anthropic_stream_decoder(asked);
  }
  std::string request_path(std::string_view, bool) const override { return "/v1/messages"; }
};

std::string_view error_type(const Fault& fault) {
  if (fault.kind.ends_with("_error") || fault.kind == "request_too_large") return fault.kind;
  switch (http_status(fault)) {
    case 401:
      return "authentication_error";
    case 402:
      return "billing_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return http_status(fault) >= 500 ? "api_error" : "invalid_request_error";
  }
}

}  // namespace

const Codec& anthropic_codec() {
  static const AnthropicCodec codec;
  return codec;
}

std::string encode_anthropic_error(const Fault& fault) {
  return Json::object({{"type", "error"},
                       {"error", Json::object({{"type", error_type(fault)}, {"message", fault.message}})}})
      .write();
}

Json arguments_object(const std::string& arguments, bool is_custom) {
  if (is_custom) return Json::object({{"input", arguments}});
  if (arguments.find_first_not_of(" \t\r\n") == std::string::npos) return Json::object();
  auto value = parse_json(arguments);
  if (value && value->is_object()) return std::move(*value);
  return Json::object({{kInvalidJson.data(), arguments}});
}

std::string arguments_text(const Json& object) {
  if (object.is_object() && object.as_object().size() == 1 && object.as_object()[0].first == kInvalidJson &&
      object.as_object()[0].second.is_string())
    return object.as_object()[0].second.as_string();
  return object.write();
}

Json custom_tool_schema() {
  return Json::object({{"type", "object"},
                       {"properties", Json::object({{"input", Json::object({{"type", "string"}})}})},
                       {"required", Json::array({"input"})}});
}

bool is_custom_tool(const chat::Request& request, std::string_view name) {
  for (const chat::Tool& tool : request.tools) {
    if (tool.kind == chat::Tool::Kind::kCustom && tool.name == name) return true;
  }
  return false;
}

std::string custom_input(const std::string& arguments) {
  const auto value = parse_json(arguments);
  const Json* input = value ? get(*value, "input") : nullptr;
  return input != nullptr && input->is_string() ? input->as_string() : arguments;
}

}  // namespace cresset::wire
