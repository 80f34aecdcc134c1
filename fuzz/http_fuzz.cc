// The HTTP request parser on hostile bytes: it must not crash, must take the same requests however the bytes
// are cut, and what it accepts must obey its own limits.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "net/request_parser.h"

namespace {

using cresset::net::HttpRequest;
using cresset::net::ParseLimits;
using cresset::net::RequestParser;

struct Outcome {
  std::vector<HttpRequest> requests;
  int status = 0;
};

// Feeds `bytes` in pieces of `step`, as a socket would deliver them.
Outcome parse(std::string_view bytes, size_t step, const ParseLimits& limits) {
  Outcome outcome;
  RequestParser parser(limits);
  size_t begin = 0;
  size_t end = 0;
  for (;;) {
    begin += parser.feed(bytes.substr(begin, end - begin));
    if (parser.state() == RequestParser::State::kDone) {
      outcome.requests.push_back(parser.take());
      continue;
    }
    if (parser.state() == RequestParser::State::kFailed) {
      outcome.status = parser.fault().status;
      return outcome;
    }
    if (end == bytes.size()) return outcome;
    end = std::min(bytes.size(), end + step);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ParseLimits limits{.head_bytes_max = 4096, .body_bytes_max = 4096};
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = parse(bytes, bytes.size() + 1, limits);
  const Outcome cut = parse(bytes, 1 + size % 7, limits);
  CHECK(whole.requests.size() == cut.requests.size());
  for (size_t i = 0; i < whole.requests.size(); ++i) {
    const HttpRequest& a = whole.requests[i];
    const HttpRequest& b = cut.requests[i];
    CHECK(a.method == b.method && a.target == b.target && a.headers == b.headers && a.body == b.body);
    CHECK(a.body.size() <= limits.body_bytes_max);
    for (const auto& [name, value] : a.headers) {
      CHECK(name.find_first_of("\r\n \t:") == std::string::npos &&
            value.find_first_of("\r\n") == std::string::npos);
    }
  }
  return 0;
}
