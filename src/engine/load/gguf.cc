// Gguf after open: look-ups and typed reads. Everything here was checked by gguf_open.cc.
#include "engine/load/gguf.h"

#include <cmath>
#include <limits>
#include <optional>

#include "base/text.h"
#include "engine/load/gguf_format.h"

namespace cresset::engine {
namespace {

// Any integer of the format, without loss.
struct Integer {
  uint64_t bits = 0;  // two's complement
  bool is_negative = false;
};

template <class T>
Integer widen(const std::byte* at) {
  const T value = read_number<T>(at);
  return {static_cast<uint64_t>(value), std::is_signed_v<T> && value < T{0}};
}

std::optional<Integer> integer_at(GgufType type, const std::byte* at) {
  switch (type) {
    case GgufType::kU8:
      return widen<uint8_t>(at);
    case GgufType::kI8:
      return widen<int8_t>(at);
    case GgufType::kU16:
      return widen<uint16_t>(at);
    case GgufType::kI16:
      return widen<int16_t>(at);
    case GgufType::kU32:
      return widen<uint32_t>(at);
    case GgufType::kI32:
      return widen<int32_t>(at);
    case GgufType::kU64:
      return widen<uint64_t>(at);
    case GgufType::kI64:
      return widen<int64_t>(at);
    default:
      return std::nullopt;
  }
}

std::optional<double> float_at(GgufType type, const std::byte* at) {
  if (type == GgufType::kF32) return static_cast<double>(read_number<float>(at));
  if (type == GgufType::kF64) return read_number<double>(at);
  return std::nullopt;
}

bool fits_signed(Integer i) {
  return i.is_negative || i.bits <= std::numeric_limits<int64_t>::max();
}

}  // namespace

std::string_view to_string(GgufType type) {
  switch (type) {
    case GgufType::kU8:
      return "u8";
    case GgufType::kI8:
      return "i8";
    case GgufType::kU16:
      return "u16";
    case GgufType::kI16:
      return "i16";
    case GgufType::kU32:
      return "u32";
    case GgufType::kI32:
      return "i32";
    case GgufType::kF32:
      return "f32";
    case GgufType::kBool:
      return "bool";
    case GgufType::kString:
      return "string";
    case GgufType::kArray:
      return "array";
    case GgufType::kU64:
      return "u64";
    case GgufType::kI64:
      return "i64";
    case GgufType::kF64:
      return "f64";
  }
  return "unknown";
}

std::string quoted(std::string_view name) {
  constexpr size_t kShown = 100;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (std::string_view rest = name.substr(0, kShown); !rest.empty();) {
    const CodePoint c = next_code_point(rest);
    rest.remove_prefix(static_cast<size_t>(c.length));
    const bool is_control = c.value < 0x20 || (c.value >= 0x7F && c.value < 0xA0);
    if (is_control || c.value == '"') {
      out += {'\\', 'x', kHex[c.value >> 4], kHex[c.value & 0xF]};
    } else {
      append_utf8(out, c.value);
    }
  }
  return out + (name.size() > kShown ? "…\"" : "\"");
}

uint64_t GgufTensor::rows() const {
  uint64_t product = 1;
  for (size_t i = 1; i < dims.size(); ++i) product *= dims[i];
  return product;
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* Gguf::find(std::string_view key) const {
  const auto found = value_index_.find(key);
  return found == value_index_.end() ? nullptr : &values_[found->second].second;
}

Result<const GgufValue*> Gguf::require(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fail(Code::kNotFound, "the file has no key " + quoted(key), where_);
  return value;
}

tl::unexpected<Error> Gguf::mismatch(std::string_view key, const GgufValue& value,
                                     std::string_view expected) const {
  std::string found(to_string(value.type()));
  if (value.is_array()) found += " of " + std::string(to_string(value.item_type()));
  return fail(Code::kCorrupt, "key " + quoted(key) + " is " + found + ", expected " + std::string(expected),
              where_);
}

Result<uint64_t> Gguf::read_unsigned(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  const auto integer = integer_at(value->type(), value->bytes_.data());
  if (!integer) return mismatch(key, *value, "an unsigned integer");
  if (integer->is_negative) return fail(Code::kCorrupt, "key " + quoted(key) + " is negative", where_);
  return integer->bits;
}

Result<int64_t> Gguf::read_signed(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  const auto integer = integer_at(value->type(), value->bytes_.data());
  if (!integer) return mismatch(key, *value, "an integer");
  if (!fits_signed(*integer)) {
    return fail(Code::kCorrupt, "key " + quoted(key) + " is over 63 bits", where_);
  }
  return static_cast<int64_t>(integer->bits);
}

Result<double> Gguf::read_float(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  const auto number = float_at(value->type(), value->bytes_.data());
  if (!number) return mismatch(key, *value, "f32 or f64");
  if (!std::isfinite(*number)) {
    return fail(Code::kCorrupt, "key " + quoted(key) + " is not a finite number", where_);
  }
  return *number;
}

Result<bool> Gguf::read_bool(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  if (value->type() != GgufType::kBool) return mismatch(key, *value, "bool");
  return value->bytes_[0] != std::byte{0};
}

Result<std::string_view> Gguf::read_string(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  if (value->type() != GgufType::kString) return mismatch(key, *value, "string");
  return text_of(value->bytes_);
}

Result<std::vector<std::string_view>> Gguf::read_strings(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  if (!value->is_array() || value->item_type() != GgufType::kString) {
    return mismatch(key, *value, "array of string");
  }
  std::vector<std::string_view> out;
  out.reserve(value->item_count());
  std::span<const std::byte> rest = value->bytes_;
  for (uint64_t i = 0; i < value->item_count(); ++i) {
    const auto length = static_cast<size_t>(read_number<uint64_t>(rest.data()));
    out.push_back(text_of(rest.subspan(sizeof(uint64_t), length)));
    rest = rest.subspan(sizeof(uint64_t) + length);
  }
  return out;
}

Result<std::vector<float>> Gguf::read_floats(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  const GgufType type = value->item_type();
  if (!value->is_array() || (type != GgufType::kF32 && type != GgufType::kF64)) {
    return mismatch(key, *value, "array of f32 or f64");
  }
  std::vector<float> out;
  out.reserve(value->item_count());
  for (uint64_t i = 0; i < value->item_count(); ++i) {
    const double number = *float_at(type, value->bytes_.data() + i * value_bytes_min(type));
    if (!(std::abs(number) <= std::numeric_limits<float>::max())) {  // NaN too
      return fail(Code::kCorrupt,
                  "key " + quoted(key) + ", item " + std::to_string(i) + " is not a finite number", where_);
    }
    out.push_back(static_cast<float>(number));
  }
  return out;
}

Result<std::vector<int64_t>> Gguf::read_integers(std::string_view key) const {
  CRESSET_TRY(value, require(key));
  const GgufType type = value->item_type();
  if (!value->is_array()) return mismatch(key, *value, "array of integers");
  std::vector<int64_t> out;
  out.reserve(value->item_count());
  for (uint64_t i = 0; i < value->item_count(); ++i) {
    const auto integer = integer_at(type, value->bytes_.data() + i * value_bytes_min(type));
    if (!integer) return mismatch(key, *value, "array of integers");
    if (!fits_signed(*integer)) {
      return fail(Code::kCorrupt, "key " + quoted(key) + ", item " + std::to_string(i) + " is over 63 bits",
                  where_);
    }
    out.push_back(static_cast<int64_t>(integer->bits));
  }
  return out;
}

Result<uint64_t> Gguf::read_unsigned_or(std::string_view key, uint64_t otherwise) const {
  return has(key) ? read_unsigned(key) : otherwise;
}

Result<double> Gguf::read_float_or(std::string_view key, double otherwise) const {
  return has(key) ? read_float(key) : otherwise;
}

Result<bool> Gguf::read_bool_or(std::string_view key, bool otherwise) const {
  return has(key) ? read_bool(key) : otherwise;
}

Result<std::string_view> Gguf::read_string_or(std::string_view key, std::string_view otherwise) const {
  return has(key) ? read_string(key) : otherwise;
}

}  // namespace cresset::engine
