// bench, logits, tokenize: the engine's numbers as JSON lines, in the shapes that scripts compare.
#include <algorithm>
#include <cmath>

#include "cli/base64.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "sys/crypto.h"

namespace cresset::cli {
namespace {

constexpr size_t kLineBytesMax = 32u << 20;
constexpr int64_t kTokensMax = 1 << 24;

// --- bench

struct Point {
  const char* bench;
  int tokens, depth;
  std::vector<double> seconds;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

struct BenchPlan {
  bool prefill = false, decode = false, cold = false;
  std::vector<int64_t> lengths{512, 2048}, depths{0};
  int gen = 128, rounds = 3;
};

Result<BenchPlan> read_plan(const Args& args) {
  BenchPlan plan;
  const std::string only = args.get("--only", "prefill,decode");
  for (size_t at = 0; at <= only.size();) {
    const size_t comma = std::min(only.find(',', at), only.size());
    const std::string part = only.substr(at, comma - at);
    at = comma + 1;
    if (part == "prefill") {
      plan.prefill = true;
    } else if (part == "decode") {
      plan.decode = true;
    } else if (part == "cold") {
      plan.cold = true;
    } else if (part == "serve" || part == "roofline") {
      return fail(Code::kUnsupported,
                  "\"" + part + "\" comes with a later version; this one measures prefill, decode, cold",
                  "--only");
    } else {
      return fail(Code::kInvalid, "no such part: \"" + part + "\"; there are prefill, decode, cold",
                  "--only");
    }
  }
  if (args.has("--lengths")) {
    CRESSET_TRY(lengths, parse_numbers(args.get("--lengths"), 1, kTokensMax, "--lengths"));
    plan.lengths = lengths;
  }
  if (args.has("--depths")) {
    CRESSET_TRY(depths, parse_numbers(args.get("--depths"), 0, kTokensMax, "--depths"));
    plan.depths = depths;
  }
  CRESSET_TRY(gen, parse_number(args.get("--gen", "128"), 1, kTokensMax, "--gen"));
  CRESSET_TRY(rounds, parse_number(args.get("--rounds", "3"), 1, 1000, "--rounds"));
  plan.gen = static_cast<int>(gen);
  plan.rounds = static_cast<int>(rounds);
  return plan;
}

Result<double> measure(engine::Engine& engine, const Point& point) {
  return point.bench == std::string_view("prefill") ? engine.time_prefill(point.tokens, point.depth)
                                                    : engine.time_decode(point.tokens, point.depth);
}

// From nothing to a loaded engine, and to its first token: the pages may be in the system's cache.
Status bench_cold(Context& context, const ModelFile& file, int rounds) {
  std::vector<double> ready, first;
  for (int round = 0; round < rounds; ++round) {
    const sys::Instant begun = context.env.now();
    CRESSET_TRY(engine, open_engine(context, file.path));
    ready.push_back(std::chrono::duration<double>(context.env.now() - begun).count());
    CRESSET_TRY(prefilled, engine->time_prefill(16, 0));
    first.push_back(ready.back() + prefilled);
  }
  context.print_json(Json::object({{"bench", "cold_start"},
                                   {"open_to_ready_ms", std::round(1e4 * median(ready)) / 10},
                                   {"open_to_first_token_ms", std::round(1e4 * median(first)) / 10},
                                   {"rss_mib", static_cast<int64_t>(sys::read_resident_bytes() >> 20)},
                                   {"n", rounds}}));
  return {};
}

Result<int> run_bench(Context& context) {
  CRESSET_TRY(plan, read_plan(context.args));
  CRESSET_TRY(file, find_model(context, context.args.arguments[0]));
  if (plan.cold) CRESSET_TRY_STATUS(bench_cold(context, file, plan.rounds));
  std::vector<Point> points;
  for (const int64_t depth : plan.depths) {
    if (plan.prefill) {
      for (const int64_t length : plan.lengths)
        points.push_back({"prefill", static_cast<int>(length), static_cast<int>(depth), {}});
    }
    if (plan.decode) points.push_back({"decode", plan.gen, static_cast<int>(depth), {}});
  }
  if (points.empty()) return 0;
  CRESSET_TRY(engine, open_engine(context, file.path));
  {
    Progress progress(context.env, context.terminal, "measuring");
    CRESSET_TRY(warm, measure(*engine, points.front()));
    (void)warm;  // the warm-up is not counted
    // Interleaved: what else the machine does falls on all points alike.
    for (int round = 0; round < plan.rounds; ++round) {
      for (size_t i = 0; i < points.size(); ++i) {
        CRESSET_TRY(seconds, measure(*engine, points[i]));
        points[i].seconds.push_back(seconds);
        progress.show(static_cast<size_t>(round) * points.size() + i + 1,
                      static_cast<size_t>(plan.rounds) * points.size());
      }
    }
  }
  for (const Point& point : points) {
    const auto speed = [&](double s) { return s > 0 ? std::round(10 * point.tokens / s) / 10 : 0; };
    const auto [low, high] = std::minmax_element(point.seconds.begin(), point.seconds.end());
    context.print_json(Json::object({{"bench", point.bench},
                                     {"tokens", point.tokens},
                                     {"depth", point.depth},
                                     {"tok_s", speed(median(point.seconds))},
                                     {"min", speed(*high)},
                                     {"max", speed(*low)},
                                     {"n", point.seconds.size()},
                                     {"kernels", engine->kernel_name()}}));
  }
  return 0;
}

// --- logits

std::string line_place(int line) {
  return "stdin:" + std::to_string(line);
}

Result<std::vector<int32_t>> read_tokens(const std::string& line, int number) {
  auto json = parse_json(line);
  const Json* tokens = json ? json->find("tokens") : nullptr;
  if (tokens == nullptr || !tokens->is_array() || json->as_object().size() != 1) {
    return fail(Code::kInvalid, "needs {\"tokens\":[…]}", line_place(number));
  }
  std::vector<int32_t> out;
  for (const Json& token : tokens->as_array()) {
    if (!token.is_integer() || token.as_integer() < 0 || token.as_integer() > INT32_MAX) {
      return fail(Code::kInvalid, "a token is a whole number from 0", line_place(number));
    }
    out.push_back(static_cast<int32_t>(token.as_integer()));
  }
  if (out.empty()) return fail(Code::kInvalid, "needs at least one token", line_place(number));
  return out;
}

// The top log-probabilities (natural, over the whole vocabulary; ties by the smaller id) and the hash of the
// logits.
Json report_logits(const std::vector<float>& logits, size_t top) {
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  top = std::min(top, order.size());
  const auto higher = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(), higher);
  double high = -INFINITY, sum = 0;
  for (const float value : logits) high = std::max<double>(high, value);
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - high);
  const double norm = high + std::log(sum);
  Json list = Json::array();
  for (size_t i = 0; i < top; ++i) {
    list.push(Json::array({order[i], static_cast<double>(logits[static_cast<size_t>(order[i])]) - norm}));
  }
  // x86-64 and AArch64 hold float32 little-endian in memory, as the contract hashes them.
  const auto digest = sys::sha256(std::as_bytes(std::span(logits)));
  return Json::object({{"top", std::move(list)}, {"logits_sha256", sys::to_hex(digest)}});
}

Status evaluate_batch(Context& context, engine::Engine& engine,
                      const std::vector<std::vector<int32_t>>& batch, bool all, size_t top) {
  CRESSET_TRY(results, engine.evaluate(batch, all));
  for (const auto& positions : results) {
    Json list = Json::array();
    for (const engine::Logits& logits : positions) list.push(report_logits(logits.values, top));
    if (!all && list.as_array().empty()) return fail(Code::kInternal, "the engine gave no logits");
    context.print_json(all ? list : list.as_array().back());
  }
  return {};
}

Result<int> run_logits(Context& context) {
  CRESSET_TRY(top, parse_number(context.args.get("--top", "20"), 1, 1 << 20, "--top"));
  CRESSET_TRY(batch_max, parse_number(context.args.get("--batch", "1"), 1, 4096, "--batch"));
  CRESSET_TRY(file, find_model(context, context.args.arguments[0]));
  CRESSET_TRY(engine, open_engine(context, file.path));
  const bool all = context.args.has("--all");
  std::vector<std::vector<int32_t>> batch;
  for (int number = 1;; ++number) {
    CRESSET_TRY(line, context.terminal.read_line(kLineBytesMax));
    if (line && line->empty()) continue;
    if (line) {
      CRESSET_TRY(tokens, read_tokens(*line, number));
      batch.push_back(tokens);
    }
    if (!batch.empty() && (!line || batch.size() == static_cast<size_t>(batch_max))) {
      Status done = evaluate_batch(context, *engine, batch, all, static_cast<size_t>(top));
      if (!done && done.error().where.empty()) done.error().where = line_place(line ? number : number - 1);
      CRESSET_TRY_STATUS(done);
      batch.clear();
    }
    if (!line) return 0;
  }
}

// --- tokenize

Result<std::string> read_text(const std::string& line, int number) {
  auto json = parse_json(line);
  if (!json) return fail(Code::kInvalid, json.error().what, line_place(number));
  const Json* text = json->find("text");
  const Json* coded = json->find("base64");
  if (json->is_object() && json->as_object().size() == 1) {
    if (text != nullptr && text->is_string()) return text->as_string();
    if (coded != nullptr && coded->is_string()) {
      auto bytes = decode_base64(coded->as_string());
      if (bytes) return bytes;
      return fail(Code::kInvalid, bytes.error().what, line_place(number));
    }
  }
  return fail(Code::kInvalid, "needs {\"text\":\"…\"} or {\"base64\":\"…\"}", line_place(number));
}

Result<int> run_tokenize(Context& context) {
  CRESSET_TRY(file, find_model(context, context.args.arguments[0]));
  CRESSET_TRY(engine, open_engine(context, file.path));
  const bool special = context.args.has("--special");
  for (int number = 1;; ++number) {
    CRESSET_TRY(line, context.terminal.read_line(kLineBytesMax));
    if (!line) return 0;
    if (line->empty()) continue;
    CRESSET_TRY(text, read_text(*line, number));
    Json tokens = Json::array();
    for (const int32_t token : engine->tokenize(text, special)) tokens.push(token);
    context.print_json(Json::object({{"tokens", std::move(tokens)}}));
  }
}

}  // namespace

