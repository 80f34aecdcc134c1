#include "wire/openai_logprobs.h"

#include <cmath>
#include <string_view>

#include "base/text.h"

namespace cresset::wire {

namespace {

constexpr double kImpossible = -9999.0;  // OpenAI's stand-in for minus infinity, which JSON cannot say

Json logprob_value(double logprob) {
  if (std::isinf(logprob)) return kImpossible;
  return logprob;  // not a number: written as null
}

// A token that is part of a character is shown by its bytes, as OpenAI does: \xf0\x9f.
std::string shown(const std::string& bytes, std::string_view prefix) {
  if (is_utf8(bytes)) return bytes;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out(prefix);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

Json chat_entry(const chat::TokenLogprob& token) {
  JsonArray bytes;
  for (const char c : token.bytes) bytes.emplace_back(static_cast<int>(static_cast<unsigned char>(c)));
  Json out;
  out.set("token", shown(token.bytes, ""));
  out.set("logprob", logprob_value(token.logprob));
  out.set("bytes", std::move(bytes));
  return out;
}

Json completion_alternatives(const chat::TokenReport& report) {
  if (std::isnan(report.chosen.logprob)) return {};
  Json out = Json::object();
  const auto add = [&out](const chat::TokenLogprob& token) {
    const std::string name = shown(token.bytes, "bytes:");
    if (out.find(name) == nullptr) out.set(name, logprob_value(token.logprob));
  };
  for (const chat::TokenLogprob& token : report.top) add(token);
  add(report.chosen);
  return out;
}

}  // namespace

Json chat_logprobs(std::span<const chat::TokenReport> reports) {
  JsonArray content;
  for (const chat::TokenReport& report : reports) {
    JsonArray top;
    for (const chat::TokenLogprob& token : report.top) top.push_back(chat_entry(token));
    Json entry = chat_entry(report.chosen);
    entry.set("top_logprobs", std::move(top));
    content.push_back(std::move(entry));
  }
  return Json::object({{"content", std::move(content)}, {"refusal", nullptr}});
}

int TextOffset::advance(const std::string& bytes) {
  const int begin = characters_;
  pending_ += bytes;
  const size_t whole = pending_.size() - incomplete_tail(pending_);
  for (std::string_view rest = std::string_view(pending_).substr(0, whole); !rest.empty();) {
    rest.remove_prefix(static_cast<size_t>(next_code_point(rest).length));
    ++characters_;
  }
  pending_.erase(0, whole);
  return begin;
}

Json completion_logprobs(std::span<const chat::TokenReport> reports, TextOffset& offset) {
  JsonArray tokens, logprobs, top, offsets;
  for (const chat::TokenReport& report : reports) {
    tokens.emplace_back(shown(report.chosen.bytes, "bytes:"));
    logprobs.push_back(logprob_value(report.chosen.logprob));
    top.push_back(completion_alternatives(report));
    offsets.emplace_back(offset.advance(report.chosen.bytes));
  }
  return Json::object({{"tokens", std::move(tokens)},
                       {"token_logprobs", std::move(logprobs)},
                       {"top_logprobs", std::move(top)},
                       {"text_offset", std::move(offsets)}});
}

}  // namespace cresset::wire
