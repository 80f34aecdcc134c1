// Measuring: forward passes over made-up tokens, timed, with what they had to compute and read at least. On
// the leader, between the steps of the jobs.
#pragma once

#include "base/result.h"
#include "engine/engine.h"
#include "engine/load/weights.h"
#include "engine/model/config.h"
#include "engine/model/forward.h"
#include "engine/model/profile.h"
#include "engine/run/kv_cache.h"
#include "engine/run/pool.h"
#include "sys/env.h"

namespace cresset::engine {

// `sequences` sequences of `depth` tokens (not timed), then `tokens` more of each (timed): in passes as large
// as a step allows (prefill, whose last pass alone makes logits), or one token of each at a time (decode).
struct Course {
  size_t sequences = 1, tokens = 1, depth = 0;
  bool is_decode = false;
};

// The least that a course has to do, from the shapes alone.
struct Work {
  double weight_operations = 0;  // a multiplication with a weight and its addition are two
  // Every weight once a pass (of experts, those that are chosen), and the keys and values that may be seen.
  double bytes_read = 0;
};
Work work_of(const ModelConfig& config, const Weights& weights, const KvShape& kv, const Course& course,
             size_t rows_max);

struct MeasuredParts {
  sys::Env& clock;
  Pool& pool;
  Forward& forward;
  KvCache& cache;
  size_t vocabulary;
};

// Seconds of the timed part. kUnavailable where the key-value memory is short. With `profile`, that also says
// where they went.
Result<double> time_course(const MeasuredParts& parts, const Course& course, Profile* profile = nullptr);

}  // namespace cresset::engine
