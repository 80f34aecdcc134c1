// Scheduler, the second half: one step, from the batch that it computes to the events that it sends.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "engine/run/scheduler.h"

namespace cresset::engine {
namespace {

// Prompt rows a step where each row's logits are wanted: for the memory's sake.
constexpr size_t kReportedRows = 32;
// Drafted tokens a step, of one sequence and of all, whose rows each need their logits too.
constexpr size_t kDraftedTokens = 24, kDraftedRows = 32;

}  // namespace

struct Scheduler::Batch {
  std::vector<Run> runs;
  std::vector<Sequence*> of_run;
  std::vector<Draft> drafts;  // of the runs; empty: none of it is a guess
  std::vector<Token> tokens;
  std::vector<size_t> logit_rows;
  size_t decodes = 0, drafted = 0;
  size_t prompt_tokens() const { return tokens.size() - decodes - drafted; }
};

void Scheduler::step() {
  make_growth_possible();
  parts_.cache.prepare(parts_.pool, parts_.clock, pages_of_step());
  Batch batch;
  std::vector<Draft> drafts = plan_drafts();
  for (auto& s : running_) {
    if (!s->is_decoding()) continue;
    add_run(batch, *s, 1, drafts.empty() ? Draft() : std::move(drafts[batch.decodes]));
    ++batch.decodes;
  }
  plan_prompts(batch);
  if (batch.tokens.empty()) return;  // all were put back
  const size_t stride = parts_.forward.logits_stride();
  logits_.resize(std::max<size_t>(1, batch.logit_rows.size()) * stride);
  const sys::Instant begun = parts_.clock.now();
  parts_.forward.run(parts_.pool, batch.runs, batch.tokens, batch.logit_rows, logits_.data());
  answer(batch);
  const double seconds = std::chrono::duration<double>(parts_.clock.now() - begun).count();
  if (batch.drafted == 0) pace_.learn(batch.decodes, batch.prompt_tokens(), seconds);
  if (batch.prompt_tokens() == 0) speculation_.learn(batch.decodes, batch.drafted, seconds);
  ++totals_.steps_total;
}

// That a step may take, at most, but for drafts.
uint64_t Scheduler::pages_of_step() const {
  uint64_t pages = 0, prompts = 0;
  for (const auto& s : running_) {
    if (s->is_decoding()) {
      pages += pages_for(s->kv.length + 1) - std::min(pages_for(s->kv.length + 1), s->kv.pages.size());
    } else {
      pages += pages_for(std::min(s->remaining(), options_.step_tokens_max));
      ++prompts;
    }
  }
  return std::min(pages, prompts + pages_for(options_.step_tokens_max) + (running_.size() - prompts));
}

// For each decoding sequence, in order; empty: nobody drafts. Beside prompts nobody does: their step's time
// is shared out already.
std::vector<Draft> Scheduler::plan_drafts() {
  std::vector<Draft> drafts;
  if (!options_.speculation) return drafts;
  for (const auto& s : running_) {
    if (!s->is_decoding()) return drafts;
  }
  std::vector<std::vector<double>> chances;
  for (auto& s : running_) {
    s->drafts.follow(s->tokens);
    drafts.push_back(s->drafts.find(s->tokens, std::min(kDraftedTokens, s->draft_room())));
    std::vector<double>& chance = chances.emplace_back();
    for (size_t i = 0; i < drafts.back().tokens.size(); ++i)
      chance.push_back(s->draft_record.chance(drafts.back().agreed + i));
  }
  const size_t rows_max = std::min(kDraftedRows, options_.step_tokens_max - running_.size());
  const std::vector<size_t> lengths = speculation_.plan(chances, rows_max);
  for (size_t i = 0; i < drafts.size(); ++i) drafts[i].tokens.resize(lengths[i]);
  return drafts;
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

// `rows` tokens that the sequence has, then the draft.
void Scheduler::add_run(Batch& batch, Sequence& s, size_t rows, Draft draft) {
  const size_t first = s.kv.length, drafted = draft.tokens.size(), end = first + rows + drafted;
  if (s.path.is_open() && s.counted == 0) totals_.prefix_queries_total += s.prompt_size;
  totals_.prefix_hits_total += s.count_cached(rows);
  const uint64_t pages = pages_for(end);
  if (pages > s.kv.pages.size()) CHECK(tree_.make_room(pages - s.kv.pages.size()));  // as promised
  s.kv.reserve(parts_.cache, end);
  if (s.generated() == 0) totals_.prompt_tokens_total += rows;
  const size_t first_row = batch.tokens.size();
  batch.runs.push_back({&s.kv, first_row, rows + drafted});
  batch.of_run.push_back(&s);
  batch.drafted += drafted;
  for (size_t i = 0; i < rows; ++i) {
    const bool is_reported = s.wants_prompt_reports() && s.generated() == 0;
    if (is_reported || first + i + 1 == s.tokens.size()) batch.logit_rows.push_back(first_row + i);
  }
  const auto from = s.tokens.begin() + static_cast<std::ptrdiff_t>(first);
  batch.tokens.insert(batch.tokens.end(), from, from + static_cast<std::ptrdiff_t>(rows));
  batch.tokens.insert(batch.tokens.end(), draft.tokens.begin(), draft.tokens.end());
  for (size_t i = 0; i < drafted; ++i) batch.logit_rows.push_back(first_row + rows + i);
  batch.drafts.push_back(std::move(draft));
}

// After a step with a draft, of which the answer has gone some of the way.
void Scheduler::settle_draft(Sequence& s, const Draft& draft, size_t known) {
  const size_t drafted = draft.tokens.size();
  if (drafted == 0) return s.draft_record.fade();
  // The last token chosen is not computed yet, and one that ends the answer is no part of it.
  size_t accepted = 0;
  while (accepted < drafted && known + accepted < s.tokens.size() &&
         s.tokens[known + accepted] == draft.tokens[accepted])
    ++accepted;
  s.draft_record.learn(draft.agreed, drafted, accepted);
  totals_.drafted_tokens_total += drafted;
  totals_.accepted_tokens_total += accepted;
  s.kv.trim(parts_.cache, known + accepted);
}

// Sampling is independent for each sequence: it is spread over the pool, then the events are sent in order.
void Scheduler::answer(Batch& batch) {
  const size_t stride = parts_.forward.logits_stride(), runs = batch.runs.size();
  std::vector<std::vector<chat::Event>> events(runs);
  std::vector<size_t> first_logit(runs + 1, 0), known(runs);
  for (size_t r = 0, i = 0; r < runs; ++r) {
    while (i < batch.logit_rows.size() && batch.logit_rows[i] < batch.runs[r].first_row + batch.runs[r].rows)
      ++i;
    first_logit[r + 1] = i;
    known[r] = batch.of_run[r]->tokens.size();
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
        if (s.kv.length < s.tokens.size()) continue;  // its prompt goes on
        const std::vector<Token>& draft = batch.drafts[r].tokens;
        for (size_t i = 0; i <= draft.size(); ++i) {
          float* row = at + (rows - 1 - draft.size() + i) * stride;
          s.handle_logits(parts_.tokenizer, {row, parts_.vocabulary}, events[r]);
          if (s.is_done || i == draft.size() || s.tokens.back() != draft[i]) break;
        }
      }
    });
  });
  for (size_t r = 0; r < runs; ++r) {
    Sequence& s = *batch.of_run[r];
    totals_.generated_tokens_total += s.tokens.size() - known[r];
    if (known[r] > s.prompt_size) settle_draft(s, batch.drafts[r], known[r]);
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
    chat::Started started{{answer.prompt_tokens, answer.cached_tokens, 0}};
    started.queue_s = std::chrono::duration<double>(answer.begun - answer.arrived).count();
    answer.job.sink->on_event(std::move(started));
  }
  for (chat::Event& event : events) answer.job.sink->on_event(std::move(event));
}

}  // namespace cresset::engine
