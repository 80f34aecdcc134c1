#include "engine/run/scheduler.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace cresset::engine {
namespace {

// Positions that an open-ended answer is promised at a time.
constexpr size_t kGrowthPositions = 4 * kPagePositions;
// Prompt rows a step where each row's logits are wanted: for the memory's sake.
constexpr size_t kReportedRows = 32;

uint64_t pages_for(size_t positions) {
  return (positions + kPagePositions - 1) / kPagePositions;
}

}  // namespace

struct Scheduler::Batch {
  std::vector<Run> runs;
  std::vector<Sequence*> of_run;
  std::vector<Token> tokens;
  std::vector<size_t> logit_rows;
  size_t decodes = 0;
  size_t prompt_tokens() const { return tokens.size() - decodes; }
};

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
  wake_.wait(lock, [&] {
    return is_stopping_ || !incoming_.empty() || !calls_.empty() || !running_.empty() || !waiting_.empty();
  });
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
  for (auto& s : running_) {
    if (!s->is_cancelled()) continue;
    release(*s);
    s->is_done = true;
  }
  return std::erase_if(running_, [](const auto& s) { return s->is_done; });
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
    s.answer->has_begun = true;
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

// ---- a step

void Scheduler::step() {
  make_growth_possible();
  Batch batch;
  for (auto& s : running_) {
    if (s->is_decoding()) add_run(batch, *s, 1);
  }
  batch.decodes = batch.tokens.size();
  plan_prompts(batch);
  if (batch.tokens.empty()) return;  // all were put back
  const size_t stride = parts_.forward.logits_stride();
  logits_.resize(std::max<size_t>(1, batch.logit_rows.size()) * stride);
  const sys::Instant begun = parts_.clock.now();
  parts_.forward.run(parts_.pool, batch.runs, batch.tokens, batch.logit_rows, logits_.data());
  answer(batch);
  pace_.learn(batch.decodes, batch.prompt_tokens(),
              std::chrono::duration<double>(parts_.clock.now() - begun).count());
  ++totals_.steps_total;
}

// Shares the step's prompt tokens out: the oldest prompt gets half, and what the others leave.
void Scheduler::plan_prompts(Batch& batch) {
  std::vector<std::pair<size_t, size_t>> order;  // tokens left, age: the oldest first, then the shortest
  std::vector<Sequence*> by_age;
  for (auto& s : running_) {
    if (s->is_decoding()) continue;
    order.emplace_back(s->remaining(), by_age.size());
    by_age.push_back(s.get());
  }
  if (order.empty()) return;
  std::sort(order.begin() + 1, order.end());
  std::vector<Sequence*> prompts;
  for (const auto& [left, age] : order) prompts.push_back(by_age[age]);
  size_t budget = std::min(options_.step_tokens_max - batch.decodes, pace_.prompt_tokens(batch.decodes));
  std::vector<size_t> rows(prompts.size());
  rows[0] = plan_prompt(*prompts[0], prompts.size() == 1 ? budget : (budget + 1) / 2);
  budget -= rows[0];
  for (size_t i = 1; i < prompts.size() && budget > 0; ++i) {
    rows[i] = plan_prompt(*prompts[i], budget);
    budget -= rows[i];
  }
  if (rows[0] > 0 && budget > 0) {
    if (const size_t more = plan_prompt(*prompts[0], rows[0] + budget); more > 0) rows[0] = more;
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (rows[i] > 0) add_run(batch, *prompts[i], rows[i]);
  }
}

// How many rows the sequence computes next, and claims their pages; 0: it waits for another's page.
size_t Scheduler::plan_prompt(Sequence& s, size_t rows_max) {
  if (s.wants_prompt_reports()) return std::min({s.remaining(), rows_max, kReportedRows});
  if (rows_max == 0 || !take_prefix(s)) return 0;
  size_t end = s.kv.length + std::min(s.remaining(), rows_max);
  // Whole pages, where there is one, so that others can go on with them.
  if (const size_t border = end / kPagePositions * kPagePositions;
      end < s.tokens.size() && border > s.kv.length)
    end = border;
  for (size_t page = s.path.pages() + s.path.claims();
       page * kPagePositions < end && (page + 1) * kPagePositions <= s.tokens.size(); ++page) {
    if (!tree_.claim(s.path, s.page_tokens(page))) break;
  }
  return end - s.kv.length;
}

// Moves the sequence on over all pages that are there; false: the next one is being computed.
bool Scheduler::take_prefix(Sequence& s) {
  if (!s.kv.own.empty() || s.path.claims() > 0) return true;
  for (;;) {
    const std::span<const Token> next = s.next_page();
    switch (tree_.look(s.path, next)) {
      case PrefixTree::Next::kClaimed:
        return false;
      case PrefixTree::Next::kStored:
        s.kv.pages.push_back(tree_.take(s.path, next));
        s.kv.length += kPagePositions;
        continue;
      case PrefixTree::Next::kAbsent:
        break;
    }
    size_t positions = 0;
    if (auto page = tree_.begin_page(s.path, next, positions)) {
      s.kv.add_own(std::move(page));
      s.kv.length += positions;
    }
    return true;
  }
}

