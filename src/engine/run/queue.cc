#include "engine/run/queue.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace cresset::engine {
namespace {

constexpr double kUnknown_s = 10, kLongest_s = 600;

// 0 is the highest.
int64_t rank(const Waiter& waiter, sys::Instant now) {
  const int64_t ups = (now - waiter.since) / std::chrono::duration_cast<sys::Instant>(kAgeing);
  return std::max<int64_t>(0, static_cast<int64_t>(waiter.priority) - ups);
}

struct JobOfTenant {
  size_t first = 0, sequences = 0;
};
struct TenantInQueue {
  size_t sequences = 0;
  std::vector<JobOfTenant> jobs;  // that may leave, the newest last
};

}  // namespace

size_t choose_next(std::span<const Waiter> waiting, const std::map<std::string_view, size_t>& running,
                   sys::Instant now) {
  const auto order = [&](const Waiter& w) {
    const auto found = running.find(w.tenant);
    return std::tuple(w.is_put_back ? -1 : rank(w, now), found == running.end() ? 0 : found->second);
  };
  size_t best = 0;
  auto least = order(waiting[0]);
  for (size_t i = 1; i < waiting.size(); ++i) {
    if (const auto mine = order(waiting[i]); mine < least) {
      best = i;
      least = mine;
    }
  }
  return best;
}

std::vector<Leaver> choose_leaving(std::span<const Waiter> waiting, size_t queue_max) {
  std::vector<Leaver> leaving;
  if (waiting.size() <= queue_max) return leaving;
  std::map<std::string_view, TenantInQueue> tenants;
  for (size_t i = 0; i < waiting.size(); ++i) {
    TenantInQueue& tenant = tenants[waiting[i].tenant];
    ++tenant.sequences;
    if (waiting[i].has_begun || waiting[i].is_put_back) continue;
    if (i > 0 && !tenant.jobs.empty() && waiting[i].job == waiting[i - 1].job) {
      ++tenant.jobs.back().sequences;
    } else {
      tenant.jobs.push_back({i, 1});
    }
  }
  const size_t share = std::max<size_t>(1, queue_max / tenants.size());
  for (size_t left = waiting.size(); left > queue_max;) {
    TenantInQueue* most = nullptr;
    for (auto& [name, tenant] : tenants) {
      if (tenant.jobs.empty()) continue;
      // Among equals, the one that came last.
      if (most == nullptr || std::tuple(tenant.sequences, tenant.jobs.back().first) >
                                 std::tuple(most->sequences, most->jobs.back().first))
        most = &tenant;
    }
    if (most == nullptr) break;
    const JobOfTenant job = most->jobs.back();
    leaving.push_back({waiting[job.first].job, job.first + 1, most->sequences, share,
                       tenants.size() > 1 && most->sequences > share});
    most->jobs.pop_back();
    most->sequences -= job.sequences;
    left -= job.sequences;
  }
  return leaving;
}

void EndRate::add(double busy_s, size_t ended) {
  busy_s_ += busy_s;
  for (size_t i = 0; i < std::min(ended, kEndsMax); ++i) ends_.push_back(busy_s_);
  while (ends_.size() > kEndsMax) {
    begin_s_ = ends_.front();
    ends_.pop_front();
  }
}

int EndRate::seconds_for(size_t places) const {
  const double each_s = ends_.empty() ? kUnknown_s : (busy_s_ - begin_s_) / static_cast<double>(ends_.size());
  return static_cast<int>(std::clamp(std::ceil(each_s * static_cast<double>(places)), 1.0, kLongest_s));
}

chat::Failed refusal(const Leaver& leaver, size_t queue_max, size_t tenants, const EndRate& rate) {
  chat::Failed failed;
  failed.error.code = Code::kUnavailable;
  std::string what;
  if (leaver.is_over_share) {
    failed.status = 429;
    // Its own places come to it at its share of the pace.
    failed.retry_after_s = rate.seconds_for((leaver.of_tenant - leaver.share) * tenants);
    what = std::to_string(leaver.of_tenant) + " requests of this key wait, its share of the queue is " +
           std::to_string(leaver.share) + " of " + std::to_string(queue_max);
  } else {
    failed.retry_after_s = rate.seconds_for(leaver.position > queue_max ? leaver.position - queue_max : 1);
    what = "the queue is full: " + std::to_string(queue_max) + " requests wait, this one would be number " +
           std::to_string(leaver.position);
  }
  failed.error.what = what + "; try again in " + std::to_string(failed.retry_after_s) + " s";
  return failed;
}

}  // namespace cresset::engine
