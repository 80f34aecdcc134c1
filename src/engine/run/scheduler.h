// Scheduler: the engine's leader thread. Each step it gathers one batch - every decoding sequence's next
// token first, then prompts in chunks - runs the forward pass, samples, and sends the events.
//
// Admission states its memory first: a sequence starts when the pages for its prompt and its longest answer
// are free, so nothing that runs is ever stopped for memory. First come, first served. Threads: submit, call
// and stats from any thread; all else on the leader.
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
#include "engine/run/answer_text.h"
#include "engine/run/kv_cache.h"
#include "engine/run/pool.h"
#include "engine/run/sampler.h"
#include "engine/token/tokenizer.h"

namespace cresset::engine {

// A job whose prompts are token ids.
struct PreparedJob {
  Job job;
  std::vector<std::vector<Token>> prompts;  // each at least one token and shorter than the context
  uint64_t seed = 0;
};

struct SchedulerOptions {
  size_t context = 0;
  size_t sequences_max = 64;
  size_t queue_max = 512;
  size_t step_tokens_max = 512;
  size_t step_tokens_beside_decode = 128;  // prompt tokens of a step in which others are decoding
};

class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, Pool& pool, Forward& forward, KvCache& cache,
            const Tokenizer& tokenizer, const Kernels& kernels, size_t vocabulary);
  ~Scheduler();

  // kUnavailable when queue_max sequences wait.
  Status submit(PreparedJob job);
  // Runs `work` on the leader between steps and waits for it.
  void call(const std::function<void()>& work);
  EngineStats stats() const;
  Status check_queue() const;

 private:
  struct Answer;    // one submitted job
  struct Sequence;  // one prompt's one choice

  void lead();
  bool collect();
  void admit();
  void drop_cancelled();
  void step();
  void send(Answer& answer, std::vector<chat::Event>& events);
  void handle_logits(Sequence& sequence, std::span<float> logits, std::vector<chat::Event>& events);
  void finish(Sequence& sequence, chat::FinishReason reason, std::vector<chat::Event>& events);
  void report_prompt(Sequence& sequence, size_t first, std::span<float> logits, size_t rows);
  void release(Sequence& sequence);
  void publish();

  const SchedulerOptions options_;
  Pool& pool_;
  Forward& forward_;
  KvCache& cache_;
  const Tokenizer& tokenizer_;
  const Kernels& kernels_;
  const size_t vocabulary_;

  std::vector<std::unique_ptr<Sequence>> running_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  uint64_t pages_promised_ = 0;  // by running sequences, taken or not
  std::vector<float> logits_;

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
