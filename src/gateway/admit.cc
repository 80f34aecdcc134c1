#include "gateway/admit.h"

#include <algorithm>
#include <utility>

namespace cresset::gateway {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

wire::Fault make_fault(Code code, int status, std::string message, std::string reason) {
  wire::Fault fault;
  fault.code = code;
  fault.status = status;
  fault.message = std::move(message);
  fault.reason = std::move(reason);
  return fault;
}

Verdict check_target(Exchange& exchange) {
  if (exchange.target.endpoint != nullptr) return Verdict::kProceed;
  const net::HttpRequest& request = exchange.http();
  if (!exchange.target.allow.empty()) {
    refuse(exchange, make_fault(Code::kInvalid, 405,
                                "Not allowed to " + request.method.substr(0, 16) +
                                    " on this address. Allowed: " + exchange.target.allow + ".",
                                "method_not_allowed"));
    exchange.response.headers.emplace_back("Allow", exchange.target.allow);
    return Verdict::kReply;
  }
  return refuse(exchange, make_fault(Code::kNotFound, 404,
                                     "Unknown request URL: " + request.method.substr(0, 16) + " " +
                                         request.path.substr(0, 256) + ".",
                                     "unknown_url"));
}

Verdict check_content_type(Exchange& exchange) {
  if (exchange.target.endpoint->method != "POST") return Verdict::kProceed;
  const net::Headers& headers = exchange.http().headers;
  if (net::count_header(headers, "Content-Type") == 1 &&
      is_json_content_type(net::find_header(headers, "Content-Type"))) {
    return Verdict::kProceed;
  }
  return refuse(exchange,
                make_fault(Code::kInvalid, 415,
                           "Unsupported content type. Send the body as 'Content-Type: application/json'.",
                           "unsupported_media_type"));
}

}  // namespace

Authority parse_authority(std::string_view text) {
  size_t end = 0;  // of the host
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos) return {};
    ++end;
  } else {
    end = std::min(text.find(':'), text.size());
  }
  const std::string_view rest = text.substr(end);
  if (!rest.empty() && (rest[0] != ':' || !is_digits(rest.substr(1)))) return {};
  std::string_view host = text.substr(0, end);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.find_first_of("/@?# \t\\") != std::string_view::npos) return {};
  return {lower(host), std::string(rest.empty() ? rest : rest.substr(1))};
}

bool is_json_content_type(std::string_view value) {
  std::string_view type = value.substr(0, value.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return lower(type) == "application/json";
}

Admission::Admission(policy::Keys keys, const std::vector<std::string>& hosts)
    : keys_(std::move(keys)),
      hosts_{"localhost", "127.0.0.1", "[::1]"},
      anyone_(std::make_shared<const policy::Principal>(policy::Principal{"anyone", {"*"}})) {
  for (const std::string& host : hosts) {
    const bool is_bare_v6 = host.find(':') != std::string::npos && !host.starts_with('[');
    hosts_.push_back(is_bare_v6 ? "[" + lower(host) + "]" : lower(host));
  }
}

bool Admission::is_allowed_host(std::string_view host) const {
  return std::find(hosts_.begin(), hosts_.end(), host) != hosts_.end();
}

Verdict Admission::check_browser(Exchange& exchange) const {
  const net::Headers& headers = exchange.http().headers;
  if (net::count_header(headers, "Host") != 1 || net::count_header(headers, "Origin") > 1 ||
      !exchange.http().target.starts_with('/')) {
    return refuse(exchange, make_fault(Code::kInvalid, 400,
                                       "A request needs exactly one Host header, at most one "
                                       "Origin header and a target that begins with '/'.",
                                       "invalid_request"));
  }
  const Authority host = parse_authority(net::find_header(headers, "Host"));
  if (!is_allowed_host(host.host)) {
    return refuse(exchange,
                  make_fault(Code::kRefused, 403,
                             "This server does not answer under this Host name. Its owner can allow the "
                             "name in the configuration.",
                             "host_not_allowed"));
  }
  const wire::Fault cross_site = make_fault(
      Code::kRefused, 403, "Requests from web pages of other origins are refused.", "origin_not_allowed");
  if (net::count_header(headers, "Origin") == 1) {
    // A page of ours has our scheme, a name of ours and the port it was reached by.
    const std::string scheme = exchange.call->is_tls() ? "https://" : "http://";
    const std::string value = lower(net::find_header(headers, "Origin"));
    const Authority origin =
        value.starts_with(scheme) ? parse_authority(value.substr(scheme.size())) : Authority{};
    if (!is_allowed_host(origin.host) || origin.port != host.port) return refuse(exchange, cross_site);
  }
  // Browsers send no Origin with some requests (images, scripts), but they say where those come from.
  const std::string site = lower(net::find_header(headers, "Sec-Fetch-Site"));
  const bool is_navigation = lower(net::find_header(headers, "Sec-Fetch-Mode")) == "navigate";
  if ((site == "cross-site" || site == "same-site") && !is_navigation) return refuse(exchange, cross_site);
  return Verdict::kProceed;
}

Verdict Admission::check_key(Exchange& exchange) const {
  exchange.principal = anyone_;
  const bool is_open = exchange.target.endpoint != nullptr && exchange.target.endpoint->is_open;
  if (!keys_.are_required() || is_open) return Verdict::kProceed;
  const Result<std::string_view> presented = policy::presented_key(exchange.http().headers);
  if (presented && !presented->empty()) {
    if (auto principal = keys_.find(*presented)) {
      exchange.principal = std::move(principal);
      return Verdict::kProceed;
    }
  }
  const std::string message = !presented ? "The request presents two different API keys."
                              : presented->empty()
                                  ? "You didn't provide an API key. Send it as 'Authorization: "
                                    "Bearer KEY'."
                                  : "Incorrect API key provided.";
  refuse(exchange, make_fault(Code::kRefused, 401, message, "invalid_api_key"));
  exchange.response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return Verdict::kReply;
}

Verdict Admission::admit(Exchange& exchange) const {
  if (check_browser(exchange) == Verdict::kReply) return Verdict::kReply;
  if (check_key(exchange) == Verdict::kReply) return Verdict::kReply;
  if (check_target(exchange) == Verdict::kReply) return Verdict::kReply;
  exchange.is_labelled = net::count_header(exchange.http().headers, "X-Cresset-Label") > 0;
  return check_content_type(exchange);
}

}  // namespace cresset::gateway
