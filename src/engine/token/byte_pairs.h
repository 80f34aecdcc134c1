// BytePairs: byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM): words by the pre-tokenizer, then merges by rank.
// Immutable after open; thread-safe. A word of n bytes takes O(n log n).
#pragma once

#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/token/pre_tokenizer.h"
#include "engine/token/tokenizer.h"

namespace cresset::engine {

class BytePairs final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> open(const Vocabulary& vocabulary);

 private:
  // A string that merging can reach: a plain token's id, or for what is no token a number above all ids.
  using SymbolId = uint32_t;
  struct Merge {
    SymbolId left, right;
    uint32_t rank;  // kNoMerge: an empty slot
    SymbolId result;
  };
  struct Symbol {
    SymbolId id;
    uint32_t previous, next;
  };
  // Memory reused from word to word of one encode().
  struct Scratch {
    std::vector<Symbol> symbols;
    std::vector<uint64_t> queue;  // rank << 32 | index of the left symbol; a heap, smallest first
  };

  BytePairs(const Vocabulary& vocabulary, PreType pre) : Tokenizer(vocabulary), pre_(pre) {}
  Status build();
  Status read_merges();
  SymbolId intern(std::string_view text);
  void encode_text(std::string_view text, bool is_first, std::vector<Token>& out) const override;
  void encode_word(std::string_view word, Scratch& scratch, std::vector<Token>& out) const;
  void emit(SymbolId symbol, std::vector<Token>& out) const;
  size_t first_slot(SymbolId left, SymbolId right) const;
  const Merge* find_merge(SymbolId left, SymbolId right) const;
  void push(const Scratch& state, uint32_t left, std::vector<uint64_t>& queue) const;
  std::string decode_text(std::string_view text) const override;

  PreType pre_;
  std::array<std::string, 256> visible_;           // byte to its character in GPT-2's alphabet
  std::unordered_map<char32_t, uint8_t> byte_of_;  // and back
  std::array<SymbolId, 256> byte_symbols_{};
  // Symbols that are no tokens: few, if any, in an honest file.
  std::map<std::string, SymbolId, std::less<>> others_;
  std::vector<std::string_view> other_texts_;
  std::vector<Merge> merges_;  // a flat table by (left, right); a power of two, at most half of it taken
};

}  // namespace cresset::engine
