#include "gateway/endpoints.h"

#include <array>
#include <span>

#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/ollama.h"
#include "wire/openai_chat.h"
#include "wire/openai_responses.h"

namespace cresset::gateway {

namespace {

std::span<const Endpoint> endpoints() {
  using T = Task;
  const wire::Codec *chat = &wire::openai_chat_codec(), *completions = &wire::openai_completions_codec(),
                    *responses = &wire::openai_responses_codec(), *anthropic = &wire::anthropic_codec(),
                    *gemini = &wire::gemini_codec(), *ollama = &wire::ollama_chat_codec();
  static const std::array table{
      Endpoint{"POST", "/v1/chat/completions", T::kAnswer, chat},
      Endpoint{"POST", "/v1/completions", T::kAnswer, completions},
      Endpoint{"POST", "/v1/responses", T::kAnswer, responses},
      Endpoint{"POST", "/v1/messages", T::kAnswer, anthropic},
      Endpoint{"POST", "/v1/messages/count_tokens", T::kCountTokens, anthropic},
      // Google's Python client asks under /v1, its other ones under /v1beta.
      Endpoint{"POST", "/v1beta/models/", T::kAnswer, gemini, false, ":generateContent"},
      Endpoint{"POST", "/v1beta/models/", T::kAnswer, gemini, false, ":streamGenerateContent", true},
      Endpoint{"POST", "/v1beta/models/", T::kCountTokens, gemini, false, ":countTokens"},
      Endpoint{"POST", "/v1/models/", T::kAnswer, gemini, false, ":generateContent"},
      Endpoint{"POST", "/v1/models/", T::kAnswer, gemini, false, ":streamGenerateContent", true},
      Endpoint{"POST", "/v1/models/", T::kCountTokens, gemini, false, ":countTokens"},
      Endpoint{"GET", "/v1beta/models", T::kListModels, gemini},
      Endpoint{"GET", "/v1beta/models/", T::kShowModel, gemini},
      Endpoint{"GET", "/v1/models", T::kListModels},
      Endpoint{"GET", "/v1/models/", T::kShowModel},
      Endpoint{"POST", "/api/chat", T::kAnswer, ollama},
      Endpoint{"POST", "/api/generate", T::kAnswer, &wire::ollama_generate_codec()},
      Endpoint{"GET", "/api/tags", T::kListModels, ollama},
      Endpoint{"POST", "/api/show", T::kShowModel, ollama},
      Endpoint{"GET", "/api/ps", T::kLoaded, ollama},
      Endpoint{"GET", "/api/version", T::kVersion, ollama},
      Endpoint{"POST", "/api/embed", T::kNotBuilt, ollama},
      Endpoint{"POST", "/api/embeddings", T::kNotBuilt, ollama},
      Endpoint{"GET", "/", T::kRoot, nullptr, true},
      Endpoint{"GET", "/healthz", T::kHealth, nullptr, true},
      Endpoint{"GET", "/readyz", T::kReady, nullptr, true},
      Endpoint{"GET", "/metrics", T::kMetrics},
  };
  return table;
}

bool matches(const Endpoint& endpoint, std::string_view path) {
  if (endpoint.path.back() != '/' || endpoint.path.size() == 1) return path == endpoint.path;
  return path.size() > endpoint.path.size() + endpoint.suffix.size() && path.starts_with(endpoint.path) &&
         path.ends_with(endpoint.suffix);
}

}  // namespace

Target find_target(const net::HttpRequest& request) {
  Target target;
  for (const Endpoint& endpoint : endpoints()) {
    if (!matches(endpoint, request.path)) continue;
    const bool is_get = endpoint.method == "GET";
    if (request.method == endpoint.method || (is_get && request.method == "HEAD")) {
      target.endpoint = &endpoint;
      if (endpoint.path.size() > 1 && endpoint.path.back() == '/') {
        target.id = request.path.substr(endpoint.path.size());
        target.id.resize(target.id.size() - endpoint.suffix.size());
      }
      return target;
    }
    target.allow = is_get ? "GET, HEAD" : std::string(endpoint.method);
  }
  return target;
}

}  // namespace cresset::gateway
