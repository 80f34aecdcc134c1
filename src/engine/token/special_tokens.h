// SpecialTokens: finds control and user-defined tokens in a text before anything else looks at it.
//
// The order is llama.cpp's: longer tokens first over the whole text, then by position; what one has taken, no
// other may touch. Time O(n * (longest token + number of distinct lengths found)), whatever the text.
// Immutable; the vocabulary must outlive it.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "engine/token/vocabulary.h"

namespace cresset::engine {

struct TextRange {
  size_t begin, end;
};

class SpecialTokens {
 public:
  struct Fragment {
    size_t begin, end;
    Token token;  // kNoToken: plain text
  };

  explicit SpecialTokens(const Vocabulary& vocabulary);

  // Covers `text` without gaps, in order. User-defined tokens are found everywhere, control and unknown ones
  // only where they lie within one of the `parsed` ranges (sorted, apart from each other).
  std::vector<Fragment> split(std::string_view text, std::span<const TextRange> parsed) const;

 private:
  struct Entry {
    std::string_view text;
    Token token;
    bool needs_parsing;
  };
  template <class Visit>
  void visit_matches(std::string_view text, size_t at, Visit visit) const;
  Token find(std::string_view text) const;
  void take_batch(std::string_view text, std::span<const TextRange> parsed, size_t first_length,
                  std::vector<bool>& taken, std::vector<Fragment>& out) const;

  std::vector<Entry> entries_;                  // by text
  std::array<TextRange, 256> by_first_byte_{};  // into entries_
  std::vector<size_t> lengths_;                 // distinct, longest first
};

}  // namespace cresset::engine
