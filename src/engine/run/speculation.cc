#include "engine/run/speculation.h"

#include <algorithm>

namespace cresset::engine {
namespace {

// Before anything was tried, as if so many trials had gone as often well as `kExpected` says, by agreement.
constexpr double kPriorTrials = 2;
constexpr std::array<double, 5> kExpected{0.35, 0.5, 0.7, 0.85, 0.93};
constexpr double kFadePerTrial = 0.95, kFadePerStep = 0.995;

// A drafted row's cost as a part of a plain step: taken for granted at first, and the least and most that is
// believed of a measurement.
constexpr double kRowExpected = 0.1, kRowMin = 0.02, kRowMax = 1;
constexpr double kLearnRow = 0.2, kForgetRow = 0.01, kLearnPlain = 0.5;
constexpr size_t kPlainSteps = 2;          // measured before drafts are, the shorter counts
constexpr size_t kStepsBetweenPlain = 32;  // the context grows: what a plain step costs is measured again

}  // namespace

size_t DraftRecord::kind_of(size_t agreed) {
  constexpr std::array<size_t, kKinds - 1> kBelow{4, 6, 10, 20};
  return static_cast<size_t>(std::upper_bound(kBelow.begin(), kBelow.end(), agreed) - kBelow.begin());
}

double DraftRecord::chance(size_t agreed) const {
  const size_t kind = kind_of(agreed);
  const Trials& t = trials_[kind];
  return (t.hits + kPriorTrials * kExpected[kind]) / (t.tries + kPriorTrials);
}

void DraftRecord::learn(size_t agreed, size_t drafted, size_t accepted) {
  for (size_t i = 0; i < std::min(drafted, accepted + 1); ++i) {
    Trials& t = trials_[kind_of(agreed + i)];
    t.hits = t.hits * kFadePerTrial + (i < accepted ? 1 : 0);
    t.tries = t.tries * kFadePerTrial + 1;
  }
}

void DraftRecord::fade() {
  for (Trials& t : trials_) {
    t.hits *= kFadePerStep;
    t.tries *= kFadePerStep;
  }
}

// The rows of all drafts, the likeliest first, are added while each brings more tokens in its time than the
// step does so far. A draft's rows get less likely one by one, so each draft is a beginning of what was
// offered.
std::vector<size_t> Speculation::plan(std::span<const std::vector<double>> chances, size_t rows_max) {
  std::vector<size_t> drafts(chances.size(), 0);
  if (chances.size() != sequences_ || plain_steps_ < kPlainSteps || since_plain_ >= kStepsBetweenPlain)
    return drafts;
  std::vector<double> likelihood(chances.size());  // of each sequence's next row
  for (size_t s = 0; s < chances.size(); ++s) likelihood[s] = chances[s].empty() ? 0 : chances[s][0];
  const double row_s = row_s_ < 0 ? kRowExpected * plain_s_ : row_s_;
  double tokens = static_cast<double>(chances.size()), seconds = plain_s_;
  for (size_t rows = 0; rows < rows_max; ++rows) {
    const auto s =
        static_cast<size_t>(std::max_element(likelihood.begin(), likelihood.end()) - likelihood.begin());
    if (likelihood[s] <= 0 || likelihood[s] * seconds < tokens * row_s) break;
    tokens += likelihood[s];
    seconds += row_s;
    ++drafts[s];
    likelihood[s] = drafts[s] < chances[s].size() ? likelihood[s] * chances[s][drafts[s]] : 0;
  }
  return drafts;
}

void Speculation::learn(size_t sequences, size_t drafted, double seconds) {
  if (drafted == 0) {
    if (sequences != sequences_) plain_steps_ = 0;
    sequences_ = sequences;
    since_plain_ = 0;
    if (plain_steps_ == 0) {
      plain_s_ = seconds;
    } else if (plain_steps_ < kPlainSteps) {
      plain_s_ = std::min(plain_s_, seconds);
    } else {
      plain_s_ += kLearnPlain * (seconds - plain_s_);
    }
    ++plain_steps_;
    if (row_s_ >= 0) row_s_ += kForgetRow * (kRowExpected * plain_s_ - row_s_);
    return;
  }
  ++since_plain_;
  const double each =
      std::clamp((seconds - plain_s_) / static_cast<double>(drafted), kRowMin * plain_s_, kRowMax * plain_s_);
  row_s_ = row_s_ < 0 ? each : row_s_ + kLearnRow * (each - row_s_);
}

}  // namespace cresset::engine
