#include "net/request_target.h"

#include <algorithm>

namespace cresset::net {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decode_percent(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return fail(Code::kInvalid, "the path holds a '%' without two hexadecimal digits");
    const int value = high * 16 + low;
    if (value < 0x20 || value == 0x7f) return fail(Code::kInvalid, "the path holds an encoded control byte");
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

}  // namespace

Status split_target(HttpRequest& request) {
  std::string_view rest = request.target;
  if (std::any_of(rest.begin(), rest.end(), [](char c) { return c <= 0x20 || c >= 0x7f || c == '#'; })) {
    return fail(Code::kInvalid, "the request target holds forbidden characters");
  }
  if (rest == "*" && request.method == "OPTIONS") {
    request.path = request.raw_path = "*";
    return {};
  }
  const size_t scheme = rest.find("://");
  if (!rest.empty() && rest[0] != '/' && scheme != std::string_view::npos) {
    if (!equals_ignoring_case(rest.substr(0, scheme), "http") &&
        !equals_ignoring_case(rest.substr(0, scheme), "https")) {
      return fail(Code::kInvalid, "the request target's scheme is not http or https");
    }
    rest.remove_prefix(scheme + 3);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    if (authority.empty() || !is_authority(authority) ||
        !equals_ignoring_case(authority, find_header(request.headers, "Host"))) {
      return fail(Code::kInvalid, "the request target's host is not the Host header's");
    }
    rest.remove_prefix(authority.size());
    if (rest.empty() || rest[0] == '?') {
      request.raw_path = "/";
    }
  } else if (rest.empty() || rest[0] != '/') {
    return fail(Code::kInvalid, "the request target is neither a path nor an http URL");
  }
  const size_t question = rest.find('?');
  if (request.raw_path.empty()) request.raw_path = rest.substr(0, question);
  if (question != std::string_view::npos) request.query = rest.substr(question + 1);
  CRESSET_TRY(path, decode_percent(request.raw_path));
  request.path = std::move(path);
  return {};
}

bool is_authority(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view(".:-_[]%~!$&'()*+,;=").find(c) != std::string_view::npos;
  });
}

}  // namespace cresset::net
