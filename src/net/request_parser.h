// RequestParser: bytes of a connection to HTTP requests, strictly (RFC 9112), without sockets. Beast's parser
// does the reading of heads; what it forgives and an attacker lives on is refused before and after it: bare
// CR or LF, folded lines, control bytes, every doubled or ambiguous framing (request smuggling), a missing or
// doubled Host. The fuzz target feeds this class. It does not decide what a path means or whether a Host is
// allowed.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/http.h"

namespace cresset::net {

struct ParseLimits {
  size_t head_bytes_max = 64u << 10;  // request line and fields together: 431
  size_t body_bytes_max = 32u << 20;  // decoded: 413, as soon as the length is known
};

class RequestParser {
 public:
  enum class State { kHead, kBody, kDone, kFailed };
  struct Fault {
    int status = 400;
    std::string message;
  };
  // The longest piece that feed() may have to see whole: the caller's buffer must be able to hold it.
  static size_t piece_bytes_max(size_t head_bytes_max) { return head_bytes_max + 4; }

  explicit RequestParser(const ParseLimits& limits);
  ~RequestParser();

  // Takes what it can of `bytes`, which begin at the first byte not taken yet, and returns how many. What is
  // not taken belongs to a piece that is not complete, or to the next request; it must be offered again, with
  // more.
  size_t feed(std::string_view bytes);

  State state() const;
  const Fault& fault() const;  // kFailed

  // From kBody on.
  bool is_http10() const;
  bool keeps_alive() const;
  bool expects_continue() const;
  const HttpRequest& request() const;

  // kDone: gives the request away and is ready for the next.
  HttpRequest take();

 private:
  struct Native;
  std::unique_ptr<Native> native_;
};

}  // namespace cresset::net
