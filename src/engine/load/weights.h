// Weights: a model file's tensors, checked against what the architecture expects and repacked for the
// kernels.
//
// The repacked copy is a stated choice (docs/ARCHITECTURE.md): it replaces the mapped file, whose pages are
// dropped while the copy is made, so resident memory stays at one copy of the weights. Only the token
// embeddings are read from the mapped file, row by row. Where an earlier start has left the packed form in a
// file (load/packed_file.h), that is mapped instead.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/kernel/packed.h"
#include "engine/load/gguf.h"
#include "engine/load/packed_file.h"
#include "engine/model/config.h"
#include "engine/run/pool.h"
#include "sys/env.h"

namespace cresset::engine {

struct ExpertWeights {
  PackedMatrix router;                       // one row per expert, in floats
  std::vector<PackedMatrix> gate, up, down;  // one of each per expert
};

struct LayerWeights {
  PackedMatrix query, key, value, attention_output;
  PackedMatrix gate, up, down;  // without experts
  ExpertWeights experts;        // with them
  std::vector<float> attention_norm, feed_forward_norm;
  std::vector<float> query_bias, key_bias, value_bias;             // has_attention_biases
  std::vector<float> query_norm, key_norm;                         // has_query_key_norm
  std::vector<float> post_attention_norm, post_feed_forward_norm;  // has_post_norms
};

struct Weights {
  std::span<const std::byte> embedding;  // in the mapped file
  Format embedding_format = Format::kF32;
  PackedMatrix output;
  std::vector<float> output_norm;
  std::vector<LayerWeights> layers;
  uint64_t bytes = 0;                     // of the packed matrices
  const sys::MappedFile* file = nullptr;  // that the embedding is in
  std::unique_ptr<PackedFile> packed;     // what the matrices are views of; null: they are packed here
  std::vector<PackedPart> parts;          // the matrices in the order in which they were loaded

  // Missing, unexpected and wrongly shaped tensors are kCorrupt, by name. Sets config.rope_factors and
  // config.vocabulary. `mapped` is the file's mapping: its pages are released as they are done with.
  // `packed`, when given, is of this model; where it does not have just the matrices that are needed, it is
  // let go and they are packed.
  static Result<Weights> load(const Gguf& file, const sys::MappedFile& mapped, ModelConfig& config,
                              Arithmetic arithmetic, Pool& pool,
                              std::unique_ptr<PackedFile> packed = nullptr);
};

// The checks of load() without the packing.
Status check_tensors(const Gguf& file, const sys::MappedFile& mapped, ModelConfig& config);

}  // namespace cresset::engine
