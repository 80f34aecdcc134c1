// Gguf::open: the only code that looks at unchecked bytes of a GGUF file.
//
// Every read goes through take(), which compares with the bytes that remain. Every count is compared with the
// remaining bytes divided by the smallest size of an item, so that nothing is ever allocated for what is not
// there.
#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <optional>

#include "base/text.h"
#include "engine/load/gguf.h"
#include "engine/load/gguf_format.h"

namespace cresset::engine {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr uint32_t kVersionMin = 2, kVersionMax = 3;
constexpr uint32_t kDimsMax = 4;
constexpr uint64_t kAlignmentDefault = 32, kAlignmentMin = 8;
// The smallest key (length, one byte, type, one byte) and tensor entry (length, one byte, one dim, type,
// offset).
constexpr uint64_t kKeyBytesMin = 8 + 1 + 4 + 1, kTensorBytesMin = 8 + 1 + 4 + 8 + 4 + 8;

std::optional<uint64_t> multiply(uint64_t a, uint64_t b) {
  if (b != 0 && a > std::numeric_limits<uint64_t>::max() / b) return std::nullopt;
  return a * b;
}

}  // namespace

class Gguf::Reader {
 public:
  Reader(Bytes bytes, const GgufLimits& limits, Gguf& file)
      : bytes_(bytes), limits_(limits), array_items_left_(limits.array_items_max), file_(file) {}

  Status read();

 private:
  Status read_header();
  Status read_key();
  Result<GgufValue> read_value(const std::string& label);
  Status read_array(const std::string& label, uint32_t depth, GgufValue& value);
  Status skip_items(const std::string& label, uint32_t depth, GgufType type, uint64_t count);
  Status read_alignment();
  Status read_tensor();
  Status read_dims(const std::string& label, GgufTensor& tensor);
  Status measure(const std::string& label, const GgufTensor& tensor);
  Status place_tensors();
  Status refuse_overlap() const;

  Result<Bytes> take(uint64_t count, std::string_view label);
  template <class T>
  Result<T> take_number(std::string_view label);
  Result<std::string_view> take_string(uint64_t bytes_max, std::string_view label);
  Result<std::string_view> take_name(uint64_t bytes_max, std::string_view label);
  Result<GgufType> take_type(const std::string& label);

  uint64_t remaining() const { return bytes_.size() - position_; }
  // The error line names the file and the place in it.
  tl::unexpected<Error> refuse(Code code, std::string what) const {
    return fail(code, std::move(what), file_.where_ + ", byte " + std::to_string(position_));
  }

  struct Place {
    uint64_t offset = 0;  // from the start of the data section
    uint64_t bytes = 0;
  };

  Bytes bytes_;
  size_t position_ = 0;
  GgufLimits limits_;
  uint64_t array_items_left_;
  uint64_t key_count_ = 0, tensor_count_ = 0;
  uint64_t alignment_ = kAlignmentDefault;
  std::vector<Place> places_;  // one for each tensor
  Gguf& file_;
};

Result<Gguf> Gguf::open(std::span<const std::byte> bytes, std::string where, GgufLimits limits) {
  Gguf file;
  file.where_ = std::move(where);
  CRESSET_TRY_STATUS(Reader(bytes, limits, file).read());
  return file;
}

Status Gguf::Reader::read() {
  CRESSET_TRY_STATUS(read_header());
  for (uint64_t i = 0; i < key_count_; ++i) CRESSET_TRY_STATUS(read_key());
  CRESSET_TRY_STATUS(read_alignment());
  for (uint64_t i = 0; i < tensor_count_; ++i) CRESSET_TRY_STATUS(read_tensor());
  return place_tensors();
}

