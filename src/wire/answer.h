// Answer: the events of one answer folded into what a client that does not stream is given. A value; pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "chat/event.h"

namespace cresset::wire {

struct Choice {
  std::string text;
  std::vector<chat::TokenReport> tokens;
  std::optional<chat::FinishReason> reason;
};

class Answer {
 public:
  explicit Answer(int choices) : choices_(static_cast<size_t>(choices)) {}

  // Started, TextDelta and Finished; a choice outside the range is a fault of ours (CHECK). Failed changes
  // nothing.
  void add(const chat::Event& event);

  const std::vector<Choice>& choices() const { return choices_; }
  // The prompt's tokens as Started counted them (a prompt counts once, however many choices it has); the
  // completion tokens of all choices.
  const chat::Usage& usage() const { return usage_; }
  bool is_complete() const { return finished_ == choices_.size(); }

 private:
  std::vector<Choice> choices_;
  chat::Usage usage_;
  size_t finished_ = 0;
};

}  // namespace cresset::wire
