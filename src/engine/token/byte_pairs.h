// BytePairs: byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM): words by the pre-tokenizer, then merges by rank.
// Immutable after open; thread-safe. A word of n bytes takes O(n log n).
#pragma once

#include <array>
#include <deque>
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
  // A string that merging can reach; 0 to 255 are the single bytes.
  using SymbolId = uint32_t;
  struct Merge {
    SymbolId right;
    uint32_t rank;
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
  void build();
  SymbolId intern(std::string_view text);
  void encode_text(std::string_view text, bool is_first, std::vector<Token>& out) const override;
  void encode_word(std::string_view word, Scratch& scratch, std::vector<Token>& out) const;
  void emit(SymbolId symbol, std::vector<Token>& out) const;
  const Merge* find_merge(SymbolId left, SymbolId right) const;
  void push(const Scratch& state, uint32_t left, std::vector<uint64_t>& queue) const;
  std::string decode_text(std::string_view text) const override;

  PreType pre_;
  std::array<std::string, 256> visible_;           // byte to its character in GPT-2's alphabet
  std::unordered_map<char32_t, uint8_t> byte_of_;  // and back
  std::deque<std::string> joined_;                 // texts of symbols that are nobody else's
  std::vector<std::string_view> symbol_texts_;
  std::unordered_map<std::string_view, SymbolId> symbols_;
  std::unordered_map<std::string_view, Token> tokens_;  // plain tokens by text
  std::vector<Token> symbol_tokens_;
  std::vector<uint32_t> first_merge_;  // symbol to its merges as the left one; one more than symbols
  std::vector<Merge> merges_;          // by left, then right
};

}  // namespace cresset::engine
