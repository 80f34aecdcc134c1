// What tests against a real model share: opening it, texts from testing/corpus/prose.txt, and the measures of
// how far two answers are apart.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace cresset::testing {

// A build under a sanitizer is ten to fifty times slower: its tests take shorter texts.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif
#else
constexpr bool kIsSanitized = false;
#endif

// The lines below "=== NAME" of testing/corpus/prose.txt; empty when there is no such section.
std::string read_prose(std::string_view name);

// Natural logarithms of the probabilities, in double.
std::vector<double> log_softmax(std::span<const float> logits);

size_t find_top(std::span<const float> logits);

// How far an answer is from a reference, gathered over positions.
struct Distance {
  size_t positions = 0, same_top = 0;
  double divergence_sum = 0;
  std::vector<double> divergences;

  void add(std::span<const float> reference, std::span<const float> answer);
  double mean() const { return divergence_sum / static_cast<double>(positions); }
  double agreement() const { return static_cast<double>(same_top) / static_cast<double>(positions); }
  double quantile(double share) const;
};

}  // namespace cresset::testing
