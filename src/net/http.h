// HTTP messages as values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cresset::net {

using Headers = std::vector<std::pair<std::string, std::string>>;

bool equals_ignoring_case(std::string_view a, std::string_view b);  // ASCII, as names and hosts are compared

// The value of the first header of that name, compared without case; empty when absent.
std::string_view find_header(const Headers& headers, std::string_view name);
// How many headers have that name (a doubled Host or Origin is refused by the gateway).
size_t count_header(const Headers& headers, std::string_view name);

struct HttpRequest {
  std::string method;  // "GET", upper case
  std::string target;  // as sent
  std::string path;    // before '?', percent-decoded segment by segment ("%2F" stays "%2F" in `raw_path`)
  std::string raw_path;
  std::string query;  // after '?', raw
  Headers headers;
  std::string body;
  std::string peer;  // "127.0.0.1:50000"
};

struct HttpResponse {
  int status = 200;
  Headers headers{};  // Content-Length, Date, Connection are the server's
  std::string body{};
};

}  // namespace cresset::net
