// Tokenizer: text to token ids and back, byte for byte as llama.cpp does it. Immutable after open;
// thread-safe. Broken UTF-8 is taken as llama.cpp takes it; no input fails, but its length is limited by the
// caller.
//
// One deliberate difference: a control token comes out only where its text stands in a piece that is kParsed.
// llama.cpp can also reach one by merging plain text; here the merge does not happen.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token/special_tokens.h"
#include "engine/token/vocabulary.h"

namespace cresset::engine {

enum class Special {
  kAsText,  // text that looks like a control token stays text: the only setting for text from a user
  kParsed,  // control tokens in the text become their ids: for what a template wrote itself
};

struct TextPiece {
  std::string_view text;
  Special special = Special::kAsText;
};

class Tokenizer {
 public:
  // Unknown pre-types are kUnsupported, by name. The vocabulary must outlive the tokenizer.
  static Result<std::unique_ptr<Tokenizer>> open(const Vocabulary& vocabulary);
  virtual ~Tokenizer() = default;

  // Appends the ids of `text`. Never adds BOS or EOS. User-defined tokens (TokenKind::kUserDefined) are
  // always matched, as llama.cpp does. `at_start`: this piece begins the sequence or follows a special token
  // (SentencePiece's space prefix, where the model has it).
  void encode(std::string_view text, Special special, bool at_start, std::vector<Token>& out) const;

  // The same for pieces that make up one text (what a template rendered): words and merges run across the
  // seams, as if it were one string, but a control token is found only where it lies wholly in kParsed
  // pieces.
  void encode(std::span<const TextPiece> pieces, bool at_start, std::vector<Token>& out) const;

  // The bytes of one token: may be part of a character. Control tokens give nothing unless `with_special`.
  // Out-of-range ids give nothing.
  std::string decode(Token token, bool with_special = false) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  bool is_end(Token token) const;

 protected:
  explicit Tokenizer(const Vocabulary& vocabulary) : vocabulary_(vocabulary), specials_(vocabulary) {}
  // Plain text between special tokens; `is_first`: see `at_start`.
  virtual void encode_text(std::string_view text, bool is_first, std::vector<Token>& out) const = 0;
  // The bytes of a normal token's text.
  virtual std::string decode_text(std::string_view text) const = 0;

  // The token with this text if plain text may become it.
  Token find_plain(std::string_view text) const;

  const Vocabulary& vocabulary_;

 private:
  void encode_ranges(std::string_view text, std::span<const TextRange> parsed, bool at_start,
                     std::vector<Token>& out) const;

  SpecialTokens specials_;
};

// "<0x0A>" to 10; -1 for anything else. The form of byte tokens in SentencePiece vocabularies.
int byte_of_token_text(std::string_view text);

// Kinds that plain text may become.
bool is_plain(TokenKind kind);

}  // namespace cresset::engine