void Scheduler::add_run(Batch& batch, Sequence& s, size_t rows) {
  const size_t first = s.kv.length, end = first + rows;
  if (s.path.is_open() && s.counted == 0) totals_.prefix_queries_total += s.prompt_size;
  totals_.prefix_hits_total += s.count_cached(rows);
  const uint64_t pages = pages_for(end);
  if (pages > s.kv.pages.size()) CHECK(tree_.make_room(pages - s.kv.pages.size()));  // as promised
  s.kv.reserve(parts_.cache, end);
  if (s.generated() == 0) totals_.prompt_tokens_total += rows;
  const size_t first_row = batch.tokens.size();
  batch.runs.push_back({&s.kv, first_row, rows});
  batch.of_run.push_back(&s);
  for (size_t i = 0; i < rows; ++i) {
    const bool is_reported = s.wants_prompt_reports() && s.generated() == 0;
    if (is_reported || first + i + 1 == s.tokens.size()) batch.logit_rows.push_back(first_row + i);
  }
  const auto from = s.tokens.begin() + static_cast<std::ptrdiff_t>(first);
  batch.tokens.insert(batch.tokens.end(), from, from + static_cast<std::ptrdiff_t>(rows));
}

// Sampling is independent for each sequence: it is spread over the pool, then the events are sent in order.
void Scheduler::answer(Batch& batch) {
  const size_t stride = parts_.forward.logits_stride(), runs = batch.runs.size();
  std::vector<std::vector<chat::Event>> events(runs);
  std::vector<size_t> first_logit(runs + 1, 0);
  for (size_t r = 0, i = 0; r < runs; ++r) {
    while (i < batch.logit_rows.size() && batch.logit_rows[i] < batch.runs[r].first_row + batch.runs[r].rows)
      ++i;
    first_logit[r + 1] = i;
  }
  parts_.pool.run([&](Worker& worker) {
    worker.parallel_for(runs, 1, [&](size_t begin, size_t end) {
      for (size_t r = begin; r < end; ++r) {
        const size_t rows = first_logit[r + 1] - first_logit[r];
        if (rows == 0) continue;
        Sequence& s = *batch.of_run[r];
        float* at = logits_.data() + first_logit[r] * stride;
        if (s.wants_prompt_reports() && s.generated() == 0) {
          s.report_prompt(parts_.tokenizer, s.kv.length - rows, {at, rows * stride}, rows, stride,
                          parts_.vocabulary);
        }
        if (s.kv.length == s.tokens.size())
          s.handle_logits(parts_.tokenizer, {at + (rows - 1) * stride, parts_.vocabulary}, events[r]);
      }
    });
  });
  for (size_t r = 0; r < runs; ++r) {
    Sequence& s = *batch.of_run[r];
    if (s.tokens.size() > s.kv.length && first_logit[r + 1] > first_logit[r] && s.generated() > 0)
      ++totals_.generated_tokens_total;
    share_full_pages(s);
    send(*s.answer, events[r]);
    if (s.is_done) release(s);
  }
  std::erase_if(running_, [](const auto& s) { return s->is_done; });
}

void Scheduler::share_full_pages(Sequence& s) {
  if (!s.path.is_open()) return;
  while (!s.kv.own.empty() && (s.kv.shared() + 1) * kPagePositions <= s.kv.length) {
    const size_t page = s.kv.shared();
    std::unique_ptr<KvPage> full = std::move(s.kv.own.front());
    s.kv.own.erase(s.kv.own.begin());
    s.kv.pages[page] = tree_.store(s.path, s.page_tokens(page), std::move(full));
  }
}

// To the sink: Started once before an answer's first event, and nothing after the answer failed or its reader
// left.
void Scheduler::send(Answer& answer, std::vector<chat::Event>& events) {
  if (events.empty() || answer.job.cancel.is_cancelled()) return;
  if (!answer.is_started) {
    answer.is_started = true;
    answer.job.sink->on_event(chat::Started{{answer.prompt_tokens, answer.cached_tokens, 0}});
  }
  for (chat::Event& event : events) answer.job.sink->on_event(std::move(event));
}

void Scheduler::publish() {
  const std::lock_guard lock(mutex_);
  const uint64_t cached = tree_.pages_idle() * parts_.cache.shape().page_bytes();
  stats_ = totals_;
  stats_.running = static_cast<int>(running_.size());
  stats_.waiting = static_cast<int>(waiting_.size());
  stats_.kv_bytes_used = parts_.cache.bytes_used() - cached;
  stats_.kv_bytes_cached = cached;
}

}  // namespace cresset::engine
