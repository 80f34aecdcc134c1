// Tokenizer: text to token ids and back, byte for byte as llama.cpp does it. Immutable after open; thread-safe.
// Broken UTF-8 is taken as llama.cpp takes it; no input fails, but its length is limited by the caller.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token/vocabulary.h"

namespace cresset::engine {

enum class Special {
  kAsText,   // text that looks like a control token stays text: the only setting for text from a user
  kParsed,   // control tokens in the text become their ids: for what a template wrote itself
};

class Tokenizer {
 public:
  // Unknown pre-types are kUnsupported, by name. The vocabulary must outlive the tokenizer.
  static Result<std::unique_ptr<Tokenizer>> open(const Vocabulary& vocabulary);
  virtual ~Tokenizer() = default;

  // Appends the ids of `text`. Never adds BOS or EOS. User-defined tokens (TokenKind::kUserDefined) are always
  // matched, as llama.cpp does. `at_start`: this piece begins the sequence or follows a special token
  // (SentencePiece's space prefix, where the model has it).
  virtual void encode(std::string_view text, Special special, bool at_start, std::vector<Token>& out) const = 0;

  // The bytes of one token: may be part of a character. Control tokens give nothing unless `with_special`.
  // Out-of-range ids give nothing.
  virtual std::string decode(Token token, bool with_special = false) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  bool is_end(Token token) const;

 protected:
  explicit Tokenizer(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}
  const Vocabulary& vocabulary_;
};

}  // namespace cresset::engine
