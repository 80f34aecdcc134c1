// Touches everything that an opened GGUF file offers, as a model loader would: what opens must be safe to
// read. Shared by the loader's tests and its fuzz target. Throws nothing, checks nothing: the sanitizers look
// on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/load/gguf.h"

namespace cresset::testing {

// A number that depends on all that was read, so that no read can be left out by the compiler.
inline uint64_t walk_gguf(const engine::Gguf& file) {
  uint64_t sum = file.version();
  const auto add_text = [&sum](std::string_view text) {
    for (const char c : text) sum = sum * 31 + static_cast<unsigned char>(c);
  };
  for (const auto& [key, value] : file.values()) {
    add_text(key);
    add_text(to_string(value.type()));
    if (const auto v = file.read_unsigned(key)) sum += *v;
    if (const auto v = file.read_signed(key)) sum += static_cast<uint64_t>(*v);
    if (const auto v = file.read_float(key)) sum += *v > 0 ? 1 : 2;
    if (const auto v = file.read_bool(key)) sum += *v ? 1 : 2;
    if (const auto v = file.read_string(key)) add_text(*v);
    if (const auto v = file.read_strings(key)) {
      for (const std::string_view item : *v) add_text(item);
    }
    if (const auto v = file.read_floats(key)) sum += v->size();
    if (const auto v = file.read_integers(key)) sum += v->size();
  }
  for (const engine::GgufTensor& tensor : file.tensors()) {
    add_text(tensor.name);
    sum += file.find_tensor(tensor.name) == &tensor ? 1 : 0;
    for (const std::byte b : tensor.bytes) sum = sum * 31 + static_cast<uint64_t>(b);
    // One block, not a row: a row may be long, and its other blocks are no different.
    const engine::FormatTraits& traits = engine::traits(tensor.format);
    std::vector<float> block(traits.block_items);
    engine::dequantise_row(tensor.format, tensor.bytes.first(traits.block_bytes), block);
    sum += tensor.columns() * tensor.rows() + (block[0] > 0 ? 1 : 0);
  }
  return sum;
}

}  // namespace cresset::testing
