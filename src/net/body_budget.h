// BodyBudget: how many bytes of request bodies a server holds, over all its connections: a limit of one body
// and a limit of connections still allow more together than a machine has. Loop thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace cresset::net {

struct BodyBudget {
  size_t bytes_max;
  size_t bytes_held = 0;
};

// One body's share, given back when this dies: with the connection that receives it, then with the call that
// has it.
class BodyShare {
 public:
  explicit BodyShare(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;
  BodyShare(BodyShare&& other) noexcept : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}
  ~BodyShare() { budget_->bytes_held -= bytes_; }

  // False, and nothing changed: the budget does not allow it.
  bool grow_to(size_t bytes) {
    if (bytes <= bytes_) return true;
    if (bytes - bytes_ > budget_->bytes_max - budget_->bytes_held) return false;
    budget_->bytes_held += bytes - bytes_;
    bytes_ = bytes;
    return true;
  }

 private:
  std::shared_ptr<BodyBudget> budget_;
  size_t bytes_ = 0;
};

}  // namespace cresset::net
