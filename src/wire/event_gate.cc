#include "wire/event_gate.h"

#include <algorithm>
#include <type_traits>

namespace cresset::wire {

Status EventGate::check(const chat::Event& event) {
  return std::visit(
      [this](const auto& e) -> Status {
        using E = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<E, chat::Started> || std::is_same_v<E, chat::Failed>) {
          return {};
        } else {
          if (e.choice < 0 || static_cast<size_t>(e.choice) >= choices_.size())
            return fail(Code::kCorrupt, "the provider answers a choice that was not asked for");
          Choice& choice = choices_[static_cast<size_t>(e.choice)];
          if (choice.is_finished)
            return fail(Code::kCorrupt, "the provider goes on after the end of its answer");
          if constexpr (std::is_same_v<E, chat::ToolBegin>) {
            if (std::find(choice.calls.begin(), choice.calls.end(), e.call) != choice.calls.end())
              return fail(Code::kCorrupt, "the provider begins one tool call twice");
            if (choice.calls.size() >= kCallsMax) return fail(Code::kLimit, "more than 1024 tool calls");
            choice.calls.push_back(e.call);
          }
          if constexpr (std::is_same_v<E, chat::ToolDelta>) {
            if (std::find(choice.calls.begin(), choice.calls.end(), e.call) == choice.calls.end())
              return fail(Code::kCorrupt, "the provider continues a tool call that it has not begun");
          }
          if constexpr (std::is_same_v<E, chat::Finished>) {
            choice.is_finished = true;
            ++finished_;
          }
          return {};
        }
      },
      event);
}

}  // namespace cresset::wire