Status Gguf::Reader::read_header() {
  CRESSET_TRY(magic, take(kMagic.size(), "the magic number"));
  if (text_of(magic) != kMagic) {
    position_ = 0;
    return refuse(Code::kCorrupt, "not a GGUF file: it does not begin with \"GGUF\"");
  }
  CRESSET_TRY(version, take_number<uint32_t>("the version"));
  if (version < kVersionMin || version > kVersionMax) {
    const bool is_swapped = (version & 0xFFFF) == 0 && version != 0;
    return refuse(Code::kUnsupported, is_swapped ? "the file is big-endian; convert it to little-endian"
                                                 : "GGUF version " + std::to_string(version) +
                                                       " is not read; versions 2 and 3 are");
  }
  file_.version_ = version;
  CRESSET_TRY(tensor_count, take_number<uint64_t>("the tensor count"));
  CRESSET_TRY(key_count, take_number<uint64_t>("the key count"));
  tensor_count_ = tensor_count;
  key_count_ = key_count;
  // First what the file cannot hold, then what we do not want to hold.
  if (key_count_ > remaining() / kKeyBytesMin) {
    return refuse(Code::kCorrupt, "the key count " + std::to_string(key_count_) + " needs more than the " +
                                      std::to_string(remaining()) + " bytes that remain");
  }
  if (tensor_count_ > (remaining() - key_count_ * kKeyBytesMin) / kTensorBytesMin) {
    return refuse(Code::kCorrupt, "the tensor count " + std::to_string(tensor_count_) +
                                      " needs more than the " + std::to_string(remaining()) +
                                      " bytes that remain");
  }
  if (key_count_ > limits_.keys_max) {
    return refuse(Code::kLimit, "the key count " + std::to_string(key_count_) + " is over the limit of " +
                                    std::to_string(limits_.keys_max));
  }
  if (tensor_count_ > limits_.tensors_max) {
    return refuse(Code::kLimit, "the tensor count " + std::to_string(tensor_count_) +
                                    " is over the limit of " + std::to_string(limits_.tensors_max));
  }
  return {};
}

Status Gguf::Reader::read_key() {
  CRESSET_TRY(key, take_name(limits_.key_bytes_max, "a key"));
  const std::string label = "key " + quoted(key);
  if (!file_.value_index_.emplace(key, file_.values_.size()).second) {
    return refuse(Code::kCorrupt, label + " appears twice");
  }
  CRESSET_TRY(value, read_value(label));
  file_.values_.emplace_back(key, value);
  return {};
}

Result<GgufValue> Gguf::Reader::read_value(const std::string& label) {
  CRESSET_TRY(type, take_type(label));
  GgufValue value;
  value.type_ = type;
  if (type == GgufType::kArray) {
    CRESSET_TRY_STATUS(read_array(label, 1, value));
    return value;
  }
  if (type == GgufType::kString) {
    CRESSET_TRY(text, take_string(limits_.string_bytes_max, label));
    value.bytes_ = std::as_bytes(std::span(text));
    return value;
  }
  const size_t start = position_;
  CRESSET_TRY_STATUS(skip_items(label, 1, type, 1));
  value.bytes_ = bytes_.subspan(start, position_ - start);
  return value;
}

// The array after its type: item type, count, items. `depth` counts arrays within arrays.
Status Gguf::Reader::read_array(const std::string& label, uint32_t depth, GgufValue& value) {
  if (depth > limits_.array_depth_max) {
    return refuse(Code::kLimit,
                  label + " nests arrays over the limit of " + std::to_string(limits_.array_depth_max));
  }
  CRESSET_TRY(item_type, take_type(label));
  CRESSET_TRY(count, take_number<uint64_t>(label));
  if (count > remaining() / value_bytes_min(item_type)) {
    return refuse(Code::kCorrupt, label + " claims " + std::to_string(count) + " items of type " +
                                      std::string(to_string(item_type)) + ", more than the " +
                                      std::to_string(remaining()) + " bytes that remain");
  }
  if (count > array_items_left_) {
    return refuse(Code::kLimit, label + " brings the array items over the limit of " +
                                    std::to_string(limits_.array_items_max));
  }
  array_items_left_ -= count;
  value.item_type_ = item_type;
  value.item_count_ = count;
  const size_t start = position_;
  CRESSET_TRY_STATUS(skip_items(label, depth, item_type, count));
  value.bytes_ = bytes_.subspan(start, position_ - start);
  return {};
}

