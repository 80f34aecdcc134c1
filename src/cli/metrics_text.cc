#include "cli/metrics_text.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace cresset::cli {
namespace {

constexpr size_t kSamplesMax = 100'000;

struct Sample {
  std::string_view name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

Status not_metrics(std::string_view line) {
  return fail(Code::kCorrupt, "not Prometheus' text format: \"" + std::string(line.substr(0, 80)) + "\"");
}

Result<double> read_value(std::string_view text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || std::isnan(value)) {
    return fail(Code::kCorrupt, "not a number");
  }
  return value;
}

// `name="value",…}`; returns what follows the brace, or nullopt.
std::optional<std::string_view> read_labels(std::string_view text, std::map<std::string, std::string>& out) {
  while (!text.empty() && text[0] != '}') {
    const size_t equals = text.find("=\"");
    if (equals == std::string_view::npos) return std::nullopt;
    std::string& value = out[std::string(text.substr(0, equals))];
    size_t at = equals + 2;
    for (; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\' && ++at < text.size()) {
        value += text[at] == 'n' ? '\n' : text[at];
      } else if (at < text.size()) {
        value += text[at];
      }
    }
    if (at >= text.size()) return std::nullopt;
    text.remove_prefix(at + 1);
    if (text.starts_with(',')) text.remove_prefix(1);
  }
  if (text.empty()) return std::nullopt;
  return text.substr(1);
}

Result<Sample> read_sample(std::string_view line) {
  Sample sample;
  const size_t end = line.find_first_of("{ ");
  if (end == std::string_view::npos || end == 0) return tl::unexpected(not_metrics(line).error());
  sample.name = line.substr(0, end);
  std::string_view rest = line.substr(end);
  if (rest[0] == '{') {
    const auto after = read_labels(rest.substr(1), sample.labels);
    if (!after) return tl::unexpected(not_metrics(line).error());
    rest = *after;
  }
  if (!rest.starts_with(' ')) return tl::unexpected(not_metrics(line).error());
  const auto value = read_value(rest.substr(1));
  if (!value) return tl::unexpected(not_metrics(line).error());
  sample.value = *value;
  return sample;
}

}  // namespace

Result<MetricsText> MetricsText::parse(std::string_view text) {
  MetricsText out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line[0] == '#') continue;
    CRESSET_TRY(sample, read_sample(line));
    Series series{std::string(sample.name), sample.labels["model_name"], sample.labels["le"]};
    out.samples_[std::move(series)] += sample.value;
    if (out.samples_.size() > kSamplesMax) return fail(Code::kLimit, "more than 100,000 metrics");
  }
  return out;
}

std::set<std::string> MetricsText::models() const {
  std::set<std::string> out;
  for (const auto& [series, value] : samples_) {
    if (!series.model.empty()) out.insert(series.model);
  }
  return out;
}

std::optional<double> MetricsText::value(std::string_view name, std::string_view model) const {
  const auto found = samples_.find({std::string(name), std::string(model), {}});
  return found == samples_.end() ? std::nullopt : std::optional(found->second);
}

double MetricsText::sum(std::string_view name) const {
  double out = 0;
  for (const auto& [series, value] : samples_) {
    if (series.name == name) out += value;
  }
  return out;
}

std::map<double, double> MetricsText::buckets(std::string_view name, std::string_view model) const {
  std::map<double, double> out;
  const std::string bucket = std::string(name) + "_bucket";
  for (auto it = samples_.lower_bound({bucket, std::string(model), {}});
       it != samples_.end() && it->first.name == bucket && it->first.model == model; ++it) {
    if (const auto le = read_value(it->first.le)) out[*le] = it->second;
  }
  return out;
}

std::optional<double> MetricsText::quantile(std::string_view name, std::string_view model, double q,
                                            const MetricsText& before) const {
  std::map<double, double> counts = buckets(name, model);  // each with all below it
  const std::map<double, double> old = before.buckets(name, model);
  for (auto& [le, count] : counts) {
    if (const auto found = old.find(le); found != old.end()) count -= found->second;
  }
  if (counts.empty() || counts.rbegin()->second <= 0) return std::nullopt;
  const double rank = q * counts.rbegin()->second;
  double low = 0, below = 0;
  for (const auto& [le, count] : counts) {
    if (count >= rank) {
      if (std::isinf(le)) return low;
      return low + (le - low) * (count > below ? (rank - below) / (count - below) : 1.0);
    }
    low = le;
    below = count;
  }
  return low;
}

}  // namespace cresset::cli
