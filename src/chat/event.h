// Events: what an answer is made of, token by token, as values; a codec turns them into bytes. Pure data.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace cresset::chat {

struct TokenLogprob {
  int32_t token = 0;
  std::string bytes;   // the token's own bytes; may be part of a character
  double logprob = 0;  // natural logarithm
};

struct TokenReport {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // most probable first
};

struct Usage {
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of the prompt, read from a prefix cache
  int completion_tokens = 0;
};

enum class FinishReason { kStop, kLength };

// The prompt was accepted and its tokens counted.
struct Started {
  Usage usage;
};
// More text of one choice: whole UTF-8 characters only. `tokens` reports what was asked for by `logprobs`;
// a delta may have reports and no text (a character still incomplete) and the reverse never happens.
struct TextDelta {
  int choice = 0;
  std::string text;
  std::vector<TokenReport> tokens;
};
struct Finished {
  int choice = 0;
  FinishReason reason = FinishReason::kStop;
  Usage usage;  // of this choice: its completion tokens, the prompt's tokens; cached: of all prompts so far
};
// The answer cannot be continued. After it nothing follows.
struct Failed {
  Error error;
};

using Event = std::variant<Started, TextDelta, Finished, Failed>;

}  // namespace cresset::chat
