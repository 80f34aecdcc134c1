#include "engine/run/measure.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"

namespace cresset::engine {
namespace {

constexpr size_t kTokenStride = 7919;  // made-up tokens: the time does not depend on them

// The sequences of a course and the pass that advances them.
class Runner {
 public:
  Runner(const MeasuredParts& parts, size_t sequences)
      : parts_(parts), kv_(sequences), logits_(sequences * parts.forward.logits_stride()) {}
  ~Runner() {
    for (KvSequence& kv : kv_) kv.release(parts_.cache);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  size_t length(size_t sequence) const { return kv_[sequence].length; }

  // `count` tokens more of the sequences from `first` to before `end`, in one pass.
  void advance(size_t first, size_t end, size_t count, bool with_logits) {
    runs_.clear();
    tokens_.clear();
    logit_rows_.clear();
    for (size_t s = first; s < end; ++s) {
      KvSequence& kv = kv_[s];
      kv.reserve(parts_.cache, kv.length + count);
      runs_.push_back({&kv, tokens_.size(), count});
      for (size_t i = 0; i < count; ++i) {
        tokens_.push_back(static_cast<Token>((s + kv.length + i) * kTokenStride % parts_.vocabulary));
      }
      if (with_logits) logit_rows_.push_back(tokens_.size() - 1);
    }
    parts_.forward.run(parts_.pool, runs_, tokens_, logit_rows_, logits_.data());
  }

  // One sequence to `end` positions, in passes as large as a step allows.
  void prefill(size_t sequence, size_t end, bool with_logits) {
    while (length(sequence) < end) {
      const size_t count = std::min(parts_.forward.rows_max(), end - length(sequence));
      advance(sequence, sequence + 1, count, with_logits && length(sequence) + count == end);
    }
  }

 private:
  const MeasuredParts& parts_;
  std::vector<KvSequence> kv_;
  std::vector<float> logits_;
  std::vector<Run> runs_;
  std::vector<Token> tokens_;
  std::vector<size_t> logit_rows_;
};

double weights_of(const PackedMatrix& matrix) {
  return static_cast<double>(matrix.rows()) * static_cast<double>(matrix.columns());
}

// Positions that the query at `position` sees, summed over the layers.
double positions_seen(const ModelConfig& config, size_t position) {
  double sum = 0;
  for (const LayerConfig& layer : config.layer) {
    const auto window = static_cast<size_t>(layer.sliding_window);
    sum += static_cast<double>(window == 0 ? position + 1 : std::min(window, position + 1));
  }
  return sum;
}

}  // namespace

std::string_view to_string(Part part) {
  switch (part) {
    case Part::kEmbedding:
      return "embedding";
    case Part::kNorms:
      return "norms";
    case Part::kQueryKeyValue:
      return "query_key_value";
    case Part::kRopeAndStore:
      return "rope_and_store";
    case Part::kAttention:
      return "attention";
    case Part::kAttentionOutput:
      return "attention_output";
    case Part::kGateUp:
      return "gate_up";
    case Part::kDown:
      return "down";
    case Part::kExperts:
      return "experts";
    case Part::kLogits:
      return "logits";
    case Part::kWaiting:
      return "waiting";
  }
  CHECK(false);
}

Work work_of(const ModelConfig& config, const Weights& weights, const KvShape& kv, const Course& course,
             size_t rows_max) {
  const double used_share = config.experts.count == 0 ? 0
                                                      : static_cast<double>(config.experts.used) /
                                                            static_cast<double>(config.experts.count);
  double layers = 0, expert_bytes = 0;  // layers: weights that a token meets
  for (const LayerWeights& w : weights.layers) {
    for (const PackedMatrix* m :
         {&w.query, &w.key, &w.value, &w.attention_output, &w.gate, &w.up, &w.down, &w.experts.router})
      layers += weights_of(*m);
    for (const auto* matrices : {&w.experts.gate, &w.experts.up, &w.experts.down}) {
      for (const PackedMatrix& m : *matrices) {
        layers += used_share * weights_of(m);
        expert_bytes += static_cast<double>(m.bytes());
      }
    }
  }
  const size_t passes = course.is_decode ? course.tokens : (course.tokens + rows_max - 1) / rows_max;
  const double tokens = static_cast<double>(course.sequences * course.tokens);
  const double logit_rows = course.is_decode ? tokens : static_cast<double>(course.sequences);
  Work work;
  work.weight_operations = 2 * (layers * tokens + weights_of(weights.output) * logit_rows);
  // Of the experts, as many are read as rows that choose independently leave out none of.
  const double rows = tokens / static_cast<double>(passes);
  const double unread_bytes = expert_bytes * std::pow(1 - used_share, rows);
  work.bytes_read = (static_cast<double>(weights.bytes) - unread_bytes) * static_cast<double>(passes);
  // A pass of prefill reads what its last token sees.
  const double position_bytes = static_cast<double>(kv.kv_heads * kv.head_bytes()) / kPagePositions;
  for (size_t pass = 0; pass < passes; ++pass) {
    const size_t done = course.is_decode ? pass + 1 : std::min((pass + 1) * rows_max, course.tokens);
    work.bytes_read += static_cast<double>(course.sequences) * position_bytes *
                       positions_seen(config, course.depth + done - 1);
  }
  return work;
}

Result<double> time_course(const MeasuredParts& parts, const Course& course, Profile* profile) {
  const size_t total = course.depth + course.tokens;
  if (course.sequences * pages_for(total) > parts.cache.pages_free())
    return fail(Code::kUnavailable, "not enough free key-value memory for this measurement");
  Runner runner(parts, course.sequences);
  for (size_t s = 0; s < course.sequences; ++s) runner.prefill(s, course.depth, false);
  parts.forward.set_profile(parts.pool, profile);
  const sys::Instant begun = parts.clock.now();
  if (course.is_decode) {
    for (size_t i = 0; i < course.tokens; ++i) runner.advance(0, course.sequences, 1, true);
  } else {
    for (size_t s = 0; s < course.sequences; ++s) runner.prefill(s, total, true);
  }
  const double seconds = std::chrono::duration<double>(parts.clock.now() - begun).count();
  parts.forward.set_profile(parts.pool, nullptr);
  return seconds;
}

}  // namespace cresset::engine
