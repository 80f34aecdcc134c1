#include "testing/real_model.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "testing/paths.h"

namespace cresset::testing {

std::string read_prose(std::string_view name) {
  std::ifstream file(source_path("testing/corpus/prose.txt"));
  std::string out;
  bool is_wanted = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("=== ")) {
      is_wanted = line.substr(4) == name;
    } else if (is_wanted) {
      out += line + '\n';
    }
  }
  return out;
}

std::vector<double> log_softmax(std::span<const float> logits) {
  const auto largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v) - largest);
  const double offset = largest + std::log(sum);
  std::vector<double> out(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) out[i] = static_cast<double>(logits[i]) - offset;
  return out;
}

size_t find_top(std::span<const float> logits) {
  return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

void Distance::add(std::span<const float> reference, std::span<const float> answer) {
  const std::vector<double> p = log_softmax(reference), q = log_softmax(answer);
  double divergence = 0;
  for (size_t i = 0; i < p.size(); ++i) divergence += std::exp(p[i]) * (p[i] - q[i]);
  ++positions;
  same_top += find_top(reference) == find_top(answer) ? 1 : 0;
  divergence_sum += divergence;
  divergences.push_back(divergence);
}

double Distance::quantile(double share) const {
  std::vector<double> sorted = divergences;
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

}  // namespace cresset::testing
