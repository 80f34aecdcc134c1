#include "gateway/metrics.h"

#include <algorithm>

#include "base/json.h"

namespace cresset::gateway {

namespace {

// vLLM's buckets for the same names.
constexpr double kFirstTokenBounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                        1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
constexpr double kPerTokenBounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
                                      0.4,  0.5,   0.75, 1,     2.5, 5,    7.5, 10};
constexpr double kDurationBounds[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10, 15,
                                      20,  30,  40,  50, 60,  120, 240, 480, 960};
constexpr double kTokenBounds[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                   500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

std::string number(double value) {
  return Json(value).write();
}

// A label's value: backslash, quote and line feed are escaped.
std::string label(std::string_view name, std::string_view value) {
  std::string out(name);
  out += "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += "# HELP ";
  out += name;
  out += ' ';
  out += help;
  out += "\n# TYPE ";
  out += name;
  out += ' ';
  out += type;
  out += '\n';
}

void line(std::string& out, std::string_view name, std::string_view labels, std::string_view value) {
  out += name;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
  out += value;
  out += '\n';
}

}  // namespace

void Histogram::observe(double value) {
  ++counts_[static_cast<size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin())];
  sum_ += value;
}

void Histogram::write(std::string& out, std::string_view name, std::string_view labels) const {
  const std::string base(name);
  uint64_t total = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i];
    const std::string bound = i < bounds_.size() ? number(bounds_[i]) : "+Inf";
    line(out, base + "_bucket", std::string(labels) + "," + label("le", bound), std::to_string(total));
  }
  line(out, base + "_sum", labels, number(sum_));
  line(out, base + "_count", labels, std::to_string(total));
}

ModelSeries::ModelSeries()
    : queue(kDurationBounds),
      first_token(kFirstTokenBounds),
      gap(kPerTokenBounds),
      per_token(kPerTokenBounds),
      duration(kDurationBounds),
      prompt(kTokenBounds),
      generation(kTokenBounds) {}

void Metrics::add(const AnswerRecord& record) {
  ModelSeries& series = of(record.model);
  ++series.endings[std::string(record.reason)];
  series.prompt_tokens += static_cast<uint64_t>(record.usage.prompt_tokens);
  series.cached_tokens += static_cast<uint64_t>(record.usage.cached_tokens);
  series.generation_tokens += static_cast<uint64_t>(record.usage.completion_tokens);
  series.duration.observe(record.duration_s);
  series.prompt.observe(record.usage.prompt_tokens);
  series.generation.observe(record.usage.completion_tokens);
  if (record.per_token_s >= 0) series.per_token.observe(record.per_token_s);
}

