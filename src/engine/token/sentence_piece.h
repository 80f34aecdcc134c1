// SentencePiece (BPE models: Llama 2, Mistral, Gemma): neighbours join, best score first, while the result is
// a token; what is left falls back to bytes. Immutable after open; thread-safe. O(n log n) for n bytes.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token/tokenizer.h"

namespace cresset::engine {

class SentencePiece final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> open(const Vocabulary& vocabulary);

 private:
  struct Symbol {
    size_t begin, size;  // size 0: joined to the one before
    uint32_t previous, next;
  };
  struct Bigram {
    float score;
    uint32_t left;
    size_t size;
    // A heap's order: the best score on top, then the leftmost.
    bool operator<(const Bigram& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };

  explicit SentencePiece(const Vocabulary& vocabulary);
  void encode_text(std::string_view text, bool is_first, std::vector<Token>& out) const override;
  void join(std::string_view text, std::vector<Symbol>& symbols) const;
  Token find(std::string_view text) const;  // a plain token
  std::string decode_text(std::string_view text) const override;

  size_t longest_ = 0;
  std::array<Token, 256> byte_tokens_;
};

}  // namespace cresset::engine
