#include "gateway/endpoints.h"

#include <array>
#include <span>

#include "wire/openai_chat.h"

namespace cresset::gateway {

namespace {

std::span<const Endpoint> endpoints() {
  static const std::array table{
      Endpoint{"POST", "/v1/chat/completions", Task::kAnswer, &wire::openai_chat_codec(), false},
      Endpoint{"POST", "/v1/completions", Task::kAnswer, &wire::openai_completions_codec(), false},
      Endpoint{"GET", "/v1/models", Task::kListModels, nullptr, false},
      Endpoint{"GET", "/v1/models/", Task::kShowModel, nullptr, false},
      Endpoint{"GET", "/healthz", Task::kHealth, nullptr, true},
      Endpoint{"GET", "/readyz", Task::kReady, nullptr, true},
      Endpoint{"GET", "/metrics", Task::kMetrics, nullptr, false},
  };
  return table;
}

bool matches(const Endpoint& endpoint, std::string_view path) {
  if (endpoint.path.back() != '/') return path == endpoint.path;
  return path.size() > endpoint.path.size() && path.starts_with(endpoint.path);
}

}  // namespace

Target find_target(const net::HttpRequest& request) {
  Target target;
  for (const Endpoint& endpoint : endpoints()) {
    if (!matches(endpoint, request.path)) continue;
    const bool is_get = endpoint.method == "GET";
    if (request.method == endpoint.method || (is_get && request.method == "HEAD")) {
      target.endpoint = &endpoint;
      if (endpoint.path.back() == '/') target.id = request.path.substr(endpoint.path.size());
      return target;
    }
    target.allow = is_get ? "GET, HEAD" : std::string(endpoint.method);
  }
  return target;
}

}  // namespace cresset::gateway
