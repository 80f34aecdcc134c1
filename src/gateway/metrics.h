// Metrics: what the gateway counts, as Prometheus text. What vLLM counts too has its name (vllm:…), so that
// dashboards and inference pools made for it find it here; the rest is cresset_…. Labels come from fixed sets
// and installed model names, never from what a client sends. Lives on the loop.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/event.h"
#include "provider/provider.h"

namespace cresset::gateway {

class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}
  void observe(double value);
  // Appends the _bucket, _sum and _count lines; `labels` without braces.
  void write(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::span<const double> bounds_;
  std::vector<uint64_t> counts_;
  double sum_ = 0;
};

// One answer of a model, over.
struct AnswerRecord {
  std::string model;        // the installed name
  std::string_view reason;  // "stop", "length", "abort", "error"
  chat::Usage usage;
  double duration_s = 0;
  double per_token_s = -1;  // time between tokens, on average; < 0: fewer than two
};

// What is counted for one model, or one provider.
struct ModelSeries {
  ModelSeries();
  uint64_t prompt_tokens = 0, cached_tokens = 0, generation_tokens = 0;
  std::map<std::string, uint64_t, std::less<>> endings;
  Histogram queue, first_token, gap, per_token, duration, prompt, generation;
};

class Metrics {
 public:
  // Stays where it is: an answer's times are observed as they pass.
  ModelSeries& of(const std::string& model) { return models_[model]; }
  void count_request(std::string_view path, int status) { ++requests_[{std::string(path), status}]; }
  void count_slow_client() { ++slow_clients_; }
  void add(const AnswerRecord& record);
  std::string write(const std::vector<provider::LoadedModel>& loaded, size_t exchanges) const;

 private:
  std::map<std::string, ModelSeries> models_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  uint64_t slow_clients_ = 0;
};

}  // namespace cresset::gateway
