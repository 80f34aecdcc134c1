// Queue: the rules for sequences that wait: who is next, who has to leave when too many wait, and how soon it
// is worth coming back. Functions of plain values, so that the rules can be tested alone; the scheduler owns
// the sequences. Used by the engine's leader.
//
// Next is whoever was put back for memory; then the higher class: interactive, normal, batch; within a class
// the tenant with the fewest running sequences; then first come, first served. With every kAgeing of waiting
// a sequence counts as one class higher, so that no class waits for ever.
//
// A tenant's fair share of the queue is its length by the tenants that wait. While more wait than may, the
// tenant with the most waiting gives up its newest job: with 429 where it has more than its share and others
// wait too, else with 503. One tenant alone may have the whole queue, and makes room when others come. A job
// of which a sequence has begun stays.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/event.h"
#include "chat/request.h"
#include "sys/env.h"

namespace cresset::engine {

constexpr std::chrono::seconds kAgeing{30};

// One sequence that waits.
struct Waiter {
  std::string_view tenant{};
  chat::Priority priority = chat::Priority::kNormal;
  sys::Instant since{};
  const void* job = nullptr;  // the sequences of a job stand side by side
  bool is_put_back = false;
  bool has_begun = false;  // its job has
};

// Of `waiting`, at least one and in the order of arrival, the index of the next.
size_t choose_next(std::span<const Waiter> waiting, const std::map<std::string_view, size_t>& running,
                   sys::Instant now);

// A job that has to leave.
struct Leaver {
  const void* job = nullptr;
  size_t position = 0;  // in the queue, from 1
  size_t of_tenant = 0, share = 0;
  bool is_over_share = false;
};
std::vector<Leaver> choose_leaving(std::span<const Waiter> waiting, size_t queue_max);

// How fast sequences end, of the last of them, in the time in which there was work.
class EndRate {
 public:
  void add(double busy_s, size_t ended);
  // Whole seconds until so many more have ended, 1 to 600; 10 while none has.
  int seconds_for(size_t places) const;

 private:
  static constexpr size_t kEndsMax = 32;
  double busy_s_ = 0, begin_s_ = 0;
  std::deque<double> ends_;
};

// What a leaver's client is told.
chat::Failed refusal(const Leaver& leaver, size_t queue_max, size_t tenants, const EndRate& rate);

}  // namespace cresset::engine