// Checks `count` values that stand one after another, and moves behind them.
Status Gguf::Reader::skip_items(const std::string& label, uint32_t depth, GgufType type, uint64_t count) {
  if (type == GgufType::kString) {
    for (uint64_t i = 0; i < count; ++i) {
      CRESSET_TRY_STATUS(take_string(limits_.string_bytes_max, label));
    }
    return {};
  }
  if (type == GgufType::kArray) {
    for (uint64_t i = 0; i < count; ++i) {
      GgufValue item;
      CRESSET_TRY_STATUS(read_array(label, depth + 1, item));
    }
    return {};
  }
  // No overflow: the caller compared the count with the remaining bytes, or it is one.
  CRESSET_TRY(items, take(count * value_bytes_min(type), label));
  if (type == GgufType::kBool &&
      std::any_of(items.begin(), items.end(), [](std::byte b) { return b > std::byte{1}; })) {
    return refuse(Code::kCorrupt, label + " has a bool that is neither 0 nor 1");
  }
  return {};
}

Status Gguf::Reader::read_alignment() {
  const GgufValue* value = file_.find(kAlignmentKey);
  if (value == nullptr) return {};
  const GgufType type = value->type();
  if (type != GgufType::kU8 && type != GgufType::kU16 && type != GgufType::kU32 && type != GgufType::kU64) {
    return file_.mismatch(kAlignmentKey, *value, "an unsigned integer");
  }
  CRESSET_TRY(alignment, file_.read_unsigned(kAlignmentKey));
  if (alignment < kAlignmentMin || alignment > limits_.alignment_max || !std::has_single_bit(alignment)) {
    return refuse(Code::kCorrupt, "general.alignment is " + std::to_string(alignment) +
                                      "; it must be a power of two from 8 to " +
                                      std::to_string(limits_.alignment_max));
  }
  alignment_ = alignment;
  return {};
}

Status Gguf::Reader::read_tensor() {
  CRESSET_TRY(name, take_name(limits_.tensor_name_bytes_max, "a tensor name"));
  const std::string label = "tensor " + quoted(name);
  if (!file_.tensor_index_.emplace(name, file_.tensors_.size()).second) {
    return refuse(Code::kCorrupt, label + " appears twice");
  }
  GgufTensor tensor;
  tensor.name = name;
  CRESSET_TRY_STATUS(read_dims(label, tensor));
  CRESSET_TRY(ggml_id, take_number<uint32_t>(label));
  const auto format = format_of_ggml(ggml_id);
  if (!format) {
    const std::string_view known = ggml_type_name(ggml_id);
    return refuse(Code::kUnsupported, label + " is of type " +
                                          (known.empty() ? std::to_string(ggml_id) : std::string(known)) +
                                          ", which is not read");
  }
  tensor.format = *format;
  CRESSET_TRY_STATUS(measure(label, tensor));
  CRESSET_TRY(offset, take_number<uint64_t>(label));
  if (offset % alignment_ != 0) {
    return refuse(Code::kCorrupt, label + " has offset " + std::to_string(offset) +
                                      ", which is not a multiple of the alignment " +
                                      std::to_string(alignment_));
  }
  places_.back().offset = offset;
  file_.tensors_.push_back(std::move(tensor));
  return {};
}

Status Gguf::Reader::read_dims(const std::string& label, GgufTensor& tensor) {
  CRESSET_TRY(count, take_number<uint32_t>(label));
  if (count == 0 || count > kDimsMax) {
    return refuse(Code::kCorrupt,
                  label + " has " + std::to_string(count) + " dimensions; 1 to 4 are possible");
  }
  uint64_t product = 1;
  for (uint32_t i = 0; i < count; ++i) {
    CRESSET_TRY(dim, take_number<uint64_t>(label));
    const auto next = multiply(product, dim);
    if (dim == 0 || !next || *next > std::numeric_limits<int64_t>::max()) {
      return refuse(Code::kCorrupt, label + " has " + std::to_string(dim) + " in dimension " +
                                        std::to_string(i) +
                                        (dim == 0 ? "" : ": more values than 63 bits can count"));
    }
    product = *next;
    tensor.dims.push_back(dim);
  }
  return {};
}

