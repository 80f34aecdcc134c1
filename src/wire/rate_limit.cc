#include "wire/rate_limit.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace cresset::wire {

namespace {

constexpr size_t kHeadersMax = 32;
constexpr double kRetryAfterMaxS = 86'400;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

double read_number(std::string_view text) {
  double value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value) ? value : -1;
}

int seconds_up(double seconds) {
  return seconds > 0 ? static_cast<int>(std::ceil(std::min(seconds, kRetryAfterMaxS))) : 0;
}

}  // namespace

HeaderList pick_rate_limits(const HeaderList& headers) {
  HeaderList out;
  for (const auto& [name, value] : headers) {
    const std::string key = lower(name);
    if (!key.starts_with("x-ratelimit-") && !key.starts_with("anthropic-ratelimit-")) continue;
    const bool is_clean =
        std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (is_clean && out.size() < kHeadersMax) out.emplace_back(key, value);
  }
  return out;
}

int read_retry_after_s(const HeaderList& headers) {
  double least = 0;
  for (const auto& [name, value] : headers) {
    const std::string key = lower(name);
    double seconds = -1;
    if (key == "retry-after") seconds = read_number(value);
    if (key == "retry-after-ms") seconds = read_number(value) / 1000;
    if (seconds > 0 && (least == 0 || seconds < least)) least = seconds;
  }
  return seconds_up(least);
}

double read_go_duration_s(std::string_view text) {
  double total = 0;
  if (text.empty()) return -1;
  while (!text.empty()) {
    const size_t end = text.find_first_not_of("0123456789.");
    if (end == 0 || end == std::string_view::npos) return -1;
    const double value = read_number(text.substr(0, end));
    text.remove_prefix(end);
    const size_t unit_end = std::min(text.find_first_of("0123456789."), text.size());
    const std::string_view unit = text.substr(0, unit_end);
    text.remove_prefix(unit_end);
    const double factor = unit == "h"    ? 3600
                          : unit == "m"  ? 60
                          : unit == "s"  ? 1
                          : unit == "ms" ? 1e-3
                          : unit == "us" ? 1e-6
                          : unit == "ns" ? 1e-9
                                         : -1;
    if (value < 0 || factor < 0) return -1;
    total += value * factor;
  }
  return total;
}

}  // namespace cresset::wire
