// Endpoints: which address asks for what, in which dialect. One table; a new dialect is a row. Pure; any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "net/http.h"
#include "wire/codec.h"

namespace cresset::gateway {

enum class Task {
  kAnswer,
  kCountTokens,
  kListModels,
  kShowModel,
  kLoaded,   // Ollama's ps
  kVersion,  // Ollama's version
  kNotBuilt,
  kRoot,
  kHealth,
  kReady,
  kMetrics
};

struct Endpoint {
  std::string_view method;  // "GET" answers HEAD too
  std::string_view path;    // one that ends in '/' takes the rest as an id
  Task task;
  const wire::Codec* codec = nullptr;  // whose dialect is spoken here; null: OpenAI's, or as a header says
  bool is_open = false;                // needs no key
  std::string_view suffix = {};        // what follows the id (":generateContent")
  bool streams = false;                // of a dialect that says so in the address
};

struct Target {
  const Endpoint* endpoint = nullptr;  // null: there is none
  std::string id;                      // of a model, where the address has one
  std::string allow;                   // the path exists for these methods only: "GET, HEAD"
};

Target find_target(const net::HttpRequest& request);

}  // namespace cresset::gateway
