// The parser of providers' HTTP answers on hostile bytes: it must not crash or stand still, and must read the
// same however the bytes are cut.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/response_parser.h"

namespace {

using cresset::net::Headers;
using cresset::net::ResponseParser;

struct Outcome {
  int status = 0;
  Headers headers;
  std::string body;
  size_t used = 0;
  bool has_failed = false, is_whole = false, keeps_alive = false;
};

Outcome parse(std::string_view bytes, size_t step, bool is_head_request) {
  ResponseParser parser(4096);
  parser.begin(is_head_request);
  Outcome out;
  size_t given = std::min(step, bytes.size());
  while (parser.state() != ResponseParser::State::kDone && out.used < bytes.size()) {
    const auto piece = parser.take(bytes.substr(out.used, given));
    if (!piece) {
      out.has_failed = true;
      return out;
    }
    CHECK(piece->used > 0 && piece->used <= given);
    out.used += piece->used;
    out.body += piece->body;
    given = std::min(step, bytes.size() - out.used);
  }
  out.is_whole = parser.end();
  out.status = parser.status();
  out.headers = parser.headers();
  out.keeps_alive = parser.keeps_alive();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool is_head_request = data[0] == 'H' && size > 1 && data[1] == 'E';
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Outcome whole = parse(bytes, size, is_head_request);
  const Outcome cut = parse(bytes, 1 + size % 7, is_head_request);
  CHECK(whole.has_failed == cut.has_failed);
  if (whole.has_failed) return 0;
  CHECK(whole.status == cut.status && whole.headers == cut.headers && whole.body == cut.body);
  CHECK(whole.used == cut.used && whole.is_whole == cut.is_whole && whole.keeps_alive == cut.keeps_alive);
  for (const auto& [name, value] : whole.headers)
    CHECK(name.find_first_of("\r\n \t:") == std::string::npos &&
          value.find_first_of("\r\n") == std::string::npos);
  return 0;
}
