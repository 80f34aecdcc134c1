#include "engine/run/scheduler.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace cresset::engine {
namespace {

// Positions that an open-ended answer is promised at a time.
constexpr size_t kGrowthPositions = 4 * kPagePositions;
// How often readers that are behind are looked at where nothing else is to be done.
constexpr std::chrono::milliseconds kHoldLook{20};

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, const SchedulerParts& parts)
    : options_(options), parts_(parts), tree_(parts.cache), pace_({.tokens_max = options.step_tokens_max}) {
  totals_.kv_bytes_max = parts_.cache.bytes_max();
  stats_ = totals_;
  leader_ = std::thread([this] { lead(); });
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_all();
  leader_.join();
}

Status Scheduler::submit(PreparedJob job) {
  job.arrived = parts_.clock.now();
  {
    const std::lock_guard lock(mutex_);
    if (incoming_sequences_ >= options_.queue_max + options_.sequences_max) {
      return fail(Code::kUnavailable,
                  std::to_string(incoming_sequences_) + " requests have just come; try again shortly");
    }
    incoming_sequences_ += job.prompts.size() * static_cast<size_t>(job.job.request.choices);
    incoming_.push_back(std::move(job));
  }
  wake_.notify_one();
  return {};
}

void Scheduler::call(const std::function<void()>& work) {
  std::unique_lock lock(mutex_);
  calls_.push_back(&work);
  wake_.notify_one();
  called_.wait(lock, [&] { return std::find(calls_.begin(), calls_.end(), &work) == calls_.end(); });
}

EngineStats Scheduler::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.waiting += static_cast<int>(incoming_sequences_);
  return stats;
}

void Scheduler::lead() {
  while (collect()) {
    const sys::Instant begun = parts_.clock.now();
    size_t ended = drop_cancelled();
    set_held_aside();
    admit();
    shorten_queue();
    const uint64_t put_back = totals_.preemptions_total;
    const size_t running = running_.size();
    if (!running_.empty()) step();
    ended += running - running_.size() - static_cast<size_t>(totals_.preemptions_total - put_back);
    ends_.add(std::chrono::duration<double>(parts_.clock.now() - begun).count(), ended);
    publish();
  }
}

// Takes what has arrived; sleeps while there is nothing to do. False: stop.
bool Scheduler::collect() {
  std::unique_lock lock(mutex_);
  const auto has_work = [&] {
    return is_stopping_ || !incoming_.empty() || !calls_.empty() || !running_.empty() || !waiting_.empty();
  };
  if (held_.empty()) {
    wake_.wait(lock, has_work);
  } else {
    wake_.wait_for(lock, kHoldLook, has_work);  // nobody tells when a reader has caught up or left
  }
  if (is_stopping_) {
    for (auto& s : running_) release(*s);
    return false;
  }
  while (!calls_.empty()) {
    const std::function<void()>* work = calls_.front();
    lock.unlock();
    (*work)();
    lock.lock();
    calls_.pop_front();
    called_.notify_all();
  }
  for (PreparedJob& prepared : incoming_) {
    auto answer = std::make_shared<Answer>();
    const int choices = prepared.job.request.choices;
    answer->job = std::move(prepared.job);
    answer->arrived = prepared.arrived;
    for (const auto& prompt : prepared.prompts) answer->prompt_tokens += static_cast<int>(prompt.size());
    int choice = 0;
    for (const auto& prompt : prepared.prompts) {
      for (int c = 0; c < choices; ++c) {
        waiting_.push_back(
            std::make_unique<Sequence>(answer, choice++, prompt, prepared.seed, parts_.kernels));
      }
    }
  }
  incoming_.clear();
  incoming_sequences_ = 0;
  stats_.waiting = static_cast<int>(waiting_.size());
  return true;
}

// How many of the running ones were.
size_t Scheduler::drop_cancelled() {
  std::erase_if(waiting_, [](const auto& s) { return s->is_cancelled(); });
  std::erase_if(held_, [](const auto& s) { return s->is_cancelled(); });
  for (auto& s : running_) {
    if (!s->is_cancelled()) continue;
    release(*s);
    s->is_done = true;
  }
  return std::erase_if(running_, [](const auto& s) { return s->is_done; });
}

// A prompt goes on: it says nothing yet, and others may wait for its pages.
void Scheduler::set_held_aside() {
  for (auto& s : held_) {
    if (!s->is_held()) waiting_.push_front(std::move(s));
  }
  std::erase(held_, nullptr);
  for (auto& s : running_) {
    if (!s->is_held() || !s->is_decoding()) continue;
    release(*s);
    s->is_put_back = true;
    held_.push_back(std::move(s));
  }
  std::erase(running_, nullptr);
}

// ---- admission and memory

std::vector<Waiter> Scheduler::list_waiting() const {
  std::vector<Waiter> out;
  out.reserve(waiting_.size());
  for (const auto& s : waiting_) {
    const Answer& answer = *s->answer;
    out.push_back(
        {s->tenant(), s->request().priority, answer.arrived, &answer, s->is_put_back, answer.has_begun});
  }
  return out;
}

size_t Scheduler::choose_next() const {
  std::map<std::string_view, size_t> running;
  for (const auto& s : running_) ++running[s->tenant()];
  return engine::choose_next(list_waiting(), running, parts_.clock.now());
}

