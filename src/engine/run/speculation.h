// Speculation: how many drafted tokens a step of decoding should verify. A draft pays where the tokens that
// it is likely to bring are worth more than the time its rows take, and both are measured: how often drafts
// of a sequence came true, by how long the text agreed before them, and what a step and a further row of it
// cost.
//
// Only how many tokens a step brings depends on it, never which: a drafted row's logits have the same bits as
// those of a step of its own (model/forward.h), and a token is chosen from them in the same way, with the
// same draw, so a draft is followed exactly as far as the answer would have gone that way anyway. That is
// exact for sampling as well as for greedy answers. Owned by the engine's leader.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace cresset::engine {

// How drafts of one sequence have come true. Old evidence fades, with trials and with plain steps, so that a
// sequence which begins to quote is noticed.
class DraftRecord {
 public:
  // That a drafted token comes true, given the ones before it did and that `agreed` tokens agree before it.
  double chance(size_t agreed) const;
  // A draft of `drafted` tokens at a place where `agreed` agreed: the first `accepted` came true.
  void learn(size_t agreed, size_t drafted, size_t accepted);
  void fade();  // a step without a draft

 private:
  static constexpr size_t kKinds = 5;
  static size_t kind_of(size_t agreed);
  struct Trials {
    double hits = 0, tries = 0;
  };
  std::array<Trials, kKinds> trials_{};
};

class Speculation {
 public:
  // `chances[s]`: for each token that sequence s may draft, the chance that it comes true once those before
  // it have. Returns how many each is to draft: those that raise the tokens per second of the step,
  // `rows_max` together at most.
  std::vector<size_t> plan(std::span<const std::vector<double>> chances, size_t rows_max);
  // A step of decoding `sequences` sequences and `drafted` further rows, nothing else, took so long.
  void learn(size_t sequences, size_t drafted, double seconds);

 private:
  size_t sequences_ = 0;    // that plain_s_ was measured with
  size_t plain_steps_ = 0;  // measured since
  size_t since_plain_ = 0;  // steps
  double plain_s_ = 0;      // a step without drafts
  double row_s_ = -1;       // a drafted row; < 0: not measured
};

}  // namespace cresset::engine
