#include "engine/run/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cresset::engine {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): one mixing of a counter; a stream needs no state but its position.
uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ z >> 27) * 0x94D049BB133111EBull;
  return z ^ z >> 31;
}

// 1 / temperature at most: beyond it only the most probable token is left anyway, and infinity times 0 is not
// a number.
constexpr double kSharpest = 1e30;
// Weights relative to the most probable token's.
constexpr float kWeightBounds[kBounds] = {0.3f, 0.1f, 3e-2f, 1e-2f, 2e-3f, 4e-4f, 8e-5f, 1e-5f};
constexpr float kBanned = -std::numeric_limits<float>::infinity();

}  // namespace

Sampler::Sampler(const chat::Sampling& s, uint64_t seed, int choice, const Kernels& kernels)
    : kernels_(kernels),
      temperature_(s.temperature.value_or(kDefaultTemperature)),
      top_p_(s.top_p.value_or(kDefaultTopP)),
      min_p_(s.min_p.value_or(0)),
      repetition_(s.repetition_penalty.value_or(1)),
      presence_(s.presence_penalty.value_or(0)),
      frequency_(s.frequency_penalty.value_or(0)),
      top_k_(s.top_k.value_or(0)),
      bias_(s.logit_bias),
      state_(mix(seed) ^ mix(static_cast<uint64_t>(choice) + 0x9E3779B97F4A7C15ull)) {}

void Sampler::see_prompt(std::span<const Token> tokens) {
  if (repetition_ == 1) return;
  for (const Token t : tokens) seen_.try_emplace(t);
}

void Sampler::accept(Token token) {
  if (repetition_ == 1 && presence_ == 0 && frequency_ == 0) return;
  ++seen_[token].in_answer;
}

void Sampler::penalise(std::span<float> logits) const {
  for (const auto& [token, bias] : bias_) {
    if (token >= 0 && static_cast<size_t>(token) < logits.size())
      logits[static_cast<size_t>(token)] += static_cast<float>(bias);
  }
  for (const auto& [token, count] : seen_) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size()) continue;
    float& logit = logits[static_cast<size_t>(token)];
    const auto repetition = static_cast<float>(repetition_);
    logit = logit > 0 ? logit / repetition : logit * repetition;
    if (count.in_answer > 0) logit -= static_cast<float>(presence_ + frequency_ * count.in_answer);
  }
}

Token Sampler::choose(std::span<float> logits, std::span<const Token> banned) {
  penalise(logits);
  for (const Token t : banned) {
    if (t >= 0 && static_cast<size_t>(t) < logits.size()) logits[static_cast<size_t>(t)] = kBanned;
  }
  if (temperature_ > 0) return draw(logits);
  const float top = kernels_.maximum(logits.data(), logits.size());
  return static_cast<Token>(std::find(logits.begin(), logits.end(), top) - logits.begin()) %
         static_cast<Token>(logits.size());
}

double Sampler::next_uniform() {
  return static_cast<double>(mix(state_ + ++draws_ * 0x9E3779B97F4A7C15ull) >> 11) * 0x1.0p-53;
}

Token Sampler::draw(std::span<float> logits) {
  const size_t n = logits.size();
  weights_.resize(n);
  const float top = kernels_.maximum(logits.data(), n);
  const double all = static_cast<double>(kernels_.exp_sum(
      logits.data(), n, top, static_cast<float>(std::min(1.0 / temperature_, kSharpest)), weights_.data()));
  const double point = next_uniform();
  if (top_k_ > 0 || top_p_ < 1 || min_p_ > 0) {
    keep_likely(all);
    return draw_from(std::span<const Candidate>(candidates_), point);
  }
  double rest = point * all;
  size_t last = 0;
  for (size_t i = 0; i < n; ++i) {
    if (weights_[i] == 0) continue;
    last = i;
    rest -= static_cast<double>(weights_[i]);
    if (rest < 0) break;
  }
  return static_cast<Token>(last);
}

