#include "engine/token/byte_pairs.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "base/text.h"

namespace cresset::engine {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kNoMerge = std::numeric_limits<uint32_t>::max();
// Among four million merges that nobody chose, runs of taken slots stay far below.
constexpr size_t kProbesMax = 512;

// GPT-2's alphabet: printable Latin-1 stands for itself, the other bytes for U+0100 and up
// (openai/gpt-2, src/encoder.py, bytes_to_unicode).
std::array<char32_t, 256> visible_alphabet() {
  std::array<char32_t, 256> out{};
  char32_t next = 256;
  for (char32_t b = 0; b < 256; ++b) {
    const bool is_printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    out[b] = is_printable ? b : next++;
  }
  return out;
}

void append_loose(std::string& out, char32_t c) {
  if (c < 0xD800 || c > 0xDFFF) return append_utf8(out, c);
  out += static_cast<char>(0xE0 | c >> 12);
  out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
  out += static_cast<char>(0x80 | (c & 0x3F));
}

// Broken UTF-8 as llama.cpp rewrites it: overlong forms shortened, surrogates kept, the rest U+FFFD.
std::string rewrite_broken(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const LooseCodePoint c = next_loose_code_point(text);
    append_loose(out, c.value);
    text.remove_prefix(c.length);
  }
  return out;
}

