#include "gateway/relay.h"

#include <utility>

namespace cresset::gateway {

Relay::Relay(provider::Schedule& schedule, std::function<void(std::vector<RelayItem>)> deliver)
    : schedule_(schedule), deliver_(std::move(deliver)) {}

void Relay::on_accepted(provider::Origin origin) {
  push(std::move(origin));
}

void Relay::on_event(chat::Event event) {
  push(std::move(event));
}

void Relay::begin_turn() {
  const std::lock_guard lock(mutex_);
  is_in_turn_ = true;
}

void Relay::end_turn() {
  {
    const std::lock_guard lock(mutex_);
    is_in_turn_ = false;
    if (is_posted_ || queue_.empty()) return;
  }
  const auto self = shared_from_this();
  drain();
}

void Relay::push(RelayItem item) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(item));
    if (is_posted_ || is_in_turn_) return;
    is_posted_ = true;
  }
  schedule_.post([self = shared_from_this()] { self->drain(); });
}

void Relay::drain() {
  std::vector<RelayItem> items;
  {
    const std::lock_guard lock(mutex_);
    items.swap(queue_);
    is_posted_ = false;
  }
  deliver_(std::move(items));
}

}  // namespace cresset::gateway
