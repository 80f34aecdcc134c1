#include "wire/answer.h"

#include <algorithm>

#include "base/check.h"

namespace cresset::wire {

void Answer::add(const chat::Event& event) {
  const auto at = [this](int choice) -> Choice& {
    CHECK(choice >= 0 && static_cast<size_t>(choice) < choices_.size());
    return choices_[static_cast<size_t>(choice)];
  };
  if (const auto* started = std::get_if<chat::Started>(&event)) {
    usage_.prompt_tokens = started->usage.prompt_tokens;
    usage_.cached_tokens = started->usage.cached_tokens;
  } else if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
    Choice& choice = at(delta->choice);
    choice.text += delta->text;
    choice.tokens.insert(choice.tokens.end(), delta->tokens.begin(), delta->tokens.end());
  } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
    Choice& choice = at(finished->choice);
    CHECK(!choice.reason);
    choice.reason = finished->reason;
    usage_.completion_tokens += finished->usage.completion_tokens;
    usage_.cached_tokens = std::max(usage_.cached_tokens, finished->usage.cached_tokens);
    ++finished_;
  }
}

}  // namespace cresset::wire
