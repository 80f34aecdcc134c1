// Answer: the events of one answer folded into what a client that does not stream is given. A value; pure.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/event.h"

namespace cresset::wire {

struct Choice {
  std::vector<chat::Part> parts;
  std::vector<chat::TokenReport> tokens;
  std::optional<chat::FinishReason> reason;
  std::string stop_text;
  Json extras;

  std::string text() const { return chat::text_of(parts); }
};

class Answer {
 public:
  explicit Answer(int choices) : choices_(static_cast<size_t>(choices)), open_(choices_.size()) {}

  // What is not the engine's but a provider's has been checked by EventGate: a choice outside the range or
  // finished twice is a fault of ours (CHECK). Failed changes nothing.
  void add(const chat::Event& event);

  const std::vector<Choice>& choices() const { return choices_; }
  // The prompt's tokens as Started counted them (a prompt counts once, however many choices it has); the
  // completion tokens of all choices.
  const chat::Usage& usage() const { return usage_; }
  const chat::Started& head() const { return head_; }
  bool is_complete() const { return finished_ == choices_.size(); }

 private:
  struct Open {
    bool is_open = false;                       // the last part may be continued
    std::vector<std::pair<int, size_t>> calls;  // number of a tool call, its part
  };
  Choice& at(int choice);
  template <class Body>
  chat::Part& open_part(int choice);

  std::vector<Choice> choices_;
  std::vector<Open> open_;
  chat::Started head_;
  chat::Usage usage_;
  size_t finished_ = 0;
};

// The counts of a choice that has finished, added to those of an answer. A provider may state the prompt's
// only now, or correct them: the word on the only choice is the last word.
void add_usage(chat::Usage& total, const chat::Usage& finished, bool is_only_choice = false);

}  // namespace cresset::wire
