#include "engine/token/special_tokens.h"

#include <algorithm>
#include <cstdint>
#include <functional>

namespace cresset::engine {
namespace {

unsigned char byte_at(std::string_view text, size_t i) {
  return static_cast<unsigned char>(text[i]);
}

// The end of the parsed range that holds `at`, or `at` where none does. `range` moves forward with `at`.
size_t parsed_until(std::span<const TextRange> parsed, size_t& range, size_t at) {
  while (range < parsed.size() && parsed[range].end <= at) ++range;
  return range < parsed.size() && parsed[range].begin <= at ? parsed[range].end : at;
}

constexpr size_t kBatch = 64;  // lengths handled at once: one bit each

}  // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary) {
  for (size_t i = 0; i < vocabulary.texts.size(); ++i) {
    const TokenKind kind = vocabulary.kinds[i];
    const bool is_parsed = kind == TokenKind::kControl || kind == TokenKind::kUnknown;
    if (vocabulary.texts[i].empty() || (!is_parsed && kind != TokenKind::kUserDefined)) continue;
    entries_.push_back({vocabulary.texts[i], static_cast<Token>(i), is_parsed});
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  for (size_t i = 0; i < entries_.size(); ++i) {
    TextRange& range = by_first_byte_[byte_at(entries_[i].text, 0)];
    if (range.end == 0) range.begin = i;
    range.end = i + 1;
    lengths_.push_back(entries_[i].text.size());
  }
  std::sort(lengths_.begin(), lengths_.end(), std::greater<>());
  lengths_.erase(std::unique(lengths_.begin(), lengths_.end()), lengths_.end());
}

// Calls visit(entry) for each token that begins at `at`, shortest first. The sorted entries serve as a trie:
// each further byte narrows the range that shares the prefix.
template <class Visit>
void SpecialTokens::visit_matches(std::string_view text, size_t at, Visit visit) const {
  auto [low, high] = by_first_byte_[byte_at(text, at)];
  for (size_t depth = 1; low < high; ++depth) {
    if (entries_[low].text.size() == depth) visit(entries_[low++]);
    if (at + depth >= text.size()) return;
    const unsigned char next = byte_at(text, at + depth);
    const auto first = entries_.begin() + static_cast<ptrdiff_t>(low);
    const auto last = entries_.begin() + static_cast<ptrdiff_t>(high);
    const auto from = std::lower_bound(
        first, last, next, [depth](const Entry& e, unsigned char b) { return byte_at(e.text, depth) < b; });
    const auto to = std::upper_bound(
        from, last, next, [depth](unsigned char b, const Entry& e) { return b < byte_at(e.text, depth); });
    low = static_cast<size_t>(from - entries_.begin());
    high = static_cast<size_t>(to - entries_.begin());
  }
}

Token SpecialTokens::find(std::string_view text) const {
  const auto it = std::lower_bound(entries_.begin(), entries_.end(), text,
                                   [](const Entry& e, std::string_view t) { return e.text < t; });
  return it->token;
}

// Takes the tokens whose lengths are lengths_[first_length, first_length + kBatch).
void SpecialTokens::take_batch(std::string_view text, std::span<const TextRange> parsed, size_t first_length,
                               std::vector<bool>& taken, std::vector<Fragment>& out) const {
  const size_t count = std::min(kBatch, lengths_.size() - first_length);
  const auto batch = std::span(lengths_).subspan(first_length, count);
  std::vector<uint64_t> found;  // for each position, a bit for each length of the batch
  uint64_t any = 0;
  size_t range = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const size_t parsed_end = parsed_until(parsed, range, at);
    visit_matches(text, at, [&](const Entry& e) {
      if (e.needs_parsing && at + e.text.size() > parsed_end) return;
      const auto it = std::lower_bound(batch.begin(), batch.end(), e.text.size(), std::greater<>());
      if (it == batch.end() || *it != e.text.size()) return;
      if (found.empty()) found.resize(text.size());
      const uint64_t bit = uint64_t{1} << (it - batch.begin());
      found[at] |= bit;
      any |= bit;
    });
  }
  for (size_t k = 0; k < count; ++k) {
    const uint64_t bit = uint64_t{1} << k;
    if ((any & bit) == 0) continue;
    const size_t length = batch[k];
    for (size_t at = 0; at + length <= text.size(); ++at) {
      // Whatever is taken already is at least as long, so it covers one of our ends if it touches us.
      if ((found[at] & bit) == 0 || taken[at] || taken[at + length - 1]) continue;
      std::fill_n(taken.begin() + static_cast<ptrdiff_t>(at), length, true);
      out.push_back({at, at + length, find(text.substr(at, length))});
    }
  }
}

std::vector<SpecialTokens::Fragment> SpecialTokens::split(std::string_view text,
                                                          std::span<const TextRange> parsed) const {
  std::vector<Fragment> tokens, out;
  std::vector<bool> taken(text.size());
  for (size_t k = 0; k < lengths_.size(); k += kBatch) take_batch(text, parsed, k, taken, tokens);
  std::sort(tokens.begin(), tokens.end(),
            [](const Fragment& a, const Fragment& b) { return a.begin < b.begin; });
  size_t done = 0;
  for (const Fragment& t : tokens) {
    if (t.begin > done) out.push_back({done, t.begin, kNoToken});
    out.push_back(t);
    done = t.end;
  }
  if (done < text.size()) out.push_back({done, text.size(), kNoToken});
  return out;
}

}  // namespace cresset::engine
