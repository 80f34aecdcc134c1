#include "engine/load/gguf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <random>

#include "sys/crypto.h"
#include "sys/env.h"
#include "testing/gguf_walk.h"
#include "testing/gguf_writer.h"
#include "testing/paths.h"

namespace cresset::engine {
namespace {

using testing::GgufWriter;
using FileBytes = std::vector<std::byte>;

constexpr auto kArrayNumber = static_cast<uint32_t>(GgufType::kArray);
constexpr auto kU8Number = static_cast<uint32_t>(GgufType::kU8);

std::string error_of(const Result<Gguf>& file) {
  return file ? "" : file.error().message();
}

template <class T>
std::string error_of(const Result<T>& value) {
  return value ? "" : value.error().message();
}

bool says(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos;
}

// A little of everything, about 700 bytes.
GgufWriter small_file() {
  GgufWriter writer;
  writer.put_string("general.architecture", "llama");
  writer.set_alignment(64);
  writer.put_u32("llama.block_count", 2);
  writer.put_u64("big", std::numeric_limits<uint64_t>::max());
  writer.put_i32("negative", -5);
  writer.put_f32("eps", 0.25F);
  writer.put_bool("yes", true);
  writer.put_strings("tokens", std::vector<std::string>{"a", "", "\xff\x80"});
  writer.put_floats("scores", std::vector<float>{0.0F, -1.5F});
  writer.put_i32s("kinds", std::vector<int32_t>{1, -2, 3});
  writer.add_tensor("norm", {4}, std::vector<float>{1, 2, 3, 4});
  writer.add_tensor("matrix", Format::kQ4_0, {32, 2}, FileBytes(36, std::byte{0x3C}));
  return writer;
}

TEST(Gguf, GivesBackWhatWasWritten) {
  const FileBytes bytes = small_file().finish();
  const auto file = Gguf::open(bytes, "small.gguf");
  ASSERT_TRUE(file) << error_of(file);
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->values().size(), 10u);
  EXPECT_EQ(file->values()[2].first, "llama.block_count");
  EXPECT_EQ(file->read_string("general.architecture").value(), "llama");
  EXPECT_EQ(file->read_unsigned("llama.block_count").value(), 2u);
  EXPECT_EQ(file->read_unsigned("big").value(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(file->read_signed("negative").value(), -5);
  EXPECT_EQ(file->read_float("eps").value(), 0.25);
  EXPECT_TRUE(file->read_bool("yes").value());
  EXPECT_EQ(file->read_strings("tokens").value(), (std::vector<std::string_view>{"a", "", "\xff\x80"}));
  EXPECT_EQ(file->read_floats("scores").value(), (std::vector<float>{0.0F, -1.5F}));
  EXPECT_EQ(file->read_integers("kinds").value(), (std::vector<int64_t>{1, -2, 3}));

  ASSERT_EQ(file->tensors().size(), 2u);
  const GgufTensor* matrix = file->find_tensor("matrix");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(matrix->format, Format::kQ4_0);
  EXPECT_EQ(matrix->columns(), 32u);
  EXPECT_EQ(matrix->rows(), 2u);
  EXPECT_EQ(matrix->bytes.size(), 36u);
  EXPECT_EQ((matrix->bytes.data() - bytes.data()) % 64, 0);
  EXPECT_EQ(matrix->bytes[35], std::byte{0x3C});
  EXPECT_EQ(file->find_tensor("matri"), nullptr);
}

// Names, formats, shapes and alignments at random, from one seed a file.
TEST(Gguf, GivesBackAnyFileThatTheWriterMakes) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
    GgufWriter writer;
    if (below(2) == 1) writer.set_alignment(8u << below(6));
    std::vector<std::string> words(below(20));
    for (std::string& word : words) {
      word.resize(below(12));
      for (char& c : word) c = static_cast<char>(below(256));
    }
    writer.put_strings("words", words);
    struct Written {
      Format format;
      std::vector<uint64_t> dims;
      FileBytes bytes;
    };
    std::vector<Written> written(below(8));
    for (size_t i = 0; i < written.size(); ++i) {
      const FormatTraits& f = all_formats()[below(kFormatCount)];
      uint64_t blocks = 1 + below(3);
      written[i] = {f.format, {blocks * f.block_items}, {}};
      for (uint32_t extra = below(4); extra > 0; --extra) {
        written[i].dims.push_back(1 + below(3));
        blocks *= written[i].dims.back();
      }
      written[i].bytes.resize(blocks * f.block_bytes);
      for (std::byte& b : written[i].bytes) b = static_cast<std::byte>(below(256));
      writer.add_tensor("t" + std::to_string(i), f.format, written[i].dims, written[i].bytes);
    }

    const FileBytes bytes = writer.finish(2 + below(2));
    const auto file = Gguf::open(bytes, "random");
    ASSERT_TRUE(file) << "seed " << seed << ": " << error_of(file);
    const auto read = file->read_strings("words").value();
    ASSERT_TRUE(std::equal(read.begin(), read.end(), words.begin(), words.end())) << "seed " << seed;
    ASSERT_EQ(file->tensors().size(), written.size());
    for (size_t i = 0; i < written.size(); ++i) {
      const GgufTensor* tensor = file->find_tensor("t" + std::to_string(i));
      ASSERT_NE(tensor, nullptr);
      ASSERT_EQ(tensor->format, written[i].format) << "seed " << seed;
      ASSERT_EQ(tensor->dims, written[i].dims) << "seed " << seed;
      ASSERT_TRUE(std::ranges::equal(tensor->bytes, written[i].bytes)) << "seed " << seed;
    }
  }
}

TEST(Gguf, ReadsEveryTypeAtItsBorders) {
  const auto bytes =
      *sys::make_posix_env()->read_file(testing::source_path("fuzz/corpus/gguf/good-all-types.gguf"), 4096);
  const auto file = Gguf::open(std::as_bytes(std::span(bytes)), "types");
  ASSERT_TRUE(file) << error_of(file);
  EXPECT_EQ(file->read_unsigned("u8").value(), 255u);
  EXPECT_EQ(file->read_signed("i8").value(), -1);
  EXPECT_EQ(file->read_unsigned("u16").value(), 65535u);
  EXPECT_EQ(file->read_signed("i16").value(), -32768);
  EXPECT_EQ(file->read_signed("u32").value(), 4294967295);
  EXPECT_EQ(file->read_signed("i32").value(), std::numeric_limits<int32_t>::min());
  EXPECT_EQ(file->read_signed("i64").value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(file->read_unsigned("u64").value(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(file->read_float("f32").value(), 0.5);
  EXPECT_EQ(file->read_float("f64").value(), 1e300);
  EXPECT_EQ(file->read_string("string").value(), "grüß");
  EXPECT_EQ(file->read_strings("strings").value(), (std::vector<std::string_view>{"a", "", {"\xff\0", 2}}));
  EXPECT_TRUE(file->read_integers("empty").value().empty());
}

TEST(Gguf, AWrongTypeIsAnErrorThatNamesKeyAndTypes) {
  GgufWriter writer = small_file();
  writer.put_f32("nan", std::numeric_limits<float>::quiet_NaN());
  writer.put_floats("infinite", std::vector<float>{1, std::numeric_limits<float>::infinity()});
  const FileBytes bytes = writer.finish();
  const auto file = Gguf::open(bytes, "small.gguf");
  ASSERT_TRUE(file) << error_of(file);
  EXPECT_EQ(error_of(file->read_string("eps")), "small.gguf: key \"eps\" is f32, expected string");
  EXPECT_EQ(error_of(file->read_unsigned("eps")),
            "small.gguf: key \"eps\" is f32, expected an unsigned integer");
  EXPECT_EQ(error_of(file->read_unsigned("yes")),
            "small.gguf: key \"yes\" is bool, expected an unsigned integer");
  EXPECT_EQ(error_of(file->read_unsigned("negative")), "small.gguf: key \"negative\" is negative");
  EXPECT_EQ(error_of(file->read_signed("big")), "small.gguf: key \"big\" is over 63 bits");
  EXPECT_EQ(error_of(file->read_float("llama.block_count")),
            "small.gguf: key \"llama.block_count\" is u32, expected f32 or f64");
  EXPECT_EQ(error_of(file->read_float("nan")), "small.gguf: key \"nan\" is not a finite number");
  EXPECT_EQ(error_of(file->read_floats("infinite")),
            "small.gguf: key \"infinite\", item 1 is not a finite number");
  EXPECT_EQ(error_of(file->read_strings("scores")),
            "small.gguf: key \"scores\" is array of f32, expected array of string");
  EXPECT_EQ(error_of(file->read_integers("tokens")),
            "small.gguf: key \"tokens\" is array of string, expected array of integers");
  EXPECT_EQ(error_of(file->read_floats("kinds")),
            "small.gguf: key \"kinds\" is array of i32, expected array of f32 or f64");
  EXPECT_EQ(file->read_bool("eps").error().code, Code::kCorrupt);
}

TEST(Gguf, ADefaultStandsForAnAbsentKeyAndNotForAWrongOne) {
  const FileBytes bytes = small_file().finish();
  const auto file = Gguf::open(bytes, "small.gguf");
  ASSERT_TRUE(file) << error_of(file);
  EXPECT_EQ(file->read_unsigned("absent").error().code, Code::kNotFound);
  EXPECT_EQ(file->read_unsigned_or("absent", 7).value(), 7u);
  EXPECT_EQ(file->read_float_or("absent", 0.5).value(), 0.5);
  EXPECT_TRUE(file->read_bool_or("absent", true).value());
  EXPECT_EQ(file->read_string_or("absent", "x").value(), "x");
  EXPECT_FALSE(file->read_unsigned_or("eps", 7));
  EXPECT_FALSE(file->read_float_or("yes", 0.5));
  EXPECT_FALSE(file->read_bool_or("eps", true));
  EXPECT_FALSE(file->read_string_or("eps", "x"));
}

// What the refusal of each seed must say. A seed that is not here fails the test.
const std::map<std::string, std::string>& reasons() {
  static const std::map<std::string, std::string> kReasons = {
      {"bad-magic", "not a GGUF file"},
      {"bad-version-1", "GGUF version 1 is not read"},
      {"bad-big-endian", "the file is big-endian"},
      {"bad-short-header", "the key count needs 8 bytes, but 4 remain"},
      {"bad-cve-2024-21802-dims", "tensor \"a\" has 5 dimensions"},
      {"bad-dims-4-billion", "tensor \"a\" has 4294967295 dimensions"},
      {"bad-dims-none", "tensor \"a\" has 0 dimensions"},
      {"bad-dim-zero", "tensor \"a\" has 0 in dimension 1"},
      {"bad-cve-2024-21825-array", "key \"a\" claims 2305843009213693953 items of type u64"},
      {"bad-cve-2024-21825-strings", "key \"a\" claims 1152921504606846976 items of type string"},
      {"bad-cve-2024-21836-tensor-count", "the tensor count 2305843009213693952 needs more"},
      {"bad-cve-2024-23496-string", "key \"a\" needs 18446744073709551615 bytes, but 64 remain"},
      {"bad-cve-2024-23496-key", "a key needs 18446744073709551615 bytes, but 64 remain"},
      {"bad-cve-2024-23605-key-count", "the key count 1152921504606846976 needs more"},
      {"bad-cve-2025-49847-token", "key \"tokenizer.ggml.tokens\" needs 2147483664 bytes, but 64 remain"},
      {"bad-cve-2025-53630-sum", "tensor \"a\" needs 9223372036854775776 bytes at offset 0"},
      {"bad-cve-2026-33298-product", "tensor \"a\" has 4294967296 in dimension 1: more values than 63 bits"},
      {"bad-product-2-42", "tensor \"a\" needs 5383208929592520 bytes"},
      {"bad-product-four-dims", "tensor \"a\" has 65536 in dimension 3: more values than 63 bits"},
      {"bad-bytes-overflow", "more bytes than 64 bits can count"},
      {"bad-cve-2026-7482-beyond-file",
       "tensor \"a\" needs 2097152 bytes at offset 0, but the data section has 64"},
      {"bad-one-byte-short", "tensor \"a\" needs 32 bytes at offset 0, but the data section has 31"},
      {"bad-no-data", "tensor \"a\" needs 32 bytes at offset 0, but the data section has 0"},
      {"bad-offset-beyond", "tensor \"a\" needs 32 bytes at offset 4096"},
      {"bad-offset-overflow", "tensor \"a\" needs 32 bytes at offset 18446744073709551584"},
      {"bad-offset-misaligned", "tensor \"a\" has offset 4, which is not a multiple of the alignment 32"},
      {"bad-overlap", "tensors \"a\" and \"b\" overlap"},
      {"bad-overlap-same", "overlap"},
      {"bad-alignment-zero", "general.alignment is 0"},
      {"bad-alignment-huge", "general.alignment is 2147483648"},
      {"bad-alignment-odd", "general.alignment is 48"},
      {"bad-alignment-4", "general.alignment is 4"},
      {"bad-alignment-u64", "general.alignment is 9223372036854775808"},
      {"bad-alignment-signed", "key \"general.alignment\" is i32, expected an unsigned integer"},
      {"bad-alignment-string", "key \"general.alignment\" is string, expected an unsigned integer"},
      {"bad-alignment-array", "key \"general.alignment\" is array of u32, expected an unsigned integer"},
      {"bad-array-2-63", "key \"a\" claims 9223372036854775808 items of type u8"},
      {"bad-nested-array-2-62", "key \"a\" claims 4611686018427387904 items of type array"},
      {"bad-key-count-2-63", "the key count 9223372036854775808 needs more"},
      {"bad-tensor-count-2-63", "the tensor count 9223372036854775808 needs more"},
      {"bad-huge-array", "key \"a\" claims 1099511627776 items of type u8"},
      {"bad-huge-empty-arrays", "key \"a\" claims 4294967296 items of type array"},
      {"bad-nested-deep", "key \"a\" nests arrays over the limit of 4"},
      {"bad-value-type", "key \"a\" has value type 13"},
      {"bad-value-type-negative", "key \"a\" has value type 4294967295"},
      {"bad-item-type", "key \"a\" has value type 99"},
      {"bad-bool", "key \"a\" has a bool that is neither 0 nor 1"},
      {"bad-bool-in-array", "key \"a\" has a bool that is neither 0 nor 1"},
      {"bad-tensor-type", "tensor \"a\" is of type IQ2_XXS, which is not read"},
      {"bad-tensor-type-unknown", "tensor \"a\" is of type 4294967295, which is not read"},
      {"bad-row-not-blocks", "a row of 576 values is not a whole number of Q4_K blocks of 256"},
      {"bad-key-twice", "key \"general.architecture\" appears twice"},
      {"bad-key-empty", "a key is empty"},
      {"bad-key-not-utf8", "a key is not UTF-8: \"a\xef\xbf\xbd\""},
      {"bad-tensor-twice", "tensor \"a\" appears twice"},
      {"bad-tensor-empty-name", "a tensor name is empty"},
      {"bad-tensor-long-name", "a tensor name has a string of 256 bytes, over the limit of 255"},
      {"bad-tensor-terminal-name", "tensor \"\\x1b]0;owned\\x07\\x9b31m\": a row of 7 values"},
  };
  return kReasons;
}

TEST(Gguf, RefusesTheShapeOfEveryKnownAttackByName) {
  size_t refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testing::source_path("fuzz/corpus/gguf"))) {
    const std::string name = entry.path().stem().string();
    const auto text = sys::make_posix_env()->read_file(entry.path().string(), 4096);
    ASSERT_TRUE(text) << text.error().message();
    const FileBytes bytes(std::as_bytes(std::span(*text)).begin(), std::as_bytes(std::span(*text)).end());
    const auto file = Gguf::open(bytes, name);
    if (!name.starts_with("bad-")) {
      EXPECT_TRUE(file) << error_of(file);
      if (file) testing::walk_gguf(*file);
      continue;
    }
    ++refused;
    ASSERT_FALSE(file) << name << " opened";
    const auto reason = reasons().find(name);
    ASSERT_NE(reason, reasons().end()) << name << " has no reason in this test";
    EXPECT_TRUE(says(error_of(file), reason->second)) << error_of(file);
    EXPECT_TRUE(error_of(file).starts_with(name)) << "the line begins with the file: " << error_of(file);
    EXPECT_EQ(error_of(file).find_first_of("\n\x1b"), std::string::npos) << error_of(file);
  }
  EXPECT_EQ(refused, reasons().size()) << "run tools/golden/make_gguf_seeds.py";
}

TEST(Gguf, StopsAtEachLimit) {
  const FileBytes bytes = small_file().finish();
  const auto refusal = [&bytes](const GgufLimits& limits) {
    const auto file = Gguf::open(bytes, "small");
    EXPECT_TRUE(file) << "only the limit may be wrong with it";
    const auto limited = Gguf::open(bytes, "small", limits);
    EXPECT_TRUE(!limited && limited.error().code == Code::kLimit) << error_of(limited);
    return error_of(limited);
  };
  EXPECT_TRUE(says(refusal({.keys_max = 9}), "the key count 10 is over the limit of 9"));
  EXPECT_TRUE(says(refusal({.tensors_max = 1}), "the tensor count 2 is over the limit of 1"));
  EXPECT_TRUE(says(refusal({.key_bytes_max = 19}), "a key has a string of 20 bytes, over the limit of 19"));
  EXPECT_TRUE(says(refusal({.tensor_name_bytes_max = 5}), "a tensor name has a string of 6 bytes"));
  EXPECT_TRUE(
      says(refusal({.array_items_max = 7}), "key \"kinds\" brings the array items over the limit of 7"));
  EXPECT_TRUE(says(refusal({.string_bytes_max = 4}), "key \"general.architecture\" has a string of 5 bytes"));
  EXPECT_TRUE(says(refusal({.array_depth_max = 0}), "nests arrays over the limit of 0"));
  EXPECT_TRUE(Gguf::open(bytes, "small", {.keys_max = 10, .tensors_max = 2, .array_items_max = 8}));
}

TEST(Gguf, EmptyArraysInArraysCountAsItems) {
  // 12 bytes each that hold nothing: the items of all arrays together are what a reader would have to walk.
  GgufWriter writer;
  FileBytes array(12 + 12 * 100);
  array[0] = std::byte{kArrayNumber};
  array[4] = std::byte{100};
  writer.put_raw("a", kArrayNumber, array);
  const FileBytes bytes = writer.finish();
  EXPECT_TRUE(Gguf::open(bytes, "x", {.array_items_max = 100}));
  EXPECT_FALSE(Gguf::open(bytes, "x", {.array_items_max = 99}));
}

TEST(Gguf, ManyKeysAndTensorsOpenInSteadyTime) {
  GgufWriter writer;
  for (int i = 0; i < 20'000; ++i) {
    writer.put_raw("key" + std::to_string(i), kU8Number, FileBytes(1));
    writer.add_tensor("tensor" + std::to_string(i), {1}, std::vector<float>{1});
  }
  const FileBytes bytes = writer.finish();
  const auto file = Gguf::open(bytes, "many");
  ASSERT_TRUE(file) << error_of(file);
  EXPECT_NE(file->find_tensor("tensor19999"), nullptr);
  EXPECT_TRUE(file->has("key19999"));
}

// The promise of open(), checked from outside: tensors lie in the file, aligned, apart, and of the size they
// claim.
void expect_sound(const Gguf& file, std::span<const std::byte> bytes) {
  std::vector<std::span<const std::byte>> spans;
  for (const GgufTensor& tensor : file.tensors()) {
    ASSERT_GE(tensor.bytes.data(), bytes.data());
    ASSERT_LE(tensor.bytes.data() + tensor.bytes.size(), bytes.data() + bytes.size());
    ASSERT_EQ((tensor.bytes.data() - bytes.data()) % 8, 0);
    ASSERT_EQ(tensor.bytes.size(), row_bytes(tensor.format, tensor.columns()).value() * tensor.rows());
    spans.push_back(tensor.bytes);
  }
  std::sort(spans.begin(), spans.end(), [](auto a, auto b) { return a.data() < b.data(); });
  for (size_t i = 1; i < spans.size(); ++i) {
    ASSERT_LE(spans[i - 1].data() + spans[i - 1].size(), spans[i].data());
  }
  testing::walk_gguf(file);
}

TEST(Gguf, EveryChangeOfOneByteOpensOrIsRefused) {
  FileBytes bytes = small_file().finish();
  size_t opened = 0, refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    const std::byte original = bytes[at];
    for (int value = 0; value < 256; ++value) {
      bytes[at] = static_cast<std::byte>(value);
      const auto file = Gguf::open(bytes, "mutant");
      if (file) {
        ++opened;
        ASSERT_NO_FATAL_FAILURE(expect_sound(*file, bytes)) << "byte " << at << " = " << value;
      } else {
        ++refused;
        ASSERT_FALSE(file.error().what.empty());
      }
    }
    bytes[at] = original;
  }
  EXPECT_GT(opened, 0u);
  EXPECT_GT(refused, 0u);
}

TEST(Gguf, EveryTruncationThatCostsDataIsRefused) {
  const FileBytes bytes = small_file().finish();
  const auto whole = Gguf::open(bytes, "whole");
  ASSERT_TRUE(whole) << error_of(whole);
  const std::span<const std::byte> last = whole->tensors().back().bytes;
  const auto end = static_cast<size_t>(last.data() + last.size() - bytes.data());
  for (size_t length = 0; length <= bytes.size(); ++length) {
    const FileBytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    const auto file = Gguf::open(cut, "cut");
    ASSERT_EQ(file.has_value(), length >= end) << length << ": " << error_of(file);
  }
}

// The same as tools/golden/gguf_directory.py prints.
void expect_directory(const std::string& path, size_t tensors, uint64_t values, const std::string& digest) {
  const auto mapped = sys::make_posix_env()->map(path);
  ASSERT_TRUE(mapped) << mapped.error().message();
  const std::span<const std::byte> bytes = (*mapped)->bytes();
  const auto file = Gguf::open(bytes, path);
  ASSERT_TRUE(file) << error_of(file);
  EXPECT_EQ(file->tensors().size(), tensors);
  uint64_t values_seen = 0;
  std::string lines;
  for (const GgufTensor& t : file->tensors()) {
    values_seen += t.columns() * t.rows();
    lines += std::string(t.name) + " " + std::string(traits(t.format).name);
    for (size_t i = 0; i < t.dims.size(); ++i) lines += (i == 0 ? " " : ",") + std::to_string(t.dims[i]);
    lines +=
        " " + std::to_string(t.bytes.data() - bytes.data()) + " " + std::to_string(t.bytes.size()) + "\n";
  }
  EXPECT_EQ(values_seen, values);
  EXPECT_EQ(sys::to_hex(sys::sha256(lines)), digest);
}

TEST(Gguf, ReadsTheDefaultModelAsTheReferenceDoes) {
  const std::string path = testing::default_model_path();
  if (path.empty()) GTEST_SKIP() << "SmolLM2-135M-Instruct is not fetched";
  expect_directory(path, 272, 134515008, "98d7599a6dd688f9b55183093ee9bc3ddff48ec1be9a501d4e87e032855acca1");
}

TEST(Gguf, ReadsGemmaAsTheReferenceDoes) {
  const std::string path = testing::gemma_model_path();
  if (path.empty()) GTEST_SKIP() << "Gemma 3 270M is not fetched";
  expect_directory(path, 236, 268098176, "d7d938c0d96aa62d82877aabc239a0f8fdac14fc34ace52954fd16a359d32334");
}

}  // namespace
}  // namespace cresset::engine
