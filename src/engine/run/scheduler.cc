#include "engine/run/scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/text.h"

namespace cresset::engine {

struct Scheduler::Answer {
  Job job;
  int prompt_tokens = 0;  // of all prompts
  bool is_started = false;
};

struct Scheduler::Sequence {
  Sequence(std::shared_ptr<Answer> a, int c, std::vector<Token> prompt, uint64_t seed, const Kernels& kernels)
      : answer(std::move(a)),
        choice(c),
        tokens(std::move(prompt)),
        prompt_size(tokens.size()),
        sampler(answer->job.request.sampling, seed, c, kernels),
        text(answer->job.request.stop) {
    sampler.see_prompt(tokens);
  }
  const chat::Request& request() const { return answer->job.request; }
  bool wants_reports() const { return request().logprobs; }
  bool wants_prompt_reports() const { return request().echo && request().logprobs; }
  size_t generated() const { return tokens.size() - prompt_size; }

  std::shared_ptr<Answer> answer;
  int choice;
  std::vector<Token> tokens;  // prompt, then answer
  size_t prompt_size;
  size_t tokens_max = 0;  // of the answer
  uint64_t pages = 0;     // promised
  KvSequence kv;
  Sampler sampler;
  AnswerText text;
  std::vector<chat::TokenReport> prompt_reports;
  bool is_done = false;
};

Scheduler::Scheduler(const SchedulerOptions& options, Pool& pool, Forward& forward, KvCache& cache,
                     const Tokenizer& tokenizer, const Kernels& kernels, size_t vocabulary)
    : options_(options),
      pool_(pool),
      forward_(forward),
      cache_(cache),
      tokenizer_(tokenizer),
      kernels_(kernels),
      vocabulary_(vocabulary) {
  stats_.kv_bytes_max = cache.bytes_max();
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

Status Scheduler::check_queue() const {
  const std::lock_guard lock(mutex_);
  const size_t waiting = static_cast<size_t>(stats_.waiting) + incoming_sequences_;
  if (waiting >= options_.queue_max) {
    return fail(Code::kUnavailable,
                "the queue is full: " + std::to_string(waiting) + " requests wait; try again shortly");
  }
  return {};
}

Status Scheduler::submit(PreparedJob job) {
  CRESSET_TRY_STATUS(check_queue());
  {
    const std::lock_guard lock(mutex_);
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
    drop_cancelled();
    admit();
    if (!running_.empty()) step();
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
    for (const auto& prompt : prepared.prompts) answer->prompt_tokens += static_cast<int>(prompt.size());
    int choice = 0;
    for (const auto& prompt : prepared.prompts) {
      for (int c = 0; c < choices; ++c) {
        waiting_.push_back(std::make_unique<Sequence>(answer, choice++, prompt, prepared.seed, kernels_));
      }
    }
  }
  incoming_.clear();
  incoming_sequences_ = 0;
  stats_.waiting = static_cast<int>(waiting_.size());
  return true;
}

void Scheduler::drop_cancelled() {
  std::erase_if(waiting_, [](const auto& s) { return s->answer->job.cancel.is_cancelled(); });
  for (auto& s : running_) {
    if (!s->answer->job.cancel.is_cancelled()) continue;
    release(*s);
    s->is_done = true;
  }
  std::erase_if(running_, [](const auto& s) { return s->is_done; });
}

void Scheduler::admit() {
  while (!waiting_.empty() && running_.size() < options_.sequences_max) {
    Sequence& s = *waiting_.front();
    const size_t room = options_.context - s.prompt_size;
    s.tokens_max =
        s.request().tokens_max ? std::min(room, static_cast<size_t>(*s.request().tokens_max)) : room;
    // The last token of an answer is never fed back: its key is not needed.
    const size_t positions = s.prompt_size + (s.tokens_max > 0 ? s.tokens_max - 1 : 0);
    s.pages = (positions + kPagePositions - 1) / kPagePositions;
    if (s.pages > cache_.pages_max()) {
      s.answer->job.sink->on_event(chat::Failed{
          {Code::kLimit,
           "this request may need " + std::to_string(s.pages * cache_.shape().page_bytes() >> 20) +
               " MiB of key-value cache, the limit is " + std::to_string(cache_.bytes_max() >> 20) +
               " MiB; ask for fewer tokens or raise own_engine.kv_bytes_max",
           {}}});
      s.answer->job.cancel.cancel();
      std::erase_if(waiting_, [](const auto& w) { return w->answer->job.cancel.is_cancelled(); });
      continue;
    }
    if (pages_promised_ + s.pages > cache_.pages_max()) return;
    pages_promised_ += s.pages;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Scheduler::release(Sequence& sequence) {
  sequence.kv.release(cache_);
  pages_promised_ -= sequence.pages;
  sequence.pages = 0;
}

void Scheduler::step() {
  std::vector<Run> runs;
  std::vector<Sequence*> of_run;
  std::vector<Token> batch;
  std::vector<size_t> logit_rows;
  const auto add_run = [&](Sequence& s, size_t rows) {
    const size_t first = s.kv.length;
    s.kv.reserve(cache_, first + rows);
    runs.push_back({&s.kv, batch.size(), rows});
    of_run.push_back(&s);
    const bool is_last = first + rows == s.tokens.size();
    for (size_t i = 0; i < rows; ++i) {
      if (s.wants_prompt_reports() ? first + i < s.prompt_size : false) {
        logit_rows.push_back(batch.size() + i);
      } else if (is_last && i + 1 == rows) {
        logit_rows.push_back(batch.size() + i);
      }
    }
    batch.insert(batch.end(), s.tokens.begin() + static_cast<std::ptrdiff_t>(first),
                 s.tokens.begin() + static_cast<std::ptrdiff_t>(first + rows));
  };
  for (auto& s : running_) {
    if (s->kv.length + 1 == s->tokens.size() && s->generated() > 0 && batch.size() < options_.step_tokens_max)
      add_run(*s, 1);
  }
  const size_t budget =
      batch.empty() ? options_.step_tokens_max
                    : std::min(options_.step_tokens_max, batch.size() + options_.step_tokens_beside_decode);
  for (auto& s : running_) {
    if (s->generated() > 0 || batch.size() >= budget) continue;
    // Reports of a prompt need the logits of every row: in small pieces, for the memory's sake.
    const size_t most =
        s->wants_prompt_reports() ? std::min<size_t>(32, budget - batch.size()) : budget - batch.size();
    add_run(*s, std::min(s->prompt_size - s->kv.length, most));
  }
  const size_t stride = forward_.logits_stride();
  logits_.resize(std::max<size_t>(1, logit_rows.size()) * stride);
  std::vector<size_t> first_position;
  size_t prompt_tokens = 0;
  for (size_t r = 0; r < runs.size(); ++r) {
    first_position.push_back(runs[r].sequence->length);
    if (of_run[r]->generated() == 0) prompt_tokens += runs[r].rows;
  }
  forward_.run(pool_, runs, batch, logit_rows, logits_.data());

  // Sampling is independent for each sequence: spread it over the pool, then send the events in order.
  std::vector<std::vector<chat::Event>> events(runs.size());
  std::vector<size_t> first_logit(runs.size() + 1, 0);
  for (size_t r = 0, i = 0; r < runs.size(); ++r) {
    while (i < logit_rows.size() && logit_rows[i] < runs[r].first_row + runs[r].rows) ++i;
    first_logit[r + 1] = i;
  }
  pool_.run([&](Worker& worker) {
    worker.parallel_for(runs.size(), 1, [&](size_t begin, size_t end) {
      for (size_t r = begin; r < end; ++r) {
        const size_t rows = first_logit[r + 1] - first_logit[r];
        if (rows == 0) continue;
        Sequence& s = *of_run[r];
        float* at = logits_.data() + first_logit[r] * stride;
        if (s.wants_prompt_reports() && s.generated() == 0) {
          report_prompt(s, first_position[r], {at, rows * stride}, rows);
        }
        if (s.kv.length == s.tokens.size())
          handle_logits(s, {at + (rows - 1) * stride, vocabulary_}, events[r]);
      }
    });
  });
  size_t generated = 0;
  for (size_t r = 0; r < runs.size(); ++r) {
    Sequence& s = *of_run[r];
    if (s.generated() > 0 && s.tokens.size() > s.kv.length) ++generated;
    send(*s.answer, events[r]);
    if (s.is_done) release(s);
  }
  std::erase_if(running_, [](const auto& s) { return s->is_done; });
  const std::lock_guard lock(mutex_);
  ++stats_.steps_total;
  stats_.generated_tokens_total += generated;
  stats_.prompt_tokens_total += prompt_tokens;
}

// To the sink: Started once before an answer's first event, and nothing after the answer failed or its reader
// left.
void Scheduler::send(Answer& answer, std::vector<chat::Event>& events) {
  if (events.empty() || answer.job.cancel.is_cancelled()) return;
  if (!answer.is_started) {
    answer.is_started = true;
    answer.job.sink->on_event(chat::Started{{answer.prompt_tokens, 0, 0}});
  }
  for (chat::Event& event : events) answer.job.sink->on_event(std::move(event));
}

// Log-probabilities of the prompt's tokens: row i of `logits` is the distribution after position first + i.
void Scheduler::report_prompt(Sequence& s, size_t first, std::span<float> logits, size_t rows) {
  const int top = s.request().top_logprobs;
  if (first == 0) {
    chat::TokenReport report;
    report.chosen = {s.tokens[0], tokenizer_.decode(s.tokens[0], true),
                     std::numeric_limits<double>::quiet_NaN()};
    s.prompt_reports.push_back(std::move(report));
  }
  for (size_t i = 0; i < rows && first + i + 1 < s.prompt_size; ++i) {
    chat::TokenReport report = s.sampler.report(logits.subspan(i * forward_.logits_stride(), vocabulary_),
                                                s.tokens[first + i + 1], top);
    report.chosen.bytes = tokenizer_.decode(report.chosen.token, true);
    for (auto& t : report.top) t.bytes = tokenizer_.decode(t.token, true);
    s.prompt_reports.push_back(std::move(report));
  }
}

void Scheduler::handle_logits(Sequence& s, std::span<float> logits, std::vector<chat::Event>& events) {
  const chat::Request& request = s.request();
  if (request.echo && s.generated() == 0) {
    chat::TextDelta echo{s.choice, {}, std::move(s.prompt_reports)};
    std::string bytes;
    for (size_t i = 0; i < s.prompt_size; ++i) bytes += tokenizer_.decode(s.tokens[i], false);
    echo.text = to_valid_utf8(bytes);  // a prompt of token ids may hold half a character
    events.push_back(std::move(echo));
  }
  if (s.tokens_max == 0) return finish(s, chat::FinishReason::kLength, events);
  std::vector<float> original;
  if (s.wants_reports()) original.assign(logits.begin(), logits.end());
  const bool ends_banned = request.ignore_eos || static_cast<int>(s.generated()) < request.tokens_min;
  const auto& ends = tokenizer_.vocabulary().ends;
  const Token token =
      s.sampler.choose(logits, ends_banned ? std::span<const Token>(ends) : std::span<const Token>());
  if (tokenizer_.is_end(token)) return finish(s, chat::FinishReason::kStop, events);
  s.sampler.accept(token);
  s.tokens.push_back(token);
  std::optional<chat::TokenReport> report;
  const std::string bytes = tokenizer_.decode(token, false);
  if (s.wants_reports()) {
    report = s.sampler.report(original, token, request.top_logprobs);
    report->chosen.bytes = bytes;
    for (auto& t : report->top) t.bytes = tokenizer_.decode(t.token, true);
  }
  if (s.text.add(bytes, std::move(report))) return finish(s, chat::FinishReason::kStop, events);
  if (s.generated() >= s.tokens_max) return finish(s, chat::FinishReason::kLength, events);
  chat::TextDelta delta = s.text.take();
  if (!delta.text.empty() || !delta.tokens.empty()) {
    delta.choice = s.choice;
    events.push_back(std::move(delta));
  }
}

void Scheduler::finish(Sequence& s, chat::FinishReason reason, std::vector<chat::Event>& events) {
  chat::TextDelta delta = s.text.finish();
  if (!delta.text.empty() || !delta.tokens.empty()) {
    delta.choice = s.choice;
    events.push_back(std::move(delta));
  }
  events.push_back(chat::Finished{
      s.choice, reason, {static_cast<int>(s.prompt_size), 0, static_cast<int>(s.generated())}});
  s.is_done = true;
}

void Scheduler::publish() {
  const std::lock_guard lock(mutex_);
  stats_.running = static_cast<int>(running_.size());
  stats_.waiting = static_cast<int>(waiting_.size());
  stats_.kv_bytes_used = cache_.bytes_used();
}

}  // namespace cresset::engine
