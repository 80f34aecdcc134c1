#include "cli/command_top.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>

#include "cli/running_server.h"

namespace cresset::cli {
namespace {

constexpr std::chrono::seconds kRefresh{1};
constexpr size_t kReadingsMax = 10;  // rates and times are of so many refreshes

enum class Unit { kCount, kShare, kSeconds };
struct Column {
  std::string_view title;
  size_t width;
  std::string_view member;  // of a model in top_json
  Unit unit;
};
constexpr Column kColumns[] = {
    {"RUN", 5, "running", Unit::kCount},
    {"WAIT", 6, "waiting", Unit::kCount},
    {"HELD", 6, "held", Unit::kCount},
    {"KV USED", 9, "kv_used", Unit::kShare},
    {"CACHED", 8, "kv_cached", Unit::kShare},
    {"HITS", 6, "prefix_hit_rate", Unit::kShare},
    {"IN tok/s", 10, "prompt_tok_s", Unit::kCount},
    {"OUT", 6, "generation_tok_s", Unit::kCount},
    {"TTFT p50", 10, "ttft_p50_s", Unit::kSeconds},
    {"p99", 8, "ttft_p99_s", Unit::kSeconds},
    {"ITL p50", 9, "itl_p50_s", Unit::kSeconds},
    {"p99", 8, "itl_p99_s", Unit::kSeconds},
};
constexpr size_t kNameWidth = 24;

std::string number(double value, int decimals) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string cell(const Json& value, Unit unit) {
  if (!value.is_number()) return "-";
  const double n = value.as_number();
  switch (unit) {
    case Unit::kCount:
      return number(n, 0);
    case Unit::kShare:
      return number(100 * n, 0) + " %";
    case Unit::kSeconds:
      break;
  }
  return n < 10 ? number(1000 * n, n < 0.01 ? 1 : 0) + " ms" : number(n, 1) + " s";
}

std::string padded(std::string text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

Json or_null(std::optional<double> value) {
  return value ? Json(*value) : Json();
}

std::optional<double> ratio(std::optional<double> part, std::optional<double> whole) {
  if (!part || !whole || *whole <= 0) return std::nullopt;
  return *part / *whole;
}

// How much a counter went up between the readings; a server that was started anew begins at 0.
std::optional<double> increase(const TopView& view, std::string_view name, const std::string& model) {
  const auto now = view.now.value(name, model);
  if (!now) return std::nullopt;
  const double before = view.before.value(name, model).value_or(0);
  return *now >= before ? *now - before : *now;
}

std::optional<double> rate(const TopView& view, std::string_view name, const std::string& model) {
  if (view.seconds <= 0) return std::nullopt;
  return ratio(increase(view, name, model), view.seconds);
}

Json model_json(const TopView& view, const std::string& model) {
  const auto now = [&](std::string_view name) { return view.now.value(name, model); };
  const auto quantile = [&](std::string_view name, double q) {
    return or_null(view.now.quantile(name, model, q, view.before));
  };
  constexpr std::string_view kTtft = "vllm:time_to_first_token_seconds",
                             kItl = "vllm:inter_token_latency_seconds";
  return Json::object(
      {{"model", model},
       {"running", or_null(now("vllm:num_requests_running"))},
       {"waiting", or_null(now("vllm:num_requests_waiting"))},
       {"held", or_null(now("cresset_num_requests_held"))},
       {"kv_used", or_null(now("vllm:kv_cache_usage_perc"))},
       {"kv_cached", or_null(ratio(now("cresset_kv_cache_prefix_bytes"), now("cresset_kv_cache_max_bytes")))},
       {"prefix_hit_rate", or_null(ratio(increase(view, "vllm:prefix_cache_hits_total", model),
                                         increase(view, "vllm:prefix_cache_queries_total", model)))},
       {"prompt_tok_s", or_null(rate(view, "cresset_computed_prompt_tokens_total", model))},
       {"generation_tok_s", or_null(rate(view, "cresset_computed_generation_tokens_total", model))},
       {"ttft_p50_s", quantile(kTtft, 0.5)},
       {"ttft_p99_s", quantile(kTtft, 0.99)},
       {"itl_p50_s", quantile(kItl, 0.5)},
       {"itl_p99_s", quantile(kItl, 0.99)}});
}

Result<MetricsText> read_metrics(Context& context) {
  CRESSET_TRY(text, ask_server(context, "/metrics"));
  auto metrics = MetricsText::parse(text);
  if (!metrics || metrics->sum("cresset_exchanges") <= 0) {
    return fail(Code::kCorrupt, "what answers there is not a cresset server", context.config.listen.text());
  }
  return metrics;
}

// The next refresh, or Ctrl-C.
class Pause {
 public:
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    wake_.notify_all();
  }
  // False: stopped.
  bool wait() {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, kRefresh, [this] { return is_over_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_over_ = false;
};

Result<int> run_once(Context& context) {
  CRESSET_TRY(now, read_metrics(context));
  const MetricsText nothing;
  const TopView view{now, nothing, 0};
  if (context.json()) {
    context.print_json(top_json(view));
  } else {
    context.terminal.out(top_frame(view));
  }
  return 0;
}

std::string clear_lines(const std::string& frame) {
  std::string out;
  for (const char c : frame) out += c == '\n' ? std::string("\x1b[K\n") : std::string(1, c);
  return out;
}

Result<int> run_top(Context& context) {
  if (context.args.has("--once") || context.json()) return run_once(context);
  struct Reading {
    sys::Instant at;
    MetricsText metrics;
  };
  Pause pause;
  const auto watch = context.parts.on_interrupt([&pause] { pause.stop(); });
  std::deque<Reading> readings;
  const bool is_screen = context.terminal.out_is_terminal();
  do {
    CRESSET_TRY(now, read_metrics(context));
    readings.push_back({context.env.now(), std::move(now)});
    if (readings.size() > kReadingsMax + 1) readings.pop_front();
    const Reading &first = readings.front(), &last = readings.back();
    const double seconds = std::chrono::duration<double>(last.at - first.at).count();
    const std::string frame = top_frame({last.metrics, first.metrics, seconds});
    // Home, the frame with each line cleared to its end, and what was below it.
    context.terminal.out(is_screen ? "\x1b[H" + clear_lines(frame) + "\x1b[J" : frame + "\n");
  } while (pause.wait());
  return 0;
}

}  // namespace

Json top_json(const TopView& view) {
  Json models = Json::array();
  for (const std::string& model : view.now.models()) models.push(model_json(view, model));
  return Json::object({{"seconds", view.seconds > 0 ? Json(view.seconds) : Json()},
                       {"exchanges", view.now.sum("cresset_exchanges") - 1},  // without this question
                       {"answers", view.now.sum("vllm:request_success_total")},
                       {"preemptions", view.now.sum("vllm:num_preemptions_total")},
                       {"slow_clients", view.now.sum("cresset_slow_clients_total")},
                       {"models", std::move(models)}});
}

std::string top_frame(const TopView& view) {
  const Json all = top_json(view);
  const auto total = [&](std::string_view name) { return cell(*all.find(name), Unit::kCount); };
  std::string out =
      total("exchanges") + " requests on their way, " + total("answers") + " answered; " +
      total("preemptions") + " put back for memory, " + total("slow_clients") + " slow readers\n" +
      (view.seconds > 0 ? "times of the last " + number(view.seconds, 0) + " s" : "times since its start") +
      "\n\n";
  out += "MODEL" + std::string(kNameWidth - 5, ' ');
  for (const Column& column : kColumns) out += padded(std::string(column.title), column.width);
  out += '\n';
  for (const Json& model : all.find("models")->as_array()) {
    std::string name = printable(model.find("model")->as_string());
    name.resize(std::max(name.size(), kNameWidth), ' ');
    out += name;
    for (const Column& column : kColumns)
      out += padded(cell(*model.find(column.member), column.unit), column.width);
    out += '\n';
  }
  return out;
}

Command top_command() {
  return {
      {"top",
       "",
       "Watch what the running server does",
       "Refreshed each second until Ctrl-C; rates and times are of the last ten. RUN: being computed; HELD: "
       "their\n"
       "readers are behind; KV USED and CACHED: of the memory for keys and values; HITS: prompt tokens that "
       "the\n"
       "prefix cache had; TTFT and ITL: to the first token, and between tokens (median, 99th percentile).\n"
       "--once prints one frame, --json one value; both with times since the server's start, and no rates.",
       "cresset top\n  cresset top --once",
       {{"--listen", "HOST:PORT", "the server's address"}, {"--once", "", "one frame"}},
       0,
       0},
      run_top};
}

}  // namespace cresset::cli
