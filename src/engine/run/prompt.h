// Prompt: from a request to the token ids that are prefilled. Text from a user never becomes a special token:
// control tokens are looked for in the template's own text alone.
#pragma once

#include <vector>

#include "chat/request.h"
#include "engine/token/chat_template.h"
#include "engine/token/tokenizer.h"

namespace cresset::engine {

class PromptMaker {
 public:
  PromptMaker(const Tokenizer& tokenizer, const ChatTemplate* chat_template);

  // One list for a chat, one for each prompt of a completion. Errors: no template, the template's own
  // refusal, token ids outside the vocabulary, an empty prompt for a model without a first token.
  Result<std::vector<std::vector<Token>>> make(const chat::Request& request, int64_t unix_time_s) const;

 private:
  Result<std::vector<Token>> make_chat(const chat::Request& request, int64_t unix_time_s) const;
  Result<std::vector<Token>> make_completion(const chat::Prompt& prompt) const;

  const Tokenizer& tokenizer_;
  const ChatTemplate* template_;
};

}  // namespace cresset::engine
