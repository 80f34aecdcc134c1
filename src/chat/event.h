// Events: what an answer is made of, token by token, as values; a codec turns them into bytes. Pure data.
//
// An answer's choice is a list of parts. A delta continues the open part of its choice when that is of its
// kind, else it opens a new one; PartEnd closes the open one, so that two texts in a row stay two. Tool calls
// are known by their number within the choice and may be written in turns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "chat/message.h"

namespace cresset::chat {

struct TokenLogprob {
  int32_t token = 0;   // -1: not known (a provider's)
  std::string bytes;   // the token's own bytes; may be part of a character
  double logprob = 0;  // natural logarithm
  bool operator==(const TokenLogprob&) const = default;
};

struct TokenReport {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // most probable first
  bool operator==(const TokenReport&) const = default;
};

struct Usage {
  int prompt_tokens = 0;       // all of them, the cached ones too
  int cached_tokens = 0;       // of the prompt, read from a prefix cache
  int completion_tokens = 0;   // all of them, the reasoning too
  int cache_write_tokens = 0;  // of the prompt, written to a cache
  int reasoning_tokens = 0;    // of the completion
  bool operator==(const Usage&) const = default;
};

// Why a choice ended. kRefused: the model or its guard declined; kPaused: ask again to go on.
enum class FinishReason { kStop, kLength, kStopText, kToolCalls, kRefused, kPaused, kContextFull };

// The prompt was accepted and its tokens counted (0: not yet known).
struct Started {
  Usage usage{};
  std::string model{};  // that answers, as its provider names it; empty: as it was asked for
  std::string id{};     // the provider's name for this answer
  Json extras{};        // what else the answer's head says, in the dialect of who answers
  double queue_s = -1;  // that it waited to be computed; < 0: not known
  bool operator==(const Started&) const = default;
};
// More text of one choice: whole UTF-8 characters only. `tokens` reports what was asked for by `logprobs`;
// a delta may have reports and no text (a character still incomplete) and the reverse never happens.
struct TextDelta {
  int choice = 0;
  std::string text{};
  std::vector<TokenReport> tokens{};
  bool operator==(const TextDelta&) const = default;
};
struct ReasoningDelta {
  int choice = 0;
  std::string text{};
  bool is_summary = false;
  bool operator==(const ReasoningDelta&) const = default;
};
struct RefusalDelta {
  int choice = 0;
  std::string text{};
  bool operator==(const RefusalDelta&) const = default;
};
struct ToolBegin {
  int choice = 0;
  int call = 0;  // counts from 0 within the choice
  std::string id{};
  std::string name{};
  bool is_custom = false;
  bool operator==(const ToolBegin&) const = default;
};
struct ToolDelta {
  int choice = 0;
  int call = 0;
  std::string arguments{};
  bool operator==(const ToolDelta&) const = default;
};
// Signs the open part, the last one when none is open, or, when there is none, a text without letters.
struct Signed {
  int choice = 0;
  Signature signature{};
  bool operator==(const Signed&) const = default;
};
// One more citation of the open text.
struct Cited {
  int choice = 0;
  Json citation{};
  bool operator==(const Cited&) const = default;
};
struct PartEnd {
  int choice = 0;
  bool operator==(const PartEnd&) const = default;
};
// A part that comes whole: an image, a sealed thought, what only its dialect understands.
struct PartWhole {
  int choice = 0;
  Part part{};
  bool operator==(const PartWhole&) const = default;
};
// The last word on one choice. A choice that has finished says nothing more.
struct Finished {
  int choice = 0;
  FinishReason reason = FinishReason::kStop;
  Usage usage{};            // this choice's completion, its prompt; cached: of all prompts so far
  std::string stop_text{};  // of kStopText
  Json extras{};            // what else the answer's end says, in the dialect of who answers
  bool operator==(const Finished&) const = default;
};
// The answer cannot be continued. After it nothing follows.
struct Failed {
  Error error;
  int status = 0;          // the HTTP status where it is not the code's: a provider's, 429; 0: the code's
  std::string kind{};      // the provider's word for it ("overloaded_error")
  int retry_after_s = 0;   // > 0: worth trying again after this long
  bool is_remote = false;  // the message is a provider's own and may be told
};

using Event = std::variant<Started, TextDelta, Finished, Failed, ReasoningDelta, RefusalDelta, ToolBegin,
                           ToolDelta, Signed, Cited, PartEnd, PartWhole>;

}  // namespace cresset::chat
