#include "engine/token/tokenizer.h"

#include <algorithm>

#include "engine/token/byte_pairs.h"
#include "engine/token/sentence_piece.h"

namespace cresset::engine {

Result<std::unique_ptr<Tokenizer>> Tokenizer::open(const Vocabulary& vocabulary) {
  if (vocabulary.kind == TokenizerKind::kBytePairs) return BytePairs::open(vocabulary);
  return SentencePiece::open(vocabulary);
}

void Tokenizer::encode(std::string_view text, Special special, bool at_start, std::vector<Token>& out) const {
  const TextRange whole{0, text.size()};
  encode_ranges(text, std::span(&whole, special == Special::kParsed ? 1 : 0), at_start, out);
}

void Tokenizer::encode(std::span<const TextPiece> pieces, bool at_start, std::vector<Token>& out) const {
  std::string text;
  std::vector<TextRange> parsed;
  for (const TextPiece& p : pieces) {
    const size_t begin = text.size();
    text += p.text;
    if (p.special != Special::kParsed || p.text.empty()) continue;
    if (!parsed.empty() && parsed.back().end == begin) {
      parsed.back().end = text.size();
    } else {
      parsed.push_back({begin, text.size()});
    }
  }
  encode_ranges(text, parsed, at_start, out);
}

void Tokenizer::encode_ranges(std::string_view text, std::span<const TextRange> parsed, bool at_start,
                              std::vector<Token>& out) const {
  bool is_first = at_start;
  for (const auto& f : specials_.split(text, parsed)) {
    if (f.token == kNoToken) {
      encode_text(text.substr(f.begin, f.end - f.begin), is_first, out);
    } else {
      out.push_back(f.token);
    }
    is_first = f.token != kNoToken;
  }
}

std::string Tokenizer::decode(Token token, bool with_special) const {
  if (token < 0 || static_cast<size_t>(token) >= vocabulary_.texts.size()) return {};
  const auto id = static_cast<size_t>(token);
  const std::string& text = vocabulary_.texts[id];
  switch (vocabulary_.kinds[id]) {
    case TokenKind::kNormal:
      return decode_text(text);
    case TokenKind::kUserDefined:
      return text;
    case TokenKind::kControl:
    case TokenKind::kUnknown:
      return with_special ? text : std::string();
    case TokenKind::kUnused:
      return {};
    case TokenKind::kByte:
      break;
  }
  const int byte = byte_of_token_text(text);
  return byte < 0 ? std::string() : std::string(1, static_cast<char>(byte));
}

Token Tokenizer::find_plain(std::string_view text) const {
  const Token token = vocabulary_.find(text);
  return token != kNoToken && is_plain(vocabulary_.kinds[static_cast<size_t>(token)]) ? token : kNoToken;
}

bool Tokenizer::is_end(Token token) const {
  return std::find(vocabulary_.ends.begin(), vocabulary_.ends.end(), token) != vocabulary_.ends.end();
}

int byte_of_token_text(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  const int high = digit(text[3]), low = digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool is_plain(TokenKind kind) {
  return kind != TokenKind::kControl && kind != TokenKind::kUnknown;
}

}  // namespace cresset::engine
