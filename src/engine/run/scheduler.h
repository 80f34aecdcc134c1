// Scheduler: the engine's leader thread. Each step it gathers one batch - every decoding sequence's next
// token first, then prompts in chunks - runs the forward pass, samples, and sends the events.
//
// Memory, by rule. A sequence starts when the pages that it has to have are free, or can be made free by
// dropping cached ones: those of its prompt and its longest answer, less what the prefix tree shares with it.
// Such a sequence is never stopped. Only where no longest answer was asked for is one step of it promised,
// and more as it grows; when there is no more, the youngest of these sequences goes back to the head of the
// queue and is computed again later, mostly from the pages that it leaves in the tree (a pre-emption).
//
// A sequence whose reader is behind is set aside between two steps: its pages stay in the tree as cached
// ones, so it holds up nobody's memory, and it goes back to the head of the queue when its reader has caught
// up.
//
// Speculation. A step that has no prompts may give a decoding sequence more than one row: its next token and
// a draft of what follows (draft.h). Rows count as far as the answer goes the drafted way; the positions of
// the others are forgotten.
//
// Order. Who of those that wait is next, and who is refused when too many do: run/queue.h. Of a step's prompt
// tokens (step_pace.h), the oldest prompt has half, the shortest go first with the rest. Threads: submit,
// call and stats from any thread; all else on the leader.
//
// scheduler.cc has the queue, admission and memory; scheduler_step.cc has a step.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/model/forward.h"
#include "engine/run/kv_cache.h"
#include "engine/run/pool.h"
#include "engine/run/prefix_tree.h"
#include "engine/run/queue.h"
#include "engine/run/sequence.h"
#include "engine/run/speculation.h"
#include "engine/run/step_pace.h"
#include "engine/token/tokenizer.h"
#include "sys/env.h"

namespace cresset::engine {

// A job whose prompts are token ids.
struct PreparedJob {
  Job job;
  std::vector<std::vector<Token>> prompts;  // each at least one token and shorter than the context
  uint64_t seed = 0;
  sys::Instant arrived{};  // set by submit
};

struct SchedulerOptions {
  size_t context = 0;
  size_t sequences_max = 64;
  size_t queue_max = 512;
  size_t step_tokens_max = 512;
  bool speculation = true;
};

// What the scheduler works with; all outlive it.
struct SchedulerParts {
  sys::Env& clock;
  Pool& pool;
  Forward& forward;
  KvCache& cache;
  const Tokenizer& tokenizer;
  const Kernels& kernels;
  size_t vocabulary;
};

class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, const SchedulerParts& parts);
  ~Scheduler();

  // kUnavailable when as many sequences as may run and wait have arrived since the last step. A job that
  // finds no room in the queue afterwards is told so at its sink.
  Status submit(PreparedJob job);
  // Runs `work` on the leader between steps and waits for it.
  void call(const std::function<void()>& work);
  // Within a call: drops cached pages until so many are free, as far as there are.
  void make_room(uint64_t pages) { static_cast<void>(tree_.make_room(pages)); }
  EngineStats stats() const;

 private:
  struct Batch;

  void lead();
  bool collect();
  size_t drop_cancelled();
  void set_held_aside();
  std::vector<Waiter> list_waiting() const;
  size_t choose_next() const;
  void admit();
  void shorten_queue();
  void plan_answer(Sequence& s) const;
  bool try_admit(Sequence& s);
  void refuse(Sequence& s);
  uint64_t pages_owed() const;
  void make_growth_possible();
  void put_back(size_t index);
  void release(Sequence& s);

  void step();
  uint64_t pages_of_step() const;
  void plan_prompts(Batch& batch);
  size_t plan_prompt(Sequence& s, size_t rows_max);
  bool take_prefix(Sequence& s);
  std::vector<Draft> plan_drafts();
  void add_run(Batch& batch, Sequence& s, size_t rows, Draft draft = {});
  void answer(Batch& batch);
  void settle_draft(Sequence& s, const Draft& draft, size_t known);
  void share_full_pages(Sequence& s);
  void send(Answer& answer, std::vector<chat::Event>& events);
  void publish();

  const SchedulerOptions options_;
  SchedulerParts parts_;
  PrefixTree tree_;
  StepPace pace_;
  Speculation speculation_;
  EndRate ends_;

  std::vector<std::unique_ptr<Sequence>> running_;  // in the order of admission
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> held_;
  std::vector<float> logits_;
  EngineStats totals_;  // the leader's; stats_ follows after each step

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<PreparedJob> incoming_;
  std::deque<const std::function<void()>*> calls_;
  std::condition_variable called_;
  size_t incoming_sequences_ = 0;
  EngineStats stats_;
  bool is_stopping_ = false;
  std::thread leader_;
};

}  // namespace cresset::engine
