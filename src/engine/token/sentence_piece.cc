#include "engine/token/sentence_piece.h"

#include <algorithm>
#include <limits>

namespace cresset::engine {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581

// Length of a character by its first byte alone: what follows is not looked at.
size_t length_by_lead(char lead) {
  const auto b = static_cast<unsigned char>(lead);
  return b < 0xC0 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

std::string mark_spaces(std::string_view text, bool with_prefix) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  if (with_prefix) out += kSpaceMark;
  for (const char c : text) {
    if (c == ' ') {
      out += kSpaceMark;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> SentencePiece::open(const Vocabulary& vocabulary) {
  if (vocabulary.scores.size() != vocabulary.texts.size()) {
    return fail(Code::kCorrupt, "every token of a SentencePiece vocabulary needs a score",
                "tokenizer.ggml.scores");
  }
  return std::unique_ptr<Tokenizer>(new SentencePiece(vocabulary));
}

SentencePiece::SentencePiece(const Vocabulary& vocabulary) : Tokenizer(vocabulary) {
  byte_tokens_.fill(kNoToken);
  for (size_t i = 0; i < vocabulary.texts.size(); ++i) {
    const std::string& text = vocabulary.texts[i];
    if (text.empty() || !is_plain(vocabulary.kinds[i])) continue;
    longest_ = std::max(longest_, text.size());
    const int byte = byte_of_token_text(text);
    if (byte >= 0) byte_tokens_[static_cast<size_t>(byte)] = static_cast<Token>(i);
  }
  // Without <0xXX>: the byte as a token of its own, else the unknown one.
  for (size_t b = 0; b < 256; ++b) {
    const char c = static_cast<char>(b);
    if (byte_tokens_[b] == kNoToken) byte_tokens_[b] = find(std::string_view(&c, 1));
    if (byte_tokens_[b] == kNoToken) byte_tokens_[b] = vocabulary.unknown;
  }
}

Token SentencePiece::find(std::string_view text) const {
  if (text.size() > longest_) return kNoToken;
  return find_plain(text);
}

void SentencePiece::encode_text(std::string_view plain, bool is_first, std::vector<Token>& out) const {
  const std::string text = mark_spaces(plain, is_first && vocabulary().add_space_prefix);
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < text.size();) {
    const size_t size = std::min(length_by_lead(text[at]), text.size() - at);
    const auto index = static_cast<uint32_t>(symbols.size());
    symbols.push_back(
        {at, size, index == 0 ? kNone : index - 1, at + size == text.size() ? kNone : index + 1});
    at += size;
  }
  if (symbols.empty()) return;
  join(text, symbols);
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) {
    const std::string_view piece = std::string_view(text).substr(symbols[i].begin, symbols[i].size);
    const Token token = find(piece);
    if (token != kNoToken) {
      out.push_back(token);
      continue;
    }
    for (const char c : piece) {
      const Token byte = byte_tokens_[static_cast<unsigned char>(c)];
      if (byte != kNoToken) out.push_back(byte);
    }
  }
}

void SentencePiece::join(std::string_view text, std::vector<Symbol>& symbols) const {
  std::vector<Bigram> queue;
  const auto push = [&](uint32_t left) {
    const uint32_t right = left == kNone ? kNone : symbols[left].next;
    if (right == kNone) return false;
    const size_t size = symbols[left].size + symbols[right].size;
    const Token token = find(text.substr(symbols[left].begin, size));
    if (token == kNoToken) return false;
    queue.push_back({vocabulary().scores[static_cast<size_t>(token)], left, size});
    return true;
  };
  for (uint32_t i = 0; i < symbols.size(); ++i) push(i);
  std::make_heap(queue.begin(), queue.end());
  while (!queue.empty()) {
    const Bigram best = queue.front();
    std::pop_heap(queue.begin(), queue.end());
    queue.pop_back();
    Symbol& left = symbols[best.left];
    if (left.size == 0 || left.next == kNone) continue;
    Symbol& right = symbols[left.next];
    if (left.size + right.size != best.size) continue;  // one of the two has grown since
    left.size = best.size;
    right.size = 0;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = best.left;
    if (push(left.previous)) std::push_heap(queue.begin(), queue.end());
    if (push(best.left)) std::push_heap(queue.begin(), queue.end());
  }
}

std::string SentencePiece::decode_text(std::string_view text) const {
  std::string out;
  while (!text.empty()) {
    const bool is_mark = text.starts_with(kSpaceMark);
    out += is_mark ? ' ' : text[0];
    text.remove_prefix(is_mark ? kSpaceMark.size() : 1);
  }
  return out;
}

}  // namespace cresset::engine
