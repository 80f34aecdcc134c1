#include "engine/run/step_pace.h"

#include <algorithm>

namespace cresset::engine {
namespace {

constexpr double kLearn = 0.3;  // weight of a new measurement that is quicker than before

void learn_value(double& value, double measured) {
  value = value < measured ? measured : value + kLearn * (measured - value);
}

}  // namespace

double StepPace::decode_s(size_t decodes) const {
  return decodes == 0 ? 0 : decode_base_s_ + decode_each_s_ * static_cast<double>(decodes);
}

size_t StepPace::prompt_tokens(size_t decodes) const {
  if (prompt_token_s_ < 0) return std::min(options_.tokens_unmeasured, options_.tokens_max);
  const double plain = decode_s(decodes);
  const double budget =
      decodes == 0 ? options_.alone_s : std::max(options_.beside_decode_s - plain, 2 * plain);
  const double most = static_cast<double>(options_.tokens_max);
  const double tokens = prompt_token_s_ * most <= budget ? most : budget / prompt_token_s_;
  return std::clamp(static_cast<size_t>(tokens), std::min(options_.tokens_min, options_.tokens_max),
                    options_.tokens_max);
}

void StepPace::learn(size_t decodes, size_t prompt_tokens, double seconds) {
  if (prompt_tokens == 0) {
    // One sequence pays for reading the weights; what each further one costs follows from the difference.
    if (decodes == 1) {
      learn_value(decode_base_s_, seconds);
    } else if (decodes > 1) {
      const double each = std::max(0.0, seconds - decode_base_s_) / static_cast<double>(decodes);
      learn_value(decode_each_s_, each);
    }
    return;
  }
  // A few tokens beside many sequences say more about the sequences.
  if (prompt_tokens < options_.tokens_min) return;
  const double each = std::max(0.0, seconds - decode_s(decodes)) / static_cast<double>(prompt_tokens);
  if (prompt_token_s_ < 0) {
    prompt_token_s_ = each;
  } else {
    learn_value(prompt_token_s_, each);
  }
}

}  // namespace cresset::engine
