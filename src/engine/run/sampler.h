// Sampler: from a row of logits to the next token, for one sequence.
//
// Order: logit bias, then the penalties, then temperature, then top-k, top-p, min-p, then one draw. The draw
// depends on (seed, choice, how many tokens were drawn) alone, so the same request gives the same tokens
// under any load. Never sorts the vocabulary.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "chat/event.h"
#include "chat/request.h"
#include "engine/kernel/kernels.h"
#include "engine/token/vocabulary.h"

namespace cresset::engine {

// What is used where a request does not say: mild enough for small models, and documented in docs/CONFIG.md.
constexpr double kDefaultTemperature = 0.7;
constexpr double kDefaultTopP = 0.95;

class Sampler {
 public:
  Sampler(const chat::Sampling& sampling, uint64_t seed, int choice, const Kernels& kernels);

  // The prompt counts for the repetition penalty only; generated tokens for all three.
  void see_prompt(std::span<const Token> tokens);
  void accept(Token token);

  // Chooses from `logits` (changed in place). Tokens in `banned` are never chosen.
  Token choose(std::span<float> logits, std::span<const Token> banned);

  // The log-probabilities of `token` and of the `top` most probable, from unchanged logits.
  // `bytes` are left empty.
  chat::TokenReport report(std::span<const float> logits, Token token, int top) const;

 private:
  struct Candidate {
    float weight;  // exp((logit - maximum) / temperature)
    Token token;
  };
  void penalise(std::span<float> logits) const;
  Token draw(std::span<float> logits);
  void keep_likely(double all);
  static Token draw_from(std::span<const Candidate> candidates, double point);
  double next_uniform();

  const Kernels& kernels_;
  double temperature_, top_p_, min_p_, repetition_, presence_, frequency_;
  int top_k_;
  std::vector<std::pair<int32_t, double>> bias_;
  uint64_t state_, draws_ = 0;
  struct Count {
    int in_answer = 0;
  };
  std::unordered_map<Token, Count> seen_;
  std::vector<float> weights_;
  std::vector<Candidate> candidates_, ranked_;
  mutable std::vector<float> scratch_;
};

}  // namespace cresset::engine
