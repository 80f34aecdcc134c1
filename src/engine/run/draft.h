// DraftIndex: guesses how a conversation goes on from what it says already. Where its last tokens stand
// earlier in it, in the prompt or in the answer, what followed them there is the draft. No second model: it
// pays where an answer quotes (editing, extraction, code) or repeats itself.
//
// A table of every place by the hash of its last three tokens: 4 bytes a token and 8 to 16 for the table.
// Owned by the engine's leader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/token/vocabulary.h"

namespace cresset::engine {

struct Draft {
  std::vector<Token> tokens;
  size_t agreed = 0;  // tokens before the draft that are the same at the place it is taken from
};

class DraftIndex {
 public:
  static constexpr size_t kAgreedMin = 3, kAgreedMax = 64;
  static constexpr size_t kPlacesMax = 16;  // looked at for a draft: the latest

  // Takes in what was appended since the last call; `tokens` is the conversation so far and only grows.
  void follow(std::span<const Token> tokens);
  // After follow(tokens): of the latest kPlacesMax places where the last kAgreedMin tokens stand, the one
  // that agrees longest (up to kAgreedMax tokens), the latest of equals; at most `tokens_max` of what
  // followed it, over the end into the draft itself. Empty: there is no such place.
  Draft find(std::span<const Token> tokens, size_t tokens_max) const;

 private:
  size_t slot_of(std::span<const Token> tokens, size_t end) const;
  void insert(std::span<const Token> tokens, size_t end);

  // A place is the number of tokens before it. latest_[slot]: the last place with that hash; earlier_[place -
  // kAgreedMin]: the one before with the same hash; 0: none.
  std::vector<uint32_t> latest_, earlier_;
};

}  // namespace cresset::engine