std::string Metrics::write(const std::vector<provider::LoadedModel>& loaded, size_t exchanges) const {
  std::string out;
  const auto gauge = [&](std::string_view name, std::string_view help, const auto& value_of) {
    head(out, name, "gauge", help);
    for (const provider::LoadedModel& m : loaded)
      line(out, name, label("model_name", m.name), value_of(m.stats));
  };
  const auto engine_counter = [&](std::string_view name, std::string_view help,
                                  uint64_t engine::EngineStats::* field) {
    head(out, name, "counter", help);
    for (const provider::LoadedModel& m : loaded)
      line(out, name, label("model_name", m.name), std::to_string(m.stats.*field));
  };
  const auto counter = [&](std::string_view name, std::string_view help, uint64_t ModelSeries::* field) {
    head(out, name, "counter", help);
    for (const auto& [model, s] : models_)
      line(out, name, label("model_name", model), std::to_string(s.*field));
  };
  const auto histogram = [&](std::string_view name, std::string_view help, Histogram ModelSeries::* field) {
    head(out, name, "histogram", help);
    for (const auto& [model, s] : models_) (s.*field).write(out, name, label("model_name", model));
  };
  gauge("vllm:num_requests_running", "Requests being computed.",
        [](const engine::EngineStats& s) { return std::to_string(s.running); });
  gauge("vllm:num_requests_waiting", "Requests waiting to be computed.",
        [](const engine::EngineStats& s) { return std::to_string(s.waiting); });
  gauge("cresset_num_requests_held", "Requests whose readers are behind: not computed until they catch up.",
        [](const engine::EngineStats& s) { return std::to_string(s.held); });
  gauge("vllm:kv_cache_usage_perc", "KV cache in use; 1 is all of it.", [](const engine::EngineStats& s) {
    return number(s.kv_bytes_max == 0
                      ? 0.0
                      : static_cast<double>(s.kv_bytes_used) / static_cast<double>(s.kv_bytes_max));
  });
  gauge("cresset_kv_cache_max_bytes", "Keys and values that all requests and the cache may have.",
        [](const engine::EngineStats& s) { return std::to_string(s.kv_bytes_max); });
  gauge("cresset_kv_cache_prefix_bytes", "Cached keys and values that no request is using.",
        [](const engine::EngineStats& s) { return std::to_string(s.kv_bytes_cached); });
  engine_counter("vllm:prefix_cache_queries_total", "Prompt tokens looked for in the prefix cache.",
                 &engine::EngineStats::prefix_queries_total);
  engine_counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
                 &engine::EngineStats::prefix_hits_total);
  engine_counter("vllm:spec_decode_num_draft_tokens_total", "Tokens drafted and verified.",
                 &engine::EngineStats::drafted_tokens_total);
  engine_counter("vllm:spec_decode_num_accepted_tokens_total", "Drafted tokens that came true.",
                 &engine::EngineStats::accepted_tokens_total);
  engine_counter("vllm:num_preemptions_total", "Requests put back to the queue for memory.",
                 &engine::EngineStats::preemptions_total);
  engine_counter("cresset_computed_prompt_tokens_total", "Prompt tokens computed so far.",
                 &engine::EngineStats::prompt_tokens_total);
  engine_counter("cresset_computed_generation_tokens_total", "Tokens written so far.",
                 &engine::EngineStats::generated_tokens_total);
  gauge("cresset_weights_bytes", "Bytes of the loaded weights.",
        [](const engine::EngineStats& s) { return std::to_string(s.weights_bytes); });
  counter("vllm:prompt_tokens_total", "Prompt tokens of finished answers.", &ModelSeries::prompt_tokens);
  counter("cresset_cached_prompt_tokens_total", "Prompt tokens read from the prefix cache.",
          &ModelSeries::cached_tokens);
  counter("vllm:generation_tokens_total", "Tokens written by finished answers.",
          &ModelSeries::generation_tokens);
  head(out, "vllm:request_success_total", "counter", "Answers that are over, by how they ended.");
  for (const auto& [model, s] : models_) {
    for (const auto& [reason, count] : s.endings) {
      line(out, "vllm:request_success_total",
           label("model_name", model) + "," + label("finished_reason", reason), std::to_string(count));
    }
  }
  histogram("vllm:time_to_first_token_seconds", "From the request to its first token.",
            &ModelSeries::first_token);
  histogram("vllm:request_queue_time_seconds", "From an answer's arrival at the engine to its computing.",
            &ModelSeries::queue);
  histogram("vllm:inter_token_latency_seconds", "Each time between two pieces of an answer.",
            &ModelSeries::gap);
  histogram("vllm:request_time_per_output_token_seconds", "An answer's mean time between tokens.",
            &ModelSeries::per_token);
  histogram("vllm:e2e_request_latency_seconds", "From the request to its end.", &ModelSeries::duration);
  histogram("vllm:request_prompt_tokens", "Prompt tokens of an answer.", &ModelSeries::prompt);
  histogram("vllm:request_generation_tokens", "Tokens written by an answer.", &ModelSeries::generation);
  head(out, "cresset_http_requests_total", "counter", "HTTP requests answered.");
  for (const auto& [key, count] : requests_) {
    line(out, "cresset_http_requests_total",
         label("path", key.first) + "," + label("status", std::to_string(key.second)), std::to_string(count));
  }
  head(out, "cresset_exchanges", "gauge", "Requests on their way through the gateway.");
  line(out, "cresset_exchanges", {}, std::to_string(exchanges));
  head(out, "cresset_slow_clients_total", "counter",
       "Streams whose client read slower than the answer was made.");
  line(out, "cresset_slow_clients_total", {}, std::to_string(slow_clients_));
  return out;
}

}  // namespace cresset::gateway