std::vector<Command> measure_commands() {
  return {
      {{"bench", "MODEL", "Measure prefill and decode speed; JSON lines",
        "One warm-up that is not counted, then rounds in which every point is measured once; medians are "
        "printed.",
        "cresset bench smollm2 --lengths 512,2048 --depths 0,2048 --gen 128 --rounds 3",
        with_engine_flags({{"--only", "PARTS", "prefill,decode (default), cold"},
                           {"--lengths", "N,N", "prompt lengths (default 512,2048)"},
                           {"--depths", "N,N", "tokens of context before (default 0)"},
                           {"--gen", "N", "tokens to decode (default 128)"},
                           {"--rounds", "N", "measurements of each point (default 3)"}}),
        1, 1},
       run_bench},
      {{"logits", "MODEL", "Log-probabilities of the next token for token lists on stdin; JSON lines",
        "stdin: {\"tokens\":[…]} a line; stdout: {\"top\":[[token, logprob], …], \"logits_sha256\":\"…\"} a "
        "line.",
        "echo '{\"tokens\":[1,2,3]}' | cresset logits smollm2 --top 5",
        with_engine_flags({{"--top", "N", "tokens to print (default 20)"},
                           {"--all", "", "every position, as a list"},
                           {"--batch", "N", "lines computed together (default 1)"}}),
        1, 1},
       run_logits},
      {{"tokenize",
        "MODEL",
        "Token ids of texts on stdin; JSON lines",
        "stdin: {\"text\":\"…\"} or {\"base64\":\"…\"} a line; stdout: {\"tokens\":[…]}. No "
        "begin-of-sequence is added.",
        "echo '{\"text\":\"hello\"}' | cresset tokenize smollm2",
        {{"--special", "", "text that looks like a special token becomes that token"}},
        1,
        1},
       run_tokenize},
  };
}

}  // namespace cresset::cli
