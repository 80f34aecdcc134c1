#include "testing/gguf_writer.h"

#include <cstring>

#include "base/check.h"

namespace cresset::testing {
namespace {

using engine::GgufType;

template <class T>
void append(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value,
              sizeof value);  // little-endian: the loader is built for no other machine
  out.append(bytes, sizeof bytes);
}

void append_string(std::string& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out.append(text);
}

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::string array_head(GgufType item_type, size_t count) {
  std::string out;
  append(out, static_cast<uint32_t>(item_type));
  append<uint64_t>(out, count);
  return out;
}

template <class T>
std::string array_of(GgufType item_type, std::span<const T> values) {
  std::string out = array_head(item_type, values.size());
  for (const T value : values) append(out, value);
  return out;
}

}  // namespace

void GgufWriter::put_raw(std::string_view key, uint32_t type, std::span<const std::byte> bytes) {
  append_string(keys_, key);
  append(keys_, type);
  keys_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  ++key_count_;
}

void GgufWriter::put_u32(std::string_view key, uint32_t value) {
  put_raw(key, static_cast<uint32_t>(GgufType::kU32), bytes_of(value));
}

void GgufWriter::put_u64(std::string_view key, uint64_t value) {
  put_raw(key, static_cast<uint32_t>(GgufType::kU64), bytes_of(value));
}

void GgufWriter::put_i32(std::string_view key, int32_t value) {
  put_raw(key, static_cast<uint32_t>(GgufType::kI32), bytes_of(value));
}

void GgufWriter::put_f32(std::string_view key, float value) {
  put_raw(key, static_cast<uint32_t>(GgufType::kF32), bytes_of(value));
}

void GgufWriter::put_bool(std::string_view key, bool value) {
  put_raw(key, static_cast<uint32_t>(GgufType::kBool), bytes_of(static_cast<uint8_t>(value ? 1 : 0)));
}

void GgufWriter::put_string(std::string_view key, std::string_view value) {
  std::string text;
  append_string(text, value);
  put_raw(key, static_cast<uint32_t>(GgufType::kString), std::as_bytes(std::span(text)));
}

void GgufWriter::put_strings(std::string_view key, std::span<const std::string> values) {
  std::string array = array_head(GgufType::kString, values.size());
  for (const std::string& value : values) append_string(array, value);
  put_raw(key, static_cast<uint32_t>(GgufType::kArray), std::as_bytes(std::span(array)));
}

void GgufWriter::put_floats(std::string_view key, std::span<const float> values) {
  const std::string array = array_of(GgufType::kF32, values);
  put_raw(key, static_cast<uint32_t>(GgufType::kArray), std::as_bytes(std::span(array)));
}

void GgufWriter::put_i32s(std::string_view key, std::span<const int32_t> values) {
  const std::string array = array_of(GgufType::kI32, values);
  put_raw(key, static_cast<uint32_t>(GgufType::kArray), std::as_bytes(std::span(array)));
}

void GgufWriter::set_alignment(uint32_t bytes) {
  CHECK(tensor_count_ == 0 && bytes > 0);
  put_u32("general.alignment", bytes);
  alignment_ = bytes;
}

void GgufWriter::add_entry(std::string_view name, uint32_t ggml_id, std::span<const uint64_t> dims,
                           uint64_t offset) {
  append_string(entries_, name);
  append(entries_, static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) append(entries_, dim);
  append(entries_, ggml_id);
  append(entries_, offset);
  ++tensor_count_;
}

void GgufWriter::add_tensor(std::string_view name, engine::Format format, std::vector<uint64_t> dims,
                            std::span<const std::byte> bytes) {
  add_entry(name, engine::traits(format).ggml_id, dims, data_.size());
  data_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (data_.size() % alignment_ != 0) data_ += '\0';
}

void GgufWriter::add_tensor(std::string_view name, std::vector<uint64_t> dims,
                            std::span<const float> values) {
  add_tensor(name, engine::Format::kF32, std::move(dims), std::as_bytes(values));
}

std::vector<std::byte> GgufWriter::finish(uint32_t version) const {
  std::string file = "GGUF";
  append(file, version);
  append(file, tensor_count_);
  append(file, key_count_);
  file += keys_;
  file += entries_;
  while (file.size() % alignment_ != 0) file += '\0';
  file += data_;
  const auto bytes = std::as_bytes(std::span(file));
  return {bytes.begin(), bytes.end()};
}

}  // namespace cresset::testing
