// bench: what this machine does with a model, and what share of the machine that is; JSON lines.
#include <algorithm>
#include <cmath>

#include "cli/commands.h"
#include "cli/progress.h"

namespace cresset::cli {
namespace {

constexpr int64_t kTokensMax = 1 << 24;
constexpr int64_t kSequencesMax = 4096;
constexpr int64_t kRoundsMax = 1000;
constexpr std::string_view kParts = "prefill, decode, batch, kernels, cold, roofline";

struct BenchPlan {
  bool prefill = false, decode = false, batch = false, kernels = false, cold = false, roofline = false;
  std::vector<int64_t> lengths{512, 2048}, depths{0}, prefill_depths, batches{1, 2, 4, 8, 16, 32};
  int gen = 128, rounds = 3;
};

Status read_only(const std::string& only, BenchPlan& plan) {
  const std::pair<std::string_view, bool*> parts[] = {
      {"prefill", &plan.prefill}, {"decode", &plan.decode}, {"batch", &plan.batch},
      {"kernels", &plan.kernels}, {"cold", &plan.cold},     {"roofline", &plan.roofline}};
  for (size_t at = 0; at <= only.size();) {
    const size_t comma = std::min(only.find(',', at), only.size());
    const std::string part = only.substr(at, comma - at);
    at = comma + 1;
    const auto* found =
        std::find_if(std::begin(parts), std::end(parts), [&](const auto& p) { return p.first == part; });
    if (found != std::end(parts)) {
      *found->second = true;
    } else if (part == "serve") {
      return fail(Code::kUnsupported,
                  "\"serve\" comes with a later version; this one measures " + std::string(kParts), "--only");
    } else {
      return fail(Code::kInvalid, "no such part: \"" + part + "\"; there are " + std::string(kParts),
                  "--only");
    }
  }
  return {};
}

Result<BenchPlan> read_plan(const Args& args) {
  BenchPlan plan;
  CRESSET_TRY_STATUS(read_only(args.get("--only", "prefill,decode"), plan));
  struct List {
    const char* flag;
    int64_t low, high;
    std::vector<int64_t>& values;
  };
  for (const List& list :
       {List{"--lengths", 1, kTokensMax, plan.lengths},
        List{"--prefill-depths", 0, kTokensMax, plan.prefill_depths},
        List{"--depths", 0, kTokensMax, plan.depths}, List{"--batches", 1, kSequencesMax, plan.batches}}) {
    if (!args.has(list.flag)) continue;
    CRESSET_TRY(values, parse_numbers(args.get(list.flag), list.low, list.high, list.flag));
    list.values = values;
  }
  if (plan.prefill_depths.empty()) plan.prefill_depths = plan.depths;
  CRESSET_TRY(gen, parse_number(args.get("--gen", "128"), 1, kTokensMax, "--gen"));
  CRESSET_TRY(rounds, parse_number(args.get("--rounds", "3"), 1, kRoundsMax, "--rounds"));
  plan.gen = static_cast<int>(gen);
  plan.rounds = static_cast<int>(rounds);
  return plan;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// To `digits` after the point.
double rounded(double value, int digits) {
  const double scale = std::pow(10, digits);
  return std::round(value * scale) / scale;
}

enum class Kind { kPrefill, kDecode, kBatch, kPrefillParts, kDecodeParts };

// One line of the report: what is measured, and what the rounds gave.
struct Point {
  Kind kind;
  int tokens, depth, sequences = 1;
  std::vector<double> seconds{};
  engine::Timing work{};  // the same in every round
  engine::PartSeconds parts{};
};

std::vector<Point> points_of(const BenchPlan& plan) {
  std::vector<Point> points;
  for (const int64_t depth : plan.prefill_depths) {
    for (const int64_t length : plan.lengths) {
      const int tokens = static_cast<int>(length), before = static_cast<int>(depth);
      if (plan.prefill) points.push_back({Kind::kPrefill, tokens, before});
      if (plan.kernels) points.push_back({Kind::kPrefillParts, tokens, before});
    }
  }
  for (const int64_t depth : plan.depths) {
    const int before = static_cast<int>(depth);
    if (plan.decode) points.push_back({Kind::kDecode, plan.gen, before});
    if (plan.kernels) points.push_back({Kind::kDecodeParts, plan.gen, before});
    if (!plan.batch) continue;
    for (const int64_t sequences : plan.batches)
      points.push_back({Kind::kBatch, plan.gen, before, static_cast<int>(sequences)});
  }
  return points;
}

bool is_by_part(const Point& point) {
  return point.kind == Kind::kPrefillParts || point.kind == Kind::kDecodeParts;
}

Result<engine::Timing> time_point(engine::Engine& engine, const Point& point) {
  if (point.kind == Kind::kPrefill) return engine.time_prefill(point.tokens, point.depth);
  if (point.kind == Kind::kDecode) return engine.time_decode(point.tokens, point.depth);
  return engine.time_batch(point.sequences, point.tokens, point.depth);
}

Status measure(engine::Engine& engine, Point& point) {
  if (is_by_part(point)) {
    CRESSET_TRY(parts, engine.time_parts(point.kind == Kind::kDecodeParts, point.tokens, point.depth));
    for (size_t i = 0; i < parts.size(); ++i) point.parts[i] += parts[i];
    return {};
  }
  CRESSET_TRY(timing, time_point(engine, point));
  point.seconds.push_back(timing.seconds);
  point.work = timing;
  return {};
}

// The roofline of the run: the median of what each round measured.
class RooflineRounds {
 public:
  void add(const engine::Roofline& roofline) { rounds_.push_back(roofline); }
  bool is_empty() const { return rounds_.empty(); }
  const engine::Roofline& first() const { return rounds_.front(); }
  double get(double engine::Roofline::* figure) const {
    std::vector<double> values;
    for (const engine::Roofline& round : rounds_) values.push_back(round.*figure);
    return median(std::move(values));
  }

 private:
  std::vector<engine::Roofline> rounds_;
};

// Figures in the names of the peer's instrument: GB are 10^9 bytes, an operation is a product or its
// addition.
Json roofline_line(const RooflineRounds& rounds, std::string_view kernels) {
  using engine::Roofline;
  Json line = Json::object({{"bench", "roofline"}, {"threads", rounds.first().threads}});
  const auto add = [&](const std::string& name, double Roofline::* figure, double unit, int digits) {
    const double value = rounds.get(figure);
    if (value > 0) line.set(name, rounded(value / unit, digits));
  };
  add("read_1GiB_GBps", &Roofline::dram_bytes_s, 1e9, 1);
  add("read_12MiB_GBps", &Roofline::l3_bytes_s, 1e9, 1);
  add("read_1MiB_GBps", &Roofline::l2_bytes_s, 1e9, 1);
  add(std::string(rounds.first().int8_instruction) + "_TOPS", &Roofline::int8_operations_s, 1e12, 3);
  add("fma_f32_TFLOPS", &Roofline::float32_operations_s, 1e12, 3);
  add("vdpbf16_TFLOPS", &Roofline::bfloat16_operations_s, 1e12, 3);
  line.set("kernels", kernels);
  return line;
}

Json parts_line(const Point& point, std::string_view kernels) {
  double total = 0;
  for (const double seconds : point.parts) total += seconds;
  Json shares = Json::object();
  for (size_t i = 0; i < point.parts.size(); ++i) {
    shares.set(to_string(static_cast<engine::Part>(i)), total > 0 ? rounded(point.parts[i] / total, 4) : 0.0);
  }
  return Json::object({{"bench", "kernels"},
                       {"phase", point.kind == Kind::kPrefillParts ? "prefill" : "decode"},
                       {"tokens", point.tokens},
                       {"depth", point.depth},
                       {"shares", std::move(shares)},
                       {"kernels", kernels}});
}

Json speed_line(const Point& point, const RooflineRounds& roofline, std::string_view kernels) {
  const double tokens = static_cast<double>(point.sequences) * point.tokens;
  const auto speed = [&](double seconds) { return seconds > 0 ? rounded(tokens / seconds, 1) : 0.0; };
  const auto [low, high] = std::minmax_element(point.seconds.begin(), point.seconds.end());
  const double seconds = median(point.seconds);
  const char* name = point.kind == Kind::kPrefill  ? "prefill"
                     : point.kind == Kind::kDecode ? "decode"
                                                   : "batch";
  Json line = Json::object({{"bench", name}});
  if (point.kind == Kind::kBatch) line.set("sequences", point.sequences);
  line.set("tokens", point.tokens);
  line.set("depth", point.depth);
  line.set("tok_s", speed(seconds));
  line.set("min", speed(*high));
  line.set("max", speed(*low));
  line.set("n", point.seconds.size());
  const auto add_share = [&](const char* key, double work, double engine::Roofline::* roof) {
    const double full = roofline.get(roof) * seconds;
    if (full > 0) line.set(key, rounded(work / full, 3));
  };
  if (point.kind != Kind::kDecode)
    add_share("peak_share", point.work.weight_operations, &engine::Roofline::int8_operations_s);
  if (point.kind != Kind::kPrefill)
    add_share("bandwidth_share", point.work.bytes_read, &engine::Roofline::dram_bytes_s);
  line.set("kernels", kernels);
  return line;
}

// From nothing to a loaded engine, and to its first token: the pages may be in the system's cache.
Status bench_cold(Context& context, const ModelFile& file, int rounds) {
  std::vector<double> ready, first;
  for (int round = 0; round < rounds; ++round) {
    const sys::Instant begun = context.env.now();
    CRESSET_TRY(engine, open_engine(context, file.path));
    ready.push_back(std::chrono::duration<double>(context.env.now() - begun).count());
    CRESSET_TRY(prefilled, engine->time_prefill(16, 0));
    first.push_back(ready.back() + prefilled.seconds);
  }
  context.print_json(Json::object({{"bench", "cold_start"},
                                   {"open_to_ready_ms", rounded(1e3 * median(ready), 1)},
                                   {"open_to_first_token_ms", rounded(1e3 * median(first), 1)},
                                   {"rss_mib", static_cast<int64_t>(sys::read_resident_bytes() >> 20)},
                                   {"n", rounds}}));
  return {};
}

// One warm-up that is not counted, then the rounds. Interleaved: what else the machine does falls on all
// points and on the roofline alike.
Status run_rounds(Context& context, engine::Engine& engine, int rounds, std::vector<Point>& points,
                  RooflineRounds& roofline, bool needs_roofline) {
  Progress progress(context.env, context.terminal, "measuring");
  if (!points.empty()) {
    Point warm_up = points.front();
    CRESSET_TRY_STATUS(measure(engine, warm_up));
  }
  for (int round = 0; round < rounds; ++round) {
    if (needs_roofline) {
      CRESSET_TRY(measured, engine.measure_roofline());
      roofline.add(measured);
    }
    for (size_t i = 0; i < points.size(); ++i) {
      CRESSET_TRY_STATUS(measure(engine, points[i]));
      progress.show(static_cast<size_t>(round) * points.size() + i + 1,
                    static_cast<size_t>(rounds) * points.size());
    }
  }
  return {};
}

Result<int> run_bench(Context& context) {
  CRESSET_TRY(plan, read_plan(context.args));
  CRESSET_TRY(file, find_model(context, context.args.arguments[0]));
  if (plan.cold) CRESSET_TRY_STATUS(bench_cold(context, file, plan.rounds));
  std::vector<Point> points = points_of(plan);
  if (points.empty() && !plan.roofline) return 0;
  CRESSET_TRY(engine, open_engine(context, file.path));
  RooflineRounds roofline;
  const bool has_shares = plan.prefill || plan.decode || plan.batch;
  CRESSET_TRY_STATUS(
      run_rounds(context, *engine, plan.rounds, points, roofline, plan.roofline || has_shares));
  const std::string_view kernels = engine->kernel_name();
  if (plan.roofline) context.print_json(roofline_line(roofline, kernels));
  for (const Point& point : points) {
    context.print_json(is_by_part(point) ? parts_line(point, kernels) : speed_line(point, roofline, kernels));
  }
  return 0;
}

}  // namespace

std::vector<Command> bench_commands() {
  return {
      {{"bench", "MODEL", "Measure prefill and decode speed and their share of the machine; JSON lines",
        "One warm-up that is not counted, then rounds in which every point is measured once; medians are\n"
        "printed. peak_share: of the int8 multiplications that this run measured, those with weights that "
        "the\n"
        "prompt needs. bandwidth_share: of the memory bandwidth that this run measured, what reading each\n"
        "weight once a step, and the keys and values, needs.\n\n"
        "  prefill   a prompt of each of --lengths after each of --prefill-depths\n"
        "  decode    --gen tokens after each of --depths\n"
        "  batch     the same for each of --batches sequences at once, each with its own context\n"
        "  kernels   the parts of the forward pass, as shares of the threads' time, for both\n"
        "  cold      opening the model, and its first token\n"
        "  roofline  what the machine reads and multiplies at most, with these kernels and threads",
        "cresset bench smollm2 --lengths 512,2048 --depths 0,2048 --gen 128 --rounds 3\n"
        "cresset bench smollm2 --only roofline,batch,kernels --batches 1,16",
        with_engine_flags(
            {{"--only", "PARTS", "prefill,decode (default), batch, kernels, cold, roofline"},
             {"--lengths", "N,N", "prompt lengths (default 512,2048)"},
             {"--prefill-depths", "N,N", "tokens of context before a prompt (default: --depths)"},
             {"--depths", "N,N", "tokens of context before (default 0)"},
             {"--batches", "N,N", "sequences at once (default 1,2,4,8,16,32)"},
             {"--gen", "N", "tokens to decode (default 128)"},
             {"--rounds", "N", "measurements of each point (default 3)"}}),
        1, 1},
       run_bench},
  };
}

}  // namespace cresset::cli
