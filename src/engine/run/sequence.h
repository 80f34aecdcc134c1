// Sequence: one prompt's one choice on its way through the scheduler: its tokens, its pages, and what its
// answer says so far. Owned by the engine's leader; the threads of the pool call handle_logits for different
// sequences at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/kernel/kernels.h"
#include "engine/run/answer_text.h"
#include "engine/run/draft.h"
#include "engine/run/kv_cache.h"
#include "engine/run/prefix_tree.h"
#include "engine/run/sampler.h"
#include "engine/run/speculation.h"
#include "engine/token/tokenizer.h"
#include "sys/env.h"

namespace cresset::engine {

// One submitted job, shared by its sequences.
struct Answer {
  Job job;
  int prompt_tokens = 0;  // of all prompts
  int cached_tokens = 0;  // of these, not computed for this answer
  bool is_started = false;
  bool has_begun = false;  // a sequence of it was admitted
  sys::Instant arrived{}, begun{};
};

struct Sequence {
  Sequence(std::shared_ptr<Answer> answer, int choice, std::vector<Token> prompt, uint64_t seed,
           const Kernels& kernels);

  const chat::Request& request() const { return answer->job.request; }
  const std::string& tenant() const { return request().tenant; }
  bool is_cancelled() const { return answer->job.cancel.is_cancelled(); }
  bool is_held() const { return answer->job.hold.is_held(); }
  bool wants_reports() const { return request().logprobs; }
  // Needs the logits of every row of its prompt, so it can take no page and shares none.
  bool wants_prompt_reports() const { return request().echo && request().logprobs; }
  size_t generated() const { return tokens.size() - prompt_size; }
  bool is_decoding() const { return generated() > 0 && kv.length + 1 == tokens.size(); }
  // Tokens to compute until the next one can be sampled.
  size_t remaining() const { return tokens.size() - kv.length; }
  // Tokens beyond the next one that its answer and its promised pages have room for.
  size_t draft_room() const;
  // The tokens of the page that begins at its length, as far as it may be taken: the last token is always
  // computed, for its logits.
  std::span<const Token> next_page() const;
  std::span<const Token> page_tokens(size_t page) const;

  // Before `rows` more are computed: counts what was not, so far. Returns how many prompt tokens that is.
  size_t count_cached(size_t rows);

  // Reports on the prompt's tokens: row i of `logits` is the distribution after position first + i.
  void report_prompt(const Tokenizer& tokenizer, size_t first, std::span<float> logits, size_t rows,
                     size_t stride, size_t vocabulary);
  // Chooses the next token and appends what is to be told to `events`.
  void handle_logits(const Tokenizer& tokenizer, std::span<float> logits, std::vector<chat::Event>& events);
  void finish(chat::FinishReason reason, std::vector<chat::Event>& events);

  std::shared_ptr<Answer> answer;
  int choice;
  std::vector<Token> tokens;  // prompt, then answer
  size_t prompt_size;
  size_t tokens_max = 0;        // of the answer
  bool is_open_ended = false;   // no tokens_max was asked for: its pages are promised piece by piece
  uint64_t pages_promised = 0;  // it may have so many in all
  KvSequence kv;
  PrefixTree::Path path;
  size_t counted = 0;  // positions known to be cached or computed for this sequence
  Sampler sampler;
  AnswerText text;
  DraftIndex drafts;
  DraftRecord draft_record;
  std::vector<chat::TokenReport> prompt_reports;
  bool is_put_back = false;  // once: it goes first
  bool is_done = false;
};

}  // namespace cresset::engine
