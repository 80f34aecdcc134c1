// The request target and the Host: what of a URL a server is sent (RFC 9112, 3.2; RFC 3986).
#pragma once

#include <string_view>

#include "base/result.h"
#include "net/http.h"

namespace cresset::net {

// Fills path, raw_path and query from `target`: origin form ("/a?b"), absolute form ("http://host/a", whose
// host must then be the Host header's: two readers must not disagree about where a request goes), or "*" of
// OPTIONS.
Status split_target(HttpRequest& request);

// Host, or host and port, in the characters that a URL allows there; empty is allowed.
bool is_authority(std::string_view text);

}  // namespace cresset::net
