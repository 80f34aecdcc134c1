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
  std::optional<double> temperature{};                   // >= 0; 0 is greedy
  std::optional<double> top_p{};                         // (0, 1]
  std::optional<int> top_k{};                            // 0: off
  std::optional<double> min_p{};                         // [0, 1]
  std::optional<double> repetition_penalty{};            // > 0, 1: off
  std::optional<double> presence_penalty{};              // [-2, 2]
  std::optional<double> frequency_penalty{};             // [-2, 2]
  std::vector<std::pair<int32_t, double>> logit_bias{};  // token id, [-100, 100]
  std::optional<int64_t> seed{};
  bool operator==(const Sampling&) const = default;
};

using Tokens = std::vector<int32_t>;
// A completion's prompt: text or token ids.
using Prompt = std::variant<std::string, Tokens>;

struct Tool {
  // kFunction takes JSON by a schema; kCustom takes free text; kOpaque is the dialect's own ("web_search"):
  // `extras` is all of it.
  enum class Kind { kFunction, kCustom, kOpaque };
  Kind kind = Kind::kFunction;
  std::string name{};
  std::string description{};
  Json schema{};  // JSON Schema of the arguments, or null
  std::optional<bool> is_strict{};
  Json cache{};
  Json extras{};
  bool operator==(const Tool&) const = default;
};

struct ToolChoice {
  enum class Mode { kAuto, kNone, kAny, kNamed };
  Mode mode = Mode::kAuto;
  std::string name{};                  // of kNamed
  std::vector<std::string> allowed{};  // of kAuto and kAny; empty: all
  bool operator==(const ToolChoice&) const = default;
};

// The form of the answer's text.
struct Format {
  enum class Kind { kText, kJson, kSchema };
  Kind kind = Kind::kText;
  std::string name{};
  std::string description{};
  Json schema{};
  std::optional<bool> is_strict{};
  bool operator==(const Format&) const = default;
};

// How much to think before answering. Nothing set: the model's default.
struct Thinking {
  enum class Mode { kUnset, kOff, kOn, kAdaptive };
  Mode mode = Mode::kUnset;
  std::string effort{};                // "none", "minimal", "low", "medium", "high", "xhigh", "max"
  std::optional<int> budget_tokens{};  // of kOn
  std::string summary{};               // "auto", "concise", "detailed": how thoughts are told
  std::optional<bool> is_shown{};      // whether thoughts are part of the answer
  bool operator==(const Thinking&) const = default;
};

// Whose turn is first where requests wait for the own engine.
enum class Priority { kInteractive, kNormal, kBatch };

struct Request {
  Dialect dialect = Dialect::kNone;  // that `extras` everywhere in it belong to
  std::string model{};
  // Exactly one is filled: messages (chat) or prompts (completion; each is answered).
  std::vector<Message> messages{};
  std::vector<Prompt> prompts{};
  bool is_chat() const { return prompts.empty(); }

  Sampling sampling{};
  std::optional<int> tokens_max{};  // tokens to write at most; unset: to the end of the context
  int tokens_min = 0;               // the end-of-sequence tokens are not sampled before this many
  bool ignore_eos = false;
  std::vector<std::string> stop{};  // up to 4
  int choices = 1;                  // n
  bool logprobs = false;            // report the chosen token's log-probability
  int top_logprobs = 0;             // and this many alternatives (0 to 20)
  bool echo = false;                // completions: the prompt's text first
  bool stream = false;
  bool include_usage = false;             // a last event with usage in a stream
  std::string tenant{};                   // set by the gateway, never by a client: whose caches may be used
  Priority priority = Priority::kNormal;  // set by the gateway, as the key has it
  std::string user{};                     // opaque to us: for the ledger
  Json template_kwargs{};                 // chat_template_kwargs: an object or null

  std::vector<Tool> tools{};
  std::optional<ToolChoice> tool_choice{};
  std::optional<bool> parallel_tools{};
  std::optional<Format> format{};
  Thinking thinking{};
  Json metadata{};  // an object of texts, or null
  Json cache{};     // a cache hint for the whole prompt, or null
  Json extras{};    // what else the dialect was told: an object, or null
  // Headers of the dialect that belong to the request ("anthropic-beta"); they go to the same dialect only.
  std::vector<std::pair<std::string, std::string>> headers{};

  bool operator==(const Request&) const = default;
};

}  // namespace cresset::chat
