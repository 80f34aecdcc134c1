#include "gateway/exchange.h"

#include "wire/anthropic.h"
#include "wire/gemini.h"
#include "wire/openai_chat.h"

namespace cresset::gateway {

namespace {

// A provider's model has whatever name its client gave it: what cannot stand in a header stays out.
std::string header_text(std::string text) {
  constexpr size_t kBytesMax = 512;
  if (text.size() > kBytesMax) text.resize(kBytesMax);
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '_';
  }
  return text;
}

}  // namespace

const wire::Codec* spoken_codec(const Exchange& exchange) {
  if (exchange.target.endpoint != nullptr && exchange.target.endpoint->codec != nullptr)
    return exchange.target.endpoint->codec;
  // Anthropic's and Google's clients ask for models where OpenAI's do; headers tell them apart.
  const net::Headers& headers = exchange.http().headers;
  if (net::count_header(headers, "anthropic-version") > 0) return &wire::anthropic_codec();
  const bool is_google =
      net::count_header(headers, "x-goog-api-key") + net::count_header(headers, "x-goog-api-client") > 0;
  return is_google ? &wire::gemini_codec() : nullptr;
}

Verdict refuse(Exchange& exchange, const wire::Fault& fault) {
  const wire::Codec* codec = spoken_codec(exchange);
  reply_json(exchange, codec != nullptr ? codec->encode_error(fault) : wire::encode_openai_error(fault));
  exchange.response.status = wire::http_status(fault);
  if (fault.retry_after_s > 0) {
    exchange.response.headers.emplace_back("Retry-After", std::to_string(fault.retry_after_s));
  }
  return Verdict::kReply;
}

Verdict reply_json(Exchange& exchange, std::string body) {
  exchange.response.status = 200;
  exchange.response.headers.emplace_back("Content-Type", "application/json");
  exchange.response.body = std::move(body);
  return Verdict::kReply;
}

void add_common_headers(const Exchange& exchange, net::Headers& headers) {
  headers.emplace_back("X-Request-Id", exchange.id);
  headers.emplace_back("Cache-Control", "no-store");
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  if (exchange.candidate < exchange.plan.candidates.size()) {
    const Candidate& candidate = exchange.plan.candidates[exchange.candidate];
    headers.emplace_back("X-Cresset-Route", header_text(candidate.id + "; " + candidate.reason));
  }
  if (!exchange.dropped.empty()) headers.emplace_back("X-Cresset-Dropped", exchange.dropped);
  for (const auto& header : exchange.origin.rate_limits) headers.push_back(header);
}

}  // namespace cresset::gateway
