#include "engine/run/answer_text.h"

#include <gtest/gtest.h>

#include <random>

#include "base/text.h"

namespace cresset::engine {
namespace {

chat::TokenReport report_of(int token) {
  return {{token, {}, -1.0}, {}};
}

struct Shown {
  std::string text;
  std::vector<int> tokens;
  bool is_stopped = false;
  bool has_only_whole_characters = true;
};

// Feeds `tokens` one by one, as the scheduler does.
Shown show(const std::vector<std::string>& tokens, const std::vector<std::string>& stops) {
  AnswerText answer(stops);
  Shown out;
  const auto take = [&](const chat::TextDelta& delta) {
    out.has_only_whole_characters = out.has_only_whole_characters && is_utf8(delta.text);
    out.text += delta.text;
    for (const auto& r : delta.tokens) out.tokens.push_back(r.chosen.token);
  };
  for (size_t i = 0; i < tokens.size() && !out.is_stopped; ++i) {
    out.is_stopped = answer.add(tokens[i], report_of(static_cast<int>(i)));
    if (!out.is_stopped) take(answer.take());
  }
  take(answer.finish());
  return out;
}

TEST(AnswerText, HoldsBackHalfACharacter) {
  AnswerText answer({});
  EXPECT_FALSE(answer.add("a\xe3\x81", report_of(0)));
  const chat::TextDelta first = answer.take();
  EXPECT_EQ(first.text, "a");
  EXPECT_TRUE(first.tokens.empty());  // its token is not shown whole
  EXPECT_FALSE(answer.add("\x82", report_of(1)));
  const chat::TextDelta second = answer.take();
  EXPECT_EQ(second.text, "\xe3\x81\x82");
  EXPECT_EQ(second.tokens.size(), 2u);
}

TEST(AnswerText, AnIncompleteCharacterAtTheEndIsReplaced) {
  EXPECT_EQ(show({"a", "\xf0\x9f"}, {}).text, "a\xef\xbf\xbd");
}

TEST(AnswerText, HoldsBackWhatMayBecomeAStop) {
  AnswerText answer({"STOP"});
  EXPECT_FALSE(answer.add("say ST", {}));
  EXPECT_EQ(answer.take().text, "say ");
  EXPECT_FALSE(answer.add("AR", {}));
  EXPECT_EQ(answer.take().text, "STAR");
  EXPECT_FALSE(answer.add(" S", {}));
  EXPECT_EQ(answer.take().text, " ");
  EXPECT_TRUE(answer.add("TOPPED", {}));
  EXPECT_EQ(answer.finish().text, "");
}

// Control tokens have no text; their reports come all the same.
TEST(AnswerText, ReportsTokensWithoutText) {
  EXPECT_EQ(show({"", "a", "", "\xe3", "", "\x81\x82", ""}, {}).tokens,
            (std::vector<int>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(show({"S", "", "x"}, {"ST"}).tokens, (std::vector<int>{0, 1, 2}));
}

TEST(AnswerText, TheEarliestStopCuts) {
  EXPECT_EQ(show({"one two three"}, {"three", "two"}).text, "one ");
  EXPECT_EQ(show({"aab"}, {"ab", "aab"}).text, "");
  EXPECT_EQ(show({"x"}, {"x"}).text, "");
}

TEST(AnswerText, AnEmptyStopStopsNothing) {
  const Shown shown = show({"ab", "c"}, {"", "zz"});
  EXPECT_EQ(shown.text, "abc");
  EXPECT_FALSE(shown.is_stopped);
}

TEST(AnswerText, ReportsTheTokensWhoseTextIsShown) {
  const Shown shown = show({"ab", "cST", "OP", "never"}, {"STOP"});
  EXPECT_EQ(shown.text, "abc");
  EXPECT_EQ(shown.tokens, (std::vector<int>{0, 1}));  // the second begins before the stop, the third does not
}

// Random bytes and characters cut into random tokens, with stops that occur: always what the whole text
// gives.
TEST(AnswerText, CutsAsTheWholeTextWouldBeCut) {
  std::mt19937_64 random(5);
  const std::vector<std::string> alphabet{
      "a", "b", "ab", "\xc3\xa9", "\xe3\x81\x82", "\xf0\x9f\x8c\x8a", "\xff", "\xe3\x81", "\x82", "S"};
  for (int round = 0; round < 4000; ++round) {
    std::string whole;
    for (size_t i = random() % 24; i > 0; --i) whole += alphabet[random() % alphabet.size()];
    std::vector<std::string> tokens, stops;
    for (size_t at = 0; at < whole.size();) {
      const size_t n = std::min<size_t>(whole.size() - at, 1 + random() % 3);
      tokens.push_back(whole.substr(at, n));
      at += n;
    }
    for (size_t i = random() % 4; i > 0; --i) {
      std::string stop;
      for (size_t k = 1 + random() % 3; k > 0; --k) stop += alphabet[random() % alphabet.size()];
      stops.push_back(stop);
    }
    // By the definition: the text ends where the first token that completes a stop finds its earliest match.
    std::string sofar;
    size_t cut = std::string::npos, read = 0;
    for (; read < tokens.size() && cut == std::string::npos; ++read) {
      sofar += tokens[read];
      for (const std::string& stop : stops) cut = std::min(cut, sofar.find(stop));
    }
    const std::string expected = to_valid_utf8(sofar.substr(0, cut));
    size_t reports = 0, begin = 0;
    for (size_t i = 0; i < read; ++i) {
      if (begin < cut) ++reports;
      begin += tokens[i].size();
    }
    const Shown shown = show(tokens, stops);
    ASSERT_EQ(shown.is_stopped, cut != std::string::npos);
    ASSERT_EQ(shown.text, expected) << "round " << round;
    ASSERT_TRUE(shown.has_only_whole_characters);
    ASSERT_EQ(shown.tokens.size(), reports) << "round " << round;
    for (size_t i = 0; i < reports; ++i) ASSERT_EQ(shown.tokens[i], static_cast<int>(i));
  }
}

}  // namespace
}  // namespace cresset::engine
