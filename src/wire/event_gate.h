// EventGate: what a provider says, held to the grammar of events (chat/event.h) before anything of ours
// relies on it: choices within what was asked, tool calls that have begun, nothing after an end. One object
// an answer; belongs to whoever reads it.
#pragma once

#include <vector>

#include "base/result.h"
#include "chat/event.h"

namespace cresset::wire {

class EventGate {
 public:
  explicit EventGate(int choices) : choices_(static_cast<size_t>(choices)) {}
  // kCorrupt: this event cannot come here. An event for a choice that has finished is kCorrupt too.
  Status check(const chat::Event& event);
  bool is_complete() const { return finished_ == choices_.size(); }

 private:
  static constexpr size_t kCallsMax = 1024;
  struct Choice {
    std::vector<int> calls;
    bool is_finished = false;
  };
  std::vector<Choice> choices_;
  size_t finished_ = 0;
};

}  // namespace cresset::wire
