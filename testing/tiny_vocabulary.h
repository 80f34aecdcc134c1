// Vocabularies small enough to build in a test or a fuzz target.
#pragma once

#include <string>
#include <utility>

#include "base/text.h"
#include "engine/token/vocabulary.h"

namespace cresset::testing {

inline void add_token(engine::Vocabulary& v, std::string_view text, engine::TokenKind kind, float score = 0) {
  v.add_text(text);
  v.kinds.push_back(kind);
  v.scores.push_back(score);
}

// All bytes; a few words; and merges that spell <|im_end|> letter by letter, which plain text must not reach.
// Ids 0 to 2: <|endoftext|>, <|im_start|>, <|im_end|> (control); 3: <tool> (user-defined).
inline engine::Vocabulary tiny_byte_pairs(std::string pre) {
  using engine::TokenKind;
  engine::Vocabulary v;
  v.pre = std::move(pre);
  for (const char* text : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    add_token(v, text, TokenKind::kControl);
  add_token(v, "<tool>", TokenKind::kUserDefined);
  char32_t next = 256;
  for (char32_t b = 0; b < 256; ++b) {
    const bool is_printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    std::string text;
    append_utf8(text, is_printable ? b : next++);
    add_token(v, text, TokenKind::kNormal);
  }
  const auto merge = [&](const std::string& left, const std::string& right) {
    const std::string text = left + right;
    v.merges.push_back({text, left.size()});
    if (v.find(text) == engine::kNoToken) add_token(v, text, TokenKind::kNormal);
  };
  for (const auto& [left, right] : {std::pair("l", "l"),
                                    {"h", "e"},
                                    {"he", "ll"},
                                    {"hell", "o"},
                                    {"\u0120", "\u0120"},
                                    {"a", "a"},
                                    {"aa", "aa"},
                                    {"\u0120", "hello"},
                                    {"1", "2"},
                                    {"\u010A", "\u010A"},
                                    {"'", "s"}}) {
    merge(left, right);
  }
  for (size_t i = 1; i < v.texts[2].size(); ++i) merge(v.texts[2].substr(0, i), v.texts[2].substr(i, 1));
  v.eos = 2;
  v.ends = {2, 0};
  return v;
}

// Ids 0 to 3: <unk>, <s>, </s> (control), <tool> (user-defined); then 256 byte tokens; then words.
inline engine::Vocabulary tiny_sentence_piece(bool add_space_prefix) {
  using engine::TokenKind;
  engine::Vocabulary v;
  v.kind = engine::TokenizerKind::kSentencePiece;
  add_token(v, "<unk>", TokenKind::kUnknown);
  add_token(v, "<s>", TokenKind::kControl);
  add_token(v, "</s>", TokenKind::kControl);
  add_token(v, "<tool>", TokenKind::kUserDefined);
  for (int b = 0; b < 256; ++b) {
    const char* digits = "0123456789ABCDEF";
    add_token(v, std::string("<0x") + digits[b / 16] + digits[b % 16] + ">", TokenKind::kByte);
  }
  float score = 0;
  for (const char* text : {"\u2581h", "el", "lo",  "\u2581hel", "\u2581hello", "\u2581", "\u2581\u2581",
                           "h",       "e",  "l",   "o",         "s",           "<",      ">",
                           "/",       "</", "</s", "aa",        "a",           "aaaa",   "\u4f60\u597d"}) {
    add_token(v, text, TokenKind::kNormal, score);
    score -= 1;
  }
  v.unknown = 0;
  v.bos = 1;
  v.eos = 2;
  v.ends = {2};
  v.add_space_prefix = add_space_prefix;
  return v;
}

}  // namespace cresset::testing
