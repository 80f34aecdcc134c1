// StepPace: how many prompt tokens a step may carry, so that a step stays short whatever the model, the
// machine and the depth of the context: it learns from each step's time. Only when, never what, is computed
// depends on it. Owned by the engine's leader.
#pragma once

#include <cstddef>

namespace cresset::engine {

struct StepPaceOptions {
  size_t tokens_max = 512;
  size_t tokens_min = 16;
  size_t tokens_unmeasured = 64;  // of a step before any was measured
  // A step in which others are decoding: 250 ms is the longest gap that a reader is to see in a stream, and a
  // prediction may be wrong by half. Where plain decode steps are slow themselves: twice such a step more.
  double beside_decode_s = 0.12;
  double alone_s = 0.3;  // whoever arrives meanwhile waits as long, and so does a cancellation
};

class StepPace {
 public:
  explicit StepPace(const StepPaceOptions& options) : options_(options) {}

  // Prompt tokens for the next step, beside `decodes` decoding sequences.
  size_t prompt_tokens(size_t decodes) const;
  void learn(size_t decodes, size_t prompt_tokens, double seconds);

 private:
  double decode_s(size_t decodes) const;

  StepPaceOptions options_;
  double decode_base_s_ = 0, decode_each_s_ = 0;  // a plain decode step takes base + each * sequences
  double prompt_token_s_ = -1;                    // < 0: not measured
};

}  // namespace cresset::engine