void Scheduler::admit() {
  while (!waiting_.empty() && running_.size() < options_.sequences_max) {
    const auto next = waiting_.begin() + static_cast<std::ptrdiff_t>(choose_next());
    Sequence& s = **next;
    plan_answer(s);
    if (s.pages_promised > parts_.cache.pages_max()) {
      refuse(s);
      continue;
    }
    if (!try_admit(s)) return;  // and nobody overtakes it: a large one is not starved
    if (!std::exchange(s.answer->has_begun, true)) s.answer->begun = parts_.clock.now();
    running_.push_back(std::move(*next));
    waiting_.erase(next);
  }
}

// Refuses jobs until no more wait than may. Their cancel tokens stay as they are: another model may answer.
void Scheduler::shorten_queue() {
  if (waiting_.size() <= options_.queue_max) return;
  const std::vector<Waiter> waiters = list_waiting();
  std::set<std::string_view> tenants;
  for (const Waiter& w : waiters) tenants.insert(w.tenant);
  std::set<const void*> leaving;
  for (const Leaver& leaver : choose_leaving(waiters, options_.queue_max)) {
    leaving.insert(leaver.job);
    const Answer& answer = *waiting_[leaver.position - 1]->answer;
    answer.job.sink->on_event(refusal(leaver, options_.queue_max, tenants.size(), ends_));
  }
  std::erase_if(waiting_, [&](const auto& s) { return leaving.contains(s->answer.get()); });
}

// How long the answer may be, and how many pages it is promised to begin with.
void Scheduler::plan_answer(Sequence& s) const {
  size_t room = options_.context - s.prompt_size;
  s.is_open_ended = !s.request().tokens_max;
  if (s.is_open_ended) {
    const size_t positions = parts_.cache.pages_max() * kPagePositions;
    if (positions >= s.prompt_size) room = std::min(room, positions - s.prompt_size + 1);
    s.tokens_max = room;
  } else {
    s.tokens_max = std::min(room, static_cast<size_t>(*s.request().tokens_max));
  }
  // The last token of an answer is never fed back: its key is not needed.
  size_t positions = s.prompt_size + (s.tokens_max > 0 ? s.tokens_max - 1 : 0);
  if (s.is_open_ended) positions = std::min(positions, s.tokens.size() + kGrowthPositions);
  s.pages_promised = pages_for(positions);
}

bool Scheduler::try_admit(Sequence& s) {
  if (!s.wants_prompt_reports()) {
    tree_.open(s.path, s.tenant());
    for (auto next = s.next_page(); tree_.look(s.path, next) == PrefixTree::Next::kStored;
         next = s.next_page()) {
      s.kv.pages.push_back(tree_.take(s.path, next));
      s.kv.length += kPagePositions;
    }
  }
  if (pages_owed() + s.pages_promised - s.kv.pages.size() <= tree_.pages_available()) return true;
  release(s);
  return false;
}

void Scheduler::refuse(Sequence& s) {
  const auto mib = [](uint64_t bytes) { return std::to_string(bytes >> 20); };
  s.answer->job.sink->on_event(
      chat::Failed{{Code::kLimit,
                    "this request may need " + mib(s.pages_promised * parts_.cache.shape().page_bytes()) +
                        " MiB of key-value cache, the limit is " + mib(parts_.cache.bytes_max()) +
                        " MiB; ask for fewer tokens or raise own_engine.kv_bytes_max",
                    {}}});
  s.answer->job.cancel.cancel();
  std::erase_if(waiting_, [](const auto& w) { return w->is_cancelled(); });
}

// Promised and not yet taken.
uint64_t Scheduler::pages_owed() const {
  uint64_t pages = 0;
  for (const auto& s : running_) pages += s->pages_promised - s->kv.pages.size();
  return pages;
}

// Every sequence that needs a page beyond its promise now gets one more, or the youngest open-ended one is
// put back, which may be itself.
void Scheduler::make_growth_possible() {
  for (size_t i = 0; i < running_.size();) {
    Sequence& s = *running_[i];
    if (!s.is_decoding() || s.kv.length / kPagePositions < s.pages_promised) {
      ++i;
      continue;
    }
    if (pages_owed() < tree_.pages_available()) {
      ++s.pages_promised;
      ++i;
      continue;
    }
    size_t youngest = running_.size() - 1;
    while (!running_[youngest]->is_open_ended) --youngest;  // s is
    put_back(youngest);
  }
}

void Scheduler::put_back(size_t index) {
  Sequence& s = *running_[index];
  release(s);
  if (s.generated() == 0) s.prompt_reports.clear();
  s.is_put_back = true;
  waiting_.push_front(std::move(running_[index]));
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  ++totals_.preemptions_total;
}

void Scheduler::release(Sequence& s) {
  if (s.path.is_open()) {
    const size_t begin = s.kv.shared() * kPagePositions;
    if (s.kv.own.size() == 1 && s.kv.length > begin) {
      s.kv.pages.pop_back();
      tree_.keep_partial(s.path, std::span<const Token>(s.tokens).subspan(begin, s.kv.length - begin),
                         std::move(s.kv.own.back()));
      s.kv.own.pop_back();
    }
    tree_.close(s.path);
  }
  s.kv.release(parts_.cache);
  s.pages_promised = 0;
}

void Scheduler::publish() {
  const std::lock_guard lock(mutex_);
  const uint64_t cached = tree_.pages_idle() * parts_.cache.shape().page_bytes();
  stats_ = totals_;
  stats_.running = static_cast<int>(running_.size());
  stats_.waiting = static_cast<int>(waiting_.size());
  stats_.held = static_cast<int>(held_.size());
  stats_.kv_bytes_used = parts_.cache.bytes_used() - cached;
  stats_.kv_bytes_cached = cached;
}

}  // namespace cresset::engine