// Words that are tokens as they stand skip the merges (Llama 3's tokenizer.json: ignore_merges).
bool ignores_merges(PreType pre) {
  return pre == PreType::kLlama3;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> BytePairs::open(const Vocabulary& vocabulary) {
  const auto pre = find_pre_type(vocabulary.pre);
  if (!pre) {
    const std::string name = vocabulary.pre.empty() ? "(absent)" : "\"" + vocabulary.pre + "\"";
    return fail(Code::kUnsupported,
                "pre-tokenizer " + name + " is not known; known: gpt-2, smollm, llama-bpe, qwen2",
                "tokenizer.ggml.pre");
  }
  std::unique_ptr<BytePairs> out(new BytePairs(vocabulary, *pre));
  CRESSET_TRY_STATUS(out->build());
  return out;
}

BytePairs::SymbolId BytePairs::intern(std::string_view text) {
  const Token token = find_plain(text);
  if (token != kNoToken) return static_cast<SymbolId>(token);
  const auto it = others_.find(text);
  if (it != others_.end()) return it->second;
  const auto id = static_cast<SymbolId>(vocabulary().texts.size() + other_texts_.size());
  other_texts_.push_back(others_.emplace(text, id).first->first);
  return id;
}

Status BytePairs::build() {
  const auto alphabet = visible_alphabet();
  for (size_t b = 0; b < 256; ++b) {
    append_utf8(visible_[b], alphabet[b]);
    byte_of_[alphabet[b]] = static_cast<uint8_t>(b);
    byte_symbols_[b] = intern(visible_[b]);
  }
  return read_merges();
}

Status BytePairs::read_merges() {
  const std::vector<MergeRule>& rules = vocabulary().merges;
  merges_.assign(std::bit_ceil(rules.size() * 2 + 1), Merge{0, 0, kNoMerge, 0});
  for (size_t rank = 0; rank < rules.size(); ++rank) {
    const std::string_view joined = rules[rank].joined;
    const Token token = vocabulary().find(joined);
    const bool is_special = token != kNoToken && find_plain(joined) == kNoToken;
    if (is_special) continue;  // plain text never becomes one
    const SymbolId left = intern(joined.substr(0, rules[rank].left_bytes)),
                   right = intern(joined.substr(rules[rank].left_bytes)), result = intern(joined);
    size_t at = first_slot(left, right), probes = 0;
    const auto is_same = [&](const Merge& m) { return m.left == left && m.right == right; };
    while (merges_[at].rank != kNoMerge && !is_same(merges_[at])) {
      if (++probes > kProbesMax) {
        return fail(Code::kCorrupt, "one of many merges made to collide",
                    "tokenizer.ggml.merges[" + std::to_string(rank) + "]");
      }
      at = (at + 1) & (merges_.size() - 1);
    }
    // Of a pair that is listed twice, the better rank counts.
    if (merges_[at].rank == kNoMerge) merges_[at] = {left, right, static_cast<uint32_t>(rank), result};
  }
  return {};
}

size_t BytePairs::first_slot(SymbolId left, SymbolId right) const {
  const uint64_t hash = (uint64_t{left} << 32 | right) * 0x9E37'79B9'7F4A'7C15;  // 2^64 over the golden ratio
  return static_cast<size_t>((hash ^ hash >> 32) & (merges_.size() - 1));
}

const BytePairs::Merge* BytePairs::find_merge(SymbolId left, SymbolId right) const {
  for (size_t at = first_slot(left, right); merges_[at].rank != kNoMerge;
       at = (at + 1) & (merges_.size() - 1)) {
    if (merges_[at].left == left && merges_[at].right == right) return &merges_[at];
  }
  return nullptr;
}

void BytePairs::encode_text(std::string_view text, bool, std::vector<Token>& out) const {
  std::string rewritten;
  if (!is_utf8(text)) text = rewritten = rewrite_broken(text);
  const CodePoints points(text);
  std::vector<size_t> ends;
  split_words(pre_, points, ends);
  Scratch scratch;
  size_t begin = 0;
  for (const size_t end : ends) {
    const size_t from = points.offsets[begin], to = points.offsets[end];
    if (to > from) encode_word(text.substr(from, to - from), scratch, out);
    begin = end;
  }
}

// Queues the merge of the symbol at `left` with the one after it, where there is such a merge.
void BytePairs::push(const Scratch& state, uint32_t left, std::vector<uint64_t>& queue) const {
  const uint32_t right = state.symbols[left].next;
  if (right == kNone) return;
  const Merge* merge = find_merge(state.symbols[left].id, state.symbols[right].id);
  if (merge != nullptr) queue.push_back(uint64_t{merge->rank} << 32 | left);
}

void BytePairs::encode_word(std::string_view word, Scratch& scratch, std::vector<Token>& out) const {
  if (ignores_merges(pre_)) {
    std::string text;
    for (const char c : word) text += visible_[static_cast<unsigned char>(c)];
    const Token token = find_plain(text);
    if (token != kNoToken) return out.push_back(token);
  }
  auto& [symbols, queue] = scratch;
  symbols.clear();
  queue.clear();
  const auto size = static_cast<uint32_t>(word.size());
  for (uint32_t i = 0; i < size; ++i) {
    symbols.push_back({byte_symbols_[static_cast<unsigned char>(word[i])], i == 0 ? kNone : i - 1,
                       i + 1 == size ? kNone : i + 1});
  }
  for (uint32_t i = 0; i < size; ++i) push(scratch, i, queue);
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  const auto push_heap = [&](uint32_t left) {
    const size_t before = queue.size();
    push(scratch, left, queue);
    if (queue.size() > before) std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  while (!queue.empty()) {
    const uint64_t best = queue.front();
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    queue.pop_back();
    const auto left = static_cast<uint32_t>(best);
    Symbol& symbol = symbols[left];
    if (symbol.id == kNone || symbol.next == kNone) continue;
    const uint32_t right = symbol.next;
    const Merge* merge = find_merge(symbol.id, symbols[right].id);
    if (merge == nullptr || merge->rank != best >> 32) continue;  // one of the two has grown since
    symbol.id = merge->result;
    symbol.next = symbols[right].next;
    symbols[right].id = kNone;
    if (symbol.next != kNone) symbols[symbol.next].previous = left;
    if (symbol.previous != kNone) push_heap(symbol.previous);
    push_heap(left);
  }
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) emit(symbols[i].id, out);
}

// A symbol that is no token: its characters, of which llama.cpp finds those that are one byte long.
void BytePairs::emit(SymbolId symbol, std::vector<Token>& out) const {
  const size_t tokens = vocabulary().texts.size();
  if (symbol < tokens) return out.push_back(static_cast<Token>(symbol));
  for (const char& c : other_texts_[symbol - tokens]) {
    const Token token = find_plain(std::string_view(&c, 1));
    if (token != kNoToken) out.push_back(token);
  }
}

// Characters outside the alphabet (added tokens that are marked as normal) stand for themselves.
std::string BytePairs::decode_text(std::string_view text) const {
  std::string out;
  while (!text.empty()) {
    const LooseCodePoint c = next_loose_code_point(text);
    const auto byte = byte_of_.find(c.value);
    if (byte == byte_of_.end()) {
      out += text.substr(0, c.length);
    } else {
      out += static_cast<char>(byte->second);
    }
    text.remove_prefix(c.length);
  }
  return out;
}

}  // namespace cresset::engine
