// TinyModel: a whole model file with random weights, small enough to compute with in a test. The same options
// and seed give the same bytes. Its vocabulary is every byte, a few merges and SmolLM2's three control
// tokens, so an answer is a stream of arbitrary bytes: half characters and broken UTF-8 come by themselves.
//
// For tests that need a broken file: `keys` replaces or removes metadata, `dims` reshapes a tensor, `without`
// leaves one out, `also` adds one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "engine/quant/format.h"

namespace cresset::testing {

// monostate: the key is left out.
using TinyValue = std::variant<std::monostate, uint32_t, float, bool, std::string>;

struct TinyModelOptions {
  std::string architecture = "llama";  // or "gemma3", "qwen2", "qwen3", "qwen3moe"
  engine::Format format = engine::Format::kQ8_0;
  size_t layers = 2, width = 64, feed_forward = 96, heads = 4, kv_heads = 2, context = 512;
  size_t sliding_window = 0;             // gemma3: of every first layer of two
  size_t experts = 5, experts_used = 2;  // qwen3moe; feed_forward is the width of each
  bool has_chat_template = true;
  uint64_t seed = 1;

  std::map<std::string, TinyValue> keys = {};
  std::map<std::string, std::vector<uint64_t>> dims = {};
  std::set<std::string> without = {};
  std::map<std::string, std::vector<uint64_t>> also = {};  // F32, zeros
};

constexpr int32_t kTinyEndOfText = 0, kTinyStart = 1,
                  kTinyEnd = 2;        // <|endoftext|>, <|im_start|>, <|im_end|>
constexpr int32_t kTinyFirstByte = 3;  // byte b is token 3 + b

std::vector<std::byte> make_tiny_model(const TinyModelOptions& options = {});
// The same as a string, for SimEnv::put_file and Env::write_atomic.
std::string tiny_model_text(const TinyModelOptions& options = {});
size_t tiny_vocabulary_size();

// `count` blocks of a format with random quants and values of about +-`size`.
std::vector<std::byte> random_blocks(engine::Format format, size_t count, float size, uint64_t seed);

}  // namespace cresset::testing
