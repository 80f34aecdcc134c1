// MetricsText: what a server's /metrics says, as numbers: Prometheus' text format, as far as `top` needs it,
// and what changed between two readings. A value; belongs to no thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cresset::cli {

class MetricsText {
 public:
  // kCorrupt: not this format. At most 100,000 samples.
  static Result<MetricsText> parse(std::string_view text);

  // Values of model_name.
  std::set<std::string> models() const;
  // The sum over the series of this name and model; nullopt: there is none.
  std::optional<double> value(std::string_view name, std::string_view model) const;
  double sum(std::string_view name) const;  // over all series; 0: none

  // Seconds (or whatever the histogram holds) below which the share `q` of what was observed since `before`
  // lies, interpolated within its bucket; nullopt: nothing was.
  std::optional<double> quantile(std::string_view name, std::string_view model, double q,
                                 const MetricsText& before) const;

 private:
  struct Series {
    std::string name, model, le;
    auto operator<=>(const Series&) const = default;
  };
  std::map<double, double> buckets(std::string_view name, std::string_view model) const;
  std::map<Series, double> samples_;  // labels beside model_name and le are summed over
};

}  // namespace cresset::cli
