// Pre-tokenizers of byte-level BPE: where words begin and end, before merges. Written by hand over code
// points, each equal to the regular expression that its family's tokenizer.json carries, as llama.cpp b11434
// runs it. Pure functions; linear time.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/token/unicode.h"

namespace cresset::engine {

enum class PreType {
  kGpt2,    // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kSmolLm,  // \p{N}, then GPT-2's on what lies between
  kLlama3,  // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
            // \s*[\r\n]+|\s+(?!\S)|\s+
  kQwen2,   // Llama 3's, but \p{N} one by one
};

// By the value of tokenizer.ggml.pre.
std::optional<PreType> find_pre_type(std::string_view name);

// A text as code points, with where each begins in the bytes.
struct CodePoints {
  std::vector<char32_t> values;
  std::vector<CharClass> classes;
  std::vector<size_t> offsets;  // one more than values

  // `text` is read loosely (unicode.h).
  explicit CodePoints(std::string_view text);
};

// Appends the end (an index into `text.values`) of each word, in order; the last is the end of the text.
void split_words(PreType type, const CodePoints& text, std::vector<size_t>& ends);

}  // namespace cresset::engine
