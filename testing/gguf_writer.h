// GgufWriter: makes small GGUF files in memory for tests. It writes what it is told, also what no honest
// writer would (a duplicate key, a bad type number): the loader's tests need those.
//
//   GgufWriter writer;
//   writer.put_string("general.architecture", "llama");
//   writer.add_tensor("token_embd.weight", {columns, rows}, floats);
//   const std::vector<std::byte> file = writer.finish();
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/load/gguf.h"
#include "engine/quant/format.h"

namespace cresset::testing {

class GgufWriter {
 public:
  void put_u32(std::string_view key, uint32_t value);
  void put_u64(std::string_view key, uint64_t value);
  void put_i32(std::string_view key, int32_t value);
  void put_f32(std::string_view key, float value);
  void put_bool(std::string_view key, bool value);
  void put_string(std::string_view key, std::string_view value);
  void put_strings(std::string_view key, std::span<const std::string> values);
  void put_floats(std::string_view key, std::span<const float> values);
  void put_i32s(std::string_view key, std::span<const int32_t> values);
  // Any type number with any bytes after it.
  void put_raw(std::string_view key, uint32_t type, std::span<const std::byte> bytes);

  // Writes the key general.alignment; must come before the first tensor. 32 until then.
  void set_alignment(uint32_t bytes);

  // `dims` row length first. The bytes are in the format, or floats for F32.
  void add_tensor(std::string_view name, engine::Format format, std::vector<uint64_t> dims,
                  std::span<const std::byte> bytes);
  void add_tensor(std::string_view name, std::vector<uint64_t> dims, std::span<const float> values);
  // A directory entry alone, as it stands.
  void add_entry(std::string_view name, uint32_t ggml_id, std::span<const uint64_t> dims, uint64_t offset);

  std::vector<std::byte> finish(uint32_t version = 3) const;

 private:
  uint64_t key_count_ = 0, tensor_count_ = 0;
  uint32_t alignment_ = 32;
  std::string keys_, entries_, data_;
};

}  // namespace cresset::testing
