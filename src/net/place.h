// Place: where a URL leads, and whether it may be asked. Pure; any thread.
#pragma once

#include <string>

#include "base/result.h"

namespace cresset::net {

struct Place {
  std::string scheme, host;
  std::string port;       // empty: the scheme's
  std::string authority;  // host and port as the URL has them
  std::string target;     // path and query
  bool is_loopback = false;

  bool is_near() const { return is_loopback && scheme == "http"; }
};

// kInvalid: not a URL of http or https; kRefused: it holds credentials.
Result<Place> read_place(const std::string& url);
// kRefused: plain http to another machine.
Status check_place(const Place& place, bool allow_plain);

}  // namespace cresset::net
