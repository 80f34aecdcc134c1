// Endpoints: which address asks for what, in which dialect. One table; a new dialect is a row. Pure; any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "net/http.h"
#include "wire/codec.h"

namespace cresset::gateway {

enum class Task { kAnswer, kListModels, kShowModel, kHealth, kReady, kMetrics };

struct Endpoint {
  std::string_view method;  // "GET" answers HEAD too
  std::string_view path;    // one that ends in '/' takes the rest as an id
  Task task;
  const wire::Codec* codec;  // of kAnswer
  bool is_open;              // needs no key
};

struct Target {
  const Endpoint* endpoint = nullptr;  // null: there is none
  std::string id;                      // of kShowModel
  std::string allow;                   // the path exists for these methods only: "GET, HEAD"
};

Target find_target(const net::HttpRequest& request);

}  // namespace cresset::gateway
