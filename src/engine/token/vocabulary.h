// Vocabulary: what a model file says about its tokens, read and checked once (hostile bytes in, plain data
// out).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/token/text_index.h"

namespace cresset::engine {

class Gguf;
using Token = int32_t;
constexpr Token kNoToken = -1;

enum class TokenKind : uint8_t { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };
enum class TokenizerKind { kBytePairs, kSentencePiece };

// Two neighbours that become one: the first `left_bytes` of a text, and the rest.
struct MergeRule {
  std::string joined;
  size_t left_bytes = 0;
  bool operator==(const MergeRule&) const = default;
};

struct Vocabulary {
  TokenizerKind kind = TokenizerKind::kBytePairs;
  std::string pre;                 // tokenizer.ggml.pre: "smollm", "llama-bpe", "gpt-2", ...
  std::vector<std::string> texts;  // as stored: byte-level BPE in GPT-2's visible alphabet, SPM with U+2581
  std::vector<TokenKind> kinds;    // one each
  std::vector<float> scores;       // SPM; may be empty for BPE
  TextIndex index;                 // of the texts that are not empty
  std::vector<MergeRule> merges;   // BPE, best first
  Token bos = kNoToken, eos = kNoToken, unknown = kNoToken, padding = kNoToken;
  // Tokens that end an answer: eos, eot, eom and the ones known by their text (<|im_end|>, <|eot_id|>,
  // <end_of_turn>, ...).
  std::vector<Token> ends;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
  std::string chat_template;  // empty: none

  // Appends a text and indexes it.
  TextIndex::Added add_text(std::string_view text);
  // kNoToken where there is no such token.
  Token find(std::string_view text) const;

  static constexpr uint64_t kSizeMax = 2'000'000;
  static Result<Vocabulary> read(const Gguf& file);
};

}  // namespace cresset::engine
