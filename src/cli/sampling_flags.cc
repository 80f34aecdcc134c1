#include "cli/sampling_flags.h"

#include <array>

namespace cresset::cli {
namespace {

constexpr int64_t kTokensMax = 1 << 24;

struct RealFlag {
  FlagSpec spec;
  std::optional<double> chat::Sampling::* field;
  double low, high;
};

constexpr std::array<RealFlag, 6> kReal{{
    {{"--temperature", "T", "0 takes the likeliest token each time"}, &chat::Sampling::temperature, 0, 100},
    {{"--top-p", "P", "only the likeliest tokens that make up P"}, &chat::Sampling::top_p, 1e-9, 1},
    {{"--min-p", "P", "only tokens at least P times as likely as the likeliest"},
     &chat::Sampling::min_p,
     0,
     1},
    {{"--repetition-penalty", "R", "above 1 makes what was said less likely"},
     &chat::Sampling::repetition_penalty,
     1e-3,
     100},
    {{"--presence-penalty", "R", "-2 to 2"}, &chat::Sampling::presence_penalty, -2, 2},
    {{"--frequency-penalty", "R", "-2 to 2"}, &chat::Sampling::frequency_penalty, -2, 2},
}};

}  // namespace

std::vector<FlagSpec> sampling_flags() {
  std::vector<FlagSpec> out{{"--system", "TEXT", "what the model is told first"},
                            {"--max-tokens", "N", "tokens to write at most"}};
  for (const RealFlag& flag : kReal) out.push_back(flag.spec);
  out.push_back({"--top-k", "N", "only the N likeliest tokens"});
  out.push_back({"--seed", "N", "the same seed gives the same answer"});
  return out;
}

Status apply_sampling_flags(const Args& args, chat::Request& request) {
  for (const RealFlag& flag : kReal) {
    if (!args.has(flag.spec.name)) continue;
    CRESSET_TRY(value, parse_real(args.get(flag.spec.name), flag.low, flag.high, flag.spec.name));
    request.sampling.*flag.field = value;
  }
  if (args.has("--max-tokens")) {
    CRESSET_TRY(n, parse_number(args.get("--max-tokens"), 1, kTokensMax, "--max-tokens"));
    request.tokens_max = static_cast<int>(n);
  }
  if (args.has("--top-k")) {
    CRESSET_TRY(n, parse_number(args.get("--top-k"), 0, kTokensMax, "--top-k"));
    request.sampling.top_k = static_cast<int>(n);
  }
  if (args.has("--seed")) {
    CRESSET_TRY(n, parse_number(args.get("--seed"), INT64_MIN, INT64_MAX, "--seed"));
    request.sampling.seed = n;
  }
  return {};
}

}  // namespace cresset::cli
