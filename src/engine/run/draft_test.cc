#include "engine/run/draft.h"

#include <gtest/gtest.h>

#include <random>

namespace cresset::engine {
namespace {

using Tokens = std::vector<Token>;

Draft draft_of(const Tokens& tokens, size_t tokens_max) {
  DraftIndex index;
  index.follow(tokens);
  return index.find(tokens, tokens_max);
}

TEST(Draft, ContinuesWhatStoodThereBefore) {
  const Draft draft = draft_of({9, 1, 2, 3, 40, 41, 42, 8, 1, 2, 3}, 3);
  EXPECT_EQ(draft.tokens, (Tokens{40, 41, 42}));
  EXPECT_EQ(draft.agreed, 3u);
}

TEST(Draft, IsEmptyWithoutSuchAPlace) {
  EXPECT_TRUE(draft_of({}, 4).tokens.empty());
  EXPECT_TRUE(draft_of({1, 2}, 4).tokens.empty());
  EXPECT_TRUE(draft_of({1, 2, 3}, 4).tokens.empty());
  EXPECT_TRUE(draft_of({7, 2, 3, 5, 1, 2, 3}, 4).tokens.empty());  // two tokens agree: too few
  EXPECT_TRUE(draft_of({1, 2, 3, 4, 1, 2, 3}, 0).tokens.empty());
}

TEST(Draft, PrefersTheLongerAgreementThenTheLater) {
  EXPECT_EQ(draft_of({5, 1, 2, 3, 50, 6, 1, 2, 3, 60, 5, 1, 2, 3}, 1).tokens, Tokens{50});
  EXPECT_EQ(draft_of({7, 1, 2, 3, 50, 6, 1, 2, 3, 60, 5, 1, 2, 3}, 1).tokens, Tokens{60});
}

TEST(Draft, GoesOverTheEndOfALoop) {
  EXPECT_EQ(draft_of({1, 2, 3, 1, 2, 3}, 7).tokens, (Tokens{1, 2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(draft_of({4, 4, 4, 4}, 5).tokens, (Tokens{4, 4, 4, 4, 4}));
}

// The words of draft.h, without a table.
Draft draft_by_search(const Tokens& tokens, size_t tokens_max) {
  Draft best;
  size_t from = 0, places = 0;
  const size_t size = tokens.size();
  for (size_t place = size; place-- > DraftIndex::kAgreedMin;) {
    size_t agreed = 0;
    while (agreed < std::min(place, DraftIndex::kAgreedMax) &&
           tokens[place - 1 - agreed] == tokens[size - 1 - agreed])
      ++agreed;
    if (agreed < DraftIndex::kAgreedMin) continue;
    if (++places > DraftIndex::kPlacesMax) break;
    if (agreed > best.agreed) best.agreed = agreed, from = place;
  }
  for (size_t i = from; best.agreed > 0 && best.tokens.size() < tokens_max; ++i)
    best.tokens.push_back(i < size ? tokens[i] : best.tokens[i - size]);
  return best;
}

// Both agree at every length of random conversations, however the index was fed. Few different tokens, so
// that everything repeats; a hash that collides only makes the index look at fewer places, so those are rare
// enough here to leave all at the same answer (the seed is fixed).
TEST(Draft, FindsWhatASearchFinds) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    const Token kinds = static_cast<Token>(2 + seed % 5 * 3);
    Tokens tokens;
    DraftIndex index;
    while (tokens.size() < 700) {
      for (size_t more = 1 + random() % 7; more > 0; --more)
        tokens.push_back(static_cast<Token>(random() % static_cast<uint64_t>(kinds)));
      index.follow(tokens);
      const Draft found = index.find(tokens, 9), expected = draft_by_search(tokens, 9);
      ASSERT_EQ(found.agreed, expected.agreed) << "seed " << seed << ", tokens " << tokens.size();
      ASSERT_EQ(found.tokens, expected.tokens) << "seed " << seed << ", tokens " << tokens.size();
    }
  }
}

}  // namespace
}  // namespace cresset::engine
