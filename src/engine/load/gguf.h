// GGUF v3: a file made by an enemy in, typed views out.
//
// Every length, offset, dimension and type is checked against the bytes that remain, with overflow-safe
// arithmetic, before anything is allocated. Refused with one line that names the field: duplicate keys and
// tensors, overlapping, misaligned or out-of-range tensors, unknown tensor types, absurd counts.
// Nothing is copied but the directory: tensors and strings are views into the mapped bytes, which must
// outlive this.
//
// Format: github.com/ggml-org/ggml docs/gguf.md (version 3, little-endian; version 2 has the same layout).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/quant/format.h"

namespace cresset::engine {

struct GgufLimits {
  uint64_t keys_max = 65'536;
  uint64_t tensors_max = 1'000'000;
  uint64_t key_bytes_max = 65'535;
  uint64_t tensor_name_bytes_max = 255;
  uint64_t array_items_max = 8'000'000;  // in all arrays together
  uint64_t string_bytes_max = 16u << 20;
  uint32_t alignment_max = 1u << 20;
  uint32_t array_depth_max = 4;
};

// The value types of the format, by their numbers in the file.
enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
std::string_view to_string(GgufType type);

// One metadata value: a view. Scalars are read at once; array items on demand (they were checked at open).
class GgufValue {
 public:
  GgufType type() const { return type_; }
  bool is_array() const { return type_ == GgufType::kArray; }
  GgufType item_type() const { return item_type_; }  // arrays
  uint64_t item_count() const { return item_count_; }

 private:
  friend class Gguf;
  GgufType type_ = GgufType::kU8, item_type_ = GgufType::kU8;
  uint64_t item_count_ = 0;
  std::span<const std::byte> bytes_;  // a scalar's bytes, a string's text, an array's items as they stand
};

struct GgufTensor {
  std::string_view name;
  Format format = Format::kF32;
  // Row length first: a matrix of `rows` x `columns` has dims {columns, rows}. 1 to 4 dims, each >= 1.
  std::vector<uint64_t> dims;
  std::span<const std::byte> bytes;  // exactly the tensor's data

  uint64_t columns() const { return dims[0]; }
  uint64_t rows() const;  // product of the other dims
};

class Gguf {
 public:
  // `where` is a name for error lines (the file's path). `bytes` must outlive the result.
  static Result<Gguf> open(std::span<const std::byte> bytes, std::string where, GgufLimits limits = {});

  uint32_t version() const { return version_; }
  const std::string& where() const { return where_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;
  // Keys in file order.
  const std::vector<std::pair<std::string_view, GgufValue>>& values() const { return values_; }
  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // Typed reads. Absent: kNotFound; another type: kCorrupt, naming the key, both types.
  // Integers of any width and sign are taken where they fit (writers differ); a float never reads as an
  // integer.
  Result<uint64_t> read_unsigned(std::string_view key) const;
  Result<int64_t> read_signed(std::string_view key) const;
  Result<double> read_float(std::string_view key) const;  // f32 or f64; refuses NaN and infinity
  Result<bool> read_bool(std::string_view key) const;
  Result<std::string_view> read_string(std::string_view key) const;
  // Arrays, item by item as above.
  Result<std::vector<std::string_view>> read_strings(std::string_view key) const;
  Result<std::vector<float>> read_floats(std::string_view key) const;
  Result<std::vector<int64_t>> read_integers(std::string_view key) const;
  // The default where the key is absent; an error where it is there and of another type.
  Result<uint64_t> read_unsigned_or(std::string_view key, uint64_t otherwise) const;
  Result<double> read_float_or(std::string_view key, double otherwise) const;
  Result<bool> read_bool_or(std::string_view key, bool otherwise) const;
  Result<std::string_view> read_string_or(std::string_view key, std::string_view otherwise) const;

 private:
  class Reader;  // gguf_open.cc

  Result<const GgufValue*> require(std::string_view key) const;
  tl::unexpected<Error> mismatch(std::string_view key, const GgufValue& value,
                                 std::string_view expected) const;

  std::string where_;
  uint32_t version_ = 0;
  std::vector<std::pair<std::string_view, GgufValue>> values_;
  std::vector<GgufTensor> tensors_;
  // Ordered: names from an enemy can collide in a hash until a million of them take hours.
  std::map<std::string_view, size_t> value_index_, tensor_index_;
};

}  // namespace cresset::engine
