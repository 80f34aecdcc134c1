// AnswerText: from tokens' bytes to text that may be shown: whole UTF-8 characters, nothing that could still
// turn out to be the beginning of a stop text, and the token reports that belong to what is shown.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/event.h"

namespace cresset::engine {

class AnswerText {
 public:
  explicit AnswerText(std::vector<std::string> stops);  // empty ones stop nothing

  // Adds the bytes of one token. True: a stop text is complete, everything from it on is cut, add nothing
  // more.
  bool add(std::string_view bytes, std::optional<chat::TokenReport> report);
  // What may be shown now, since the last call.
  chat::TextDelta take();
  // What remains, at the end of the answer: an incomplete character becomes U+FFFD.
  chat::TextDelta finish();

 private:
  struct Pending {
    size_t begin, end;  // of the token in the answer's bytes
    chat::TokenReport report;
  };
  size_t safe_bytes() const;
  chat::TextDelta emit(size_t bytes, bool is_end);

  std::vector<std::string> stops_;
  std::string held_;  // bytes not shown yet
  size_t shown_ = 0;  // bytes shown before held_
  std::deque<Pending> reports_;
};

}  // namespace cresset::engine
