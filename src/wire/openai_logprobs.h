// Log-probabilities in the two shapes that OpenAI gives them.
#pragma once

#include <span>
#include <string>

#include "base/json.h"
#include "chat/event.h"

namespace cresset::wire {

// {"content":[{"token","logprob","bytes","top_logprobs":[…]}],"refusal":null}
Json chat_logprobs(std::span<const chat::TokenReport> reports);

// Where each token of one choice begins in its text, in characters; a character that spans tokens begins in
// the first.
class TextOffset {
 public:
  // The offset of a token with these bytes, which follows all given before.
  int advance(const std::string& bytes);

 private:
  int characters_ = 0;
  std::string pending_;  // the beginning of a character that is not complete yet
};

// {"tokens":[…],"token_logprobs":[…],"top_logprobs":[{…}],"text_offset":[…]}. The alternatives include the
// token itself, so there may be one more than asked for. A log-probability that is not a number (the first
// token of an echoed prompt has none) is null.
Json completion_logprobs(std::span<const chat::TokenReport> reports, TextOffset& offset);

}  // namespace cresset::wire
