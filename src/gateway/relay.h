// Relay: the crossing from an engine's threads to the loop. Events wait in a queue; one post drains all of
// it, so a fast engine costs the loop one wake-up a batch and not one a token. Who answers on the loop itself
// needs none: its turns are delivered as they end. Bounded by the answer's own token limit.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <variant>
#include <vector>

#include "provider/provider.h"
#include "provider/threads.h"

namespace cresset::gateway {

using RelayItem = std::variant<provider::Origin, chat::Event>;

class Relay final : public provider::AnswerSink, public std::enable_shared_from_this<Relay> {
 public:
  // `deliver` runs on the loop; it must hold nothing that may not end on an engine's thread.
  Relay(provider::Schedule& schedule, std::function<void(std::vector<RelayItem>)> deliver);

  void on_accepted(provider::Origin origin) override;
  void on_event(chat::Event event) override;
  void begin_turn() override;
  void end_turn() override;

 private:
  void push(RelayItem item);
  void drain();

  provider::Schedule& schedule_;
  const std::function<void(std::vector<RelayItem>)> deliver_;
  std::mutex mutex_;
  std::vector<RelayItem> queue_;
  bool is_posted_ = false, is_in_turn_ = false;
};

}  // namespace cresset::gateway
