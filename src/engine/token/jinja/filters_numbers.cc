// Filters on numbers: int, float, abs, round.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/token/jinja/builtins.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/operators.h"

namespace cresset::engine::jinja {
namespace {

using Args = Arguments;

Value int_filter(Interpreter&, const Value& v, const Args& a) {
  const Value* otherwise = a.find(0, "default");
  const Value fallback = otherwise != nullptr ? *otherwise : Value::of(int64_t{0});
  constexpr double kMax = 9.2e18;
  const auto from_double = [&](double d) {
    return std::isfinite(d) && std::abs(d) < kMax ? Value::of(static_cast<int64_t>(d)) : fallback;
  };
  if (v.is_integer()) return Value::of(v.integer()).marked(v.is_foreign());
  if (v.is(Kind::kFloat)) return from_double(v.number()).marked(v.is_foreign());
  if (!v.is(Kind::kText)) return fallback;
  const bool is_foreign = v.text().has_foreign();
  const std::string_view all = v.text().bytes();
  const Span span = strip_spaces(all, true, true);
  std::string_view digits = all.substr(span.begin, span.end - span.begin);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int64_t exact = 0;
  const char *begin = digits.data(), *end = begin + digits.size();
  if (const auto r = std::from_chars(begin, end, exact);
      r.ec == std::errc() && r.ptr == end && begin != end) {
    return Value::of(exact).marked(is_foreign);
  }
  double d = 0;
  const auto r = std::from_chars(begin, end, d);
  return r.ec == std::errc() && r.ptr == end && begin != end ? from_double(d).marked(is_foreign) : fallback;
}

Value float_filter(Interpreter&, const Value& v, const Args& a) {
  const Value* otherwise = a.find(0, "default");
  if (v.is_number()) return Value::of(v.number()).marked(v.is_foreign());
  double d = 0;
  if (v.is(Kind::kText)) {
    const std::string_view all = v.text().bytes();
    const Span span = strip_spaces(all, true, true);
    const char *begin = all.data() + span.begin, *end = all.data() + span.end;
    const auto r = std::from_chars(begin, end, d);
    if (r.ec == std::errc() && r.ptr == end && begin != end)
      return Value::of(d).marked(v.text().has_foreign());
  }
  return otherwise != nullptr ? *otherwise : Value::of(0.0);
}

Value abs_filter(Interpreter&, const Value& v, const Args&) {
  if (!v.is_number()) type_fault("abs needs a number");
  return v.number() < 0 ? negate(v) : v;
}

Value round_filter(Interpreter&, const Value& v, const Args& a) {
  const Value *digits = a.find(0, "precision"), *method = a.find(1, "method");
  if (!v.is_number()) type_fault("round needs a number");
  const int64_t precision =
      digits != nullptr && digits->is_integer() ? std::clamp<int64_t>(digits->integer(), -15, 15) : 0;
  const double scale = std::pow(10.0, static_cast<double>(precision)), scaled = v.number() * scale;
  const std::string_view how =
      method != nullptr && method->is(Kind::kText) ? method->text().bytes() : "common";
  const double whole = how == "ceil"    ? std::ceil(scaled)
                       : how == "floor" ? std::floor(scaled)
                                        : std::nearbyint(scaled);
  return Value::of(whole / scale).marked(v.is_foreign());
}

}  // namespace

FilterFunction find_number_filter(std::string_view name) {
  if (name == "int") return int_filter;
  if (name == "float") return float_filter;
  if (name == "abs") return abs_filter;
  if (name == "round") return round_filter;
  return nullptr;
}

}  // namespace cresset::engine::jinja
