// Request: what a client asks, whatever its dialect. Pure data; decoded by wire/, read by gateway/ and
// providers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "chat/message.h"

namespace cresset::chat {

// How the next token is chosen. A field that is not set takes the answering model's default.
struct Sampling {
  std::optional<double> temperature;                   // >= 0; 0 is greedy
  std::optional<double> top_p;                         // (0, 1]
  std::optional<int> top_k;                            // 0: off
  std::optional<double> min_p;                         // [0, 1]
  std::optional<double> repetition_penalty;            // > 0, 1: off
  std::optional<double> presence_penalty;              // [-2, 2]
  std::optional<double> frequency_penalty;             // [-2, 2]
  std::vector<std::pair<int32_t, double>> logit_bias;  // token id, [-100, 100]
  std::optional<int64_t> seed;
};

using Tokens = std::vector<int32_t>;
// A completion's prompt: text or token ids.
using Prompt = std::variant<std::string, Tokens>;

struct Request {
  std::string model;
  // Exactly one is filled: messages (chat) or prompts (completion; each is answered).
  std::vector<Message> messages;
  std::vector<Prompt> prompts;
  bool is_chat() const { return prompts.empty(); }

  Sampling sampling;
  std::optional<int> tokens_max;  // tokens to write at most; unset: to the end of the context
  int tokens_min = 0;             // the end-of-sequence tokens are not sampled before this many
  bool ignore_eos = false;
  std::vector<std::string> stop;  // up to 4
  int choices = 1;                // n
  bool logprobs = false;          // report the chosen token's log-probability
  int top_logprobs = 0;           // and this many alternatives (0 to 20)
  bool echo = false;              // completions: the prompt's text first
  bool stream = false;
  bool include_usage = false;  // a last event with usage in a stream
  std::string tenant;          // set by the gateway, never by a client: whose caches may be used
  std::string user;            // opaque to us: for the ledger
  Json template_kwargs;        // chat_template_kwargs: an object or null
};

}  // namespace cresset::chat