// candidates_: what top-k, top-p and min-p leave, in the order of the ids. `all`: the sum of weights_.
void Sampler::keep_likely(double all) {
  const auto least = static_cast<float>(std::max(0.0, min_p_));  // the maximum's weight is 1
  const size_t limit = top_k_ > 0 ? static_cast<size_t>(top_k_) : weights_.size();
  // What min-p drops may be left out at once, unless top-k comes first: top-p is a part of what top-k has
  // left.
  const float early = top_k_ > 0 ? 0.0f : least;
  // Nearly all of a vocabulary lies far below: those above a bound that are surely enough are looked at.
  size_t counts[kBounds];
  float sums[kBounds];
  kernels_.above(weights_.data(), weights_.size(), kWeightBounds, counts, sums);
  size_t bound = 0;
  const auto is_enough = [&](size_t count, double sum) {
    return count >= limit || (top_k_ <= 0 && top_p_ < 1 && sum >= top_p_ * all);
  };
  while (bound < kBounds && kWeightBounds[bound] >= early &&
         !is_enough(counts[bound], static_cast<double>(sums[bound])))
    ++bound;
  double sum = 0;
  for (;; ++bound) {
    const float above = bound < kBounds ? kWeightBounds[bound] : 0.0f;
    sum = 0;
    candidates_.clear();
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (!(weights_[i] > above && weights_[i] >= early)) continue;
      candidates_.push_back({weights_[i], static_cast<Token>(i)});
      sum += static_cast<double>(weights_[i]);
    }
    if (above <= early || is_enough(candidates_.size(), sum)) break;
  }
  // Most probable first, ties by id.
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
  };
  const auto cut_after = [&](const Candidate last) {
    std::erase_if(candidates_, [&](const Candidate& c) { return before(last, c); });
  };
  if (limit < candidates_.size()) {
    ranked_ = candidates_;
    const auto last = ranked_.begin() + static_cast<std::ptrdiff_t>(limit - 1);
    std::nth_element(ranked_.begin(), last, ranked_.end(), before);
    cut_after(*last);
  }
  if (top_p_ < 1) {
    double base = all;
    if (top_k_ > 0) {
      base = 0;
      for (const Candidate& c : candidates_) base += static_cast<double>(c.weight);
    }
    // The smallest number of the most probable that reach top_p of the base.
    ranked_ = candidates_;
    double before_first = 0;
    auto first = ranked_.begin(), end = ranked_.end();
    while (end - first > 1) {
      const auto middle = first + (end - first) / 2;
      std::nth_element(first, middle, end, before);
      double half = before_first;
      for (auto c = first; c != middle; ++c) half += static_cast<double>(c->weight);
      if (half >= top_p_ * base) {
        end = middle;
      } else {
        before_first = half;
        first = middle;
      }
    }
    if (first != ranked_.end()) cut_after(*first);
  }
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < least; });
}

Token Sampler::draw_from(std::span<const Candidate> candidates, double point) {
  double sum = 0;
  for (const Candidate& c : candidates) sum += static_cast<double>(c.weight);
  double rest = point * sum;
  for (const Candidate& c : candidates) {
    rest -= static_cast<double>(c.weight);
    if (rest < 0) return c.token;
  }
  return candidates.empty() ? 0 : candidates.back().token;
}

chat::TokenReport Sampler::report(std::span<const float> logits, Token token, int top) const {
  scratch_.resize(logits.size());
  const float highest = kernels_.maximum(logits.data(), logits.size());
  const float sum = kernels_.exp_sum(logits.data(), logits.size(), highest, 1.0f, scratch_.data());
  const double base = static_cast<double>(highest) + std::log(static_cast<double>(sum));
  const auto of = [&](Token t) {
    return chat::TokenLogprob{t, {}, static_cast<double>(logits[static_cast<size_t>(t)]) - base};
  };
  chat::TokenReport report{of(token), {}};
  if (top <= 0) return report;
  std::vector<Token> best;  // ascending by rank; a short insertion list
  const auto before = [&](Token a, Token b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto t = static_cast<Token>(i);
    if (best.size() == static_cast<size_t>(top) && !before(t, best.back())) continue;
    best.insert(std::upper_bound(best.begin(), best.end(), t, before), t);
    if (best.size() > static_cast<size_t>(top)) best.pop_back();
  }
  for (const Token t : best) report.top.push_back(of(t));
  return report;
}

}  // namespace cresset::engine
