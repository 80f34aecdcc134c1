#include "net/response.h"

#include <algorithm>
#include <charconv>

#include "base/json.h"

namespace cresset::net {
namespace {

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

void append_number(std::string& out, size_t value, int base) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value, base).ptr);
}

void append_value(std::string& out, std::string_view value) {
  const auto begin = static_cast<std::ptrdiff_t>(out.size());
  out += value;
  std::replace_if(
      out.begin() + begin, out.end(), [](char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f; },
      ' ');
}

}  // namespace

void append_head(std::string& out, const ResponseHead& head) {
  out += "HTTP/1.1 ";
  append_number(out, static_cast<size_t>(head.status), 10);
  out.append(" ").append(reason_phrase(head.status)).append("\r\n");
  for (const auto& [name, value] : head.headers) {
    out.append(name).append(": ");
    append_value(out, value);
    out += "\r\n";
  }
  if (!head.date.empty()) out.append("Date: ").append(head.date).append("\r\n");
  if (head.length) {
    out += "Content-Length: ";
    append_number(out, *head.length, 10);
    out += "\r\n";
  }
  if (head.is_chunked) out += "Transfer-Encoding: chunked\r\n";
  if (head.closes) out += "Connection: close\r\n";
  out += "\r\n";
}

void append_chunk(std::string& out, std::string_view bytes) {
  append_number(out, bytes.size(), 16);
  out.append("\r\n").append(bytes).append("\r\n");
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

HttpResponse error_response(int status, std::string_view why) {
  const std::string_view type = status < 500 ? "invalid_request_error" : "server_error";
  const Json error = Json::object({{"message", why}, {"type", type}, {"param", nullptr}, {"code", nullptr}});
  return {.status = status,
          .headers = {{"Content-Type", "application/json"}},
          .body = Json::object({{"error", error}}).write()};
}

}  // namespace cresset::net