// The tensor's size in bytes, into places_.
Status Gguf::Reader::measure(const std::string& label, const GgufTensor& tensor) {
  const auto row = row_bytes(tensor.format, tensor.columns());
  if (!row) return refuse(Code::kCorrupt, label + ": " + row.error().what);
  const auto size = multiply(*row, tensor.rows());
  if (!size) return refuse(Code::kCorrupt, label + " has more bytes than 64 bits can count");
  places_.push_back({0, *size});
  return {};
}

// The data section begins at the next multiple of the alignment. Gaps are allowed (writers leave them),
// overlap is not.
Status Gguf::Reader::place_tensors() {
  const uint64_t over = position_ % alignment_;
  const uint64_t start = over == 0 ? position_ : position_ + (alignment_ - over);
  const uint64_t data_bytes = start > bytes_.size() ? 0 : bytes_.size() - start;
  for (size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    if (place.offset > data_bytes || place.bytes > data_bytes - place.offset) {
      return refuse(Code::kCorrupt, "tensor " + quoted(file_.tensors_[i].name) + " needs " +
                                        std::to_string(place.bytes) + " bytes at offset " +
                                        std::to_string(place.offset) + ", but the data section has " +
                                        std::to_string(data_bytes) + " (is the download complete?)");
    }
    file_.tensors_[i].bytes =
        bytes_.subspan(static_cast<size_t>(start + place.offset), static_cast<size_t>(place.bytes));
  }
  return refuse_overlap();
}

Status Gguf::Reader::refuse_overlap() const {
  std::vector<size_t> order(places_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [this](size_t a, size_t b) { return places_[a].offset < places_[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const Place& before = places_[order[i - 1]];
    if (places_[order[i]].offset - before.offset < before.bytes) {
      return refuse(Code::kCorrupt, "tensors " + quoted(file_.tensors_[order[i - 1]].name) + " and " +
                                        quoted(file_.tensors_[order[i]].name) + " overlap");
    }
  }
  return {};
}

Result<Bytes> Gguf::Reader::take(uint64_t count, std::string_view label) {
  if (count > remaining()) {
    return refuse(Code::kCorrupt, std::string(label) + " needs " + std::to_string(count) + " bytes, but " +
                                      std::to_string(remaining()) + " remain (is the download complete?)");
  }
  const Bytes taken = bytes_.subspan(position_, static_cast<size_t>(count));
  position_ += taken.size();
  return taken;
}

template <class T>
Result<T> Gguf::Reader::take_number(std::string_view label) {
  CRESSET_TRY(taken, take(sizeof(T), label));
  return read_number<T>(taken.data());
}

Result<std::string_view> Gguf::Reader::take_string(uint64_t bytes_max, std::string_view label) {
  CRESSET_TRY(length, take_number<uint64_t>(label));
  // The bytes that are not there are the better complaint than the limit.
  if (length > remaining()) return take(length, label).map(text_of);
  if (length > bytes_max) {
    return refuse(Code::kLimit, std::string(label) + " has a string of " + std::to_string(length) +
                                    " bytes, over the limit of " + std::to_string(bytes_max));
  }
  return take(length, label).map(text_of);
}

Result<std::string_view> Gguf::Reader::take_name(uint64_t bytes_max, std::string_view label) {
  CRESSET_TRY(name, take_string(bytes_max, label));
  if (name.empty()) return refuse(Code::kCorrupt, std::string(label) + " is empty");
  if (!is_utf8(name)) return refuse(Code::kCorrupt, std::string(label) + " is not UTF-8: " + quoted(name));
  return name;
}

Result<GgufType> Gguf::Reader::take_type(const std::string& label) {
  CRESSET_TRY(type, take_number<uint32_t>(label));
  if (type > static_cast<uint32_t>(GgufType::kF64)) {
    return refuse(Code::kCorrupt, label + " has value type " + std::to_string(type) + "; types are 0 to 12");
  }
  return static_cast<GgufType>(type);
}

}  // namespace cresset::engine
