// What an HTTP/1.1 response looks like on the wire (RFC 9112). Pure functions on strings.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace cresset::net {

struct ResponseHead {
  int status = 200;
  const Headers& headers;
  std::string_view date;  // empty: none
  std::optional<size_t> length;
  bool is_chunked = false;
  bool closes = false;
};

// Status line, headers and the empty line. A control byte in a value (it may quote what a client or a
// provider sent) becomes a blank, so that no line break begins a header of theirs.
void append_head(std::string& out, const ResponseHead& head);

void append_chunk(std::string& out, std::string_view bytes);  // not empty: that would be the last chunk

bool has_no_body(int status);

// An error in OpenAI's shape.
HttpResponse error_response(int status, std::string_view why);

}  // namespace cresset::net
