#include "base/text.h"

#include <gtest/gtest.h>

namespace cresset {
namespace {

TEST(Text, AcceptsWhatUnicodeTable37Accepts) {
  EXPECT_TRUE(is_utf8("a\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(Text, RoundTripsEveryScalarValue) {
  for (char32_t c = 1; c <= 0x10FFFF; ++c) {
    if (c == 0xD800) c = 0xE000;
    std::string s;
    append_utf8(s, c);
    const CodePoint p = next_code_point(s);
    ASSERT_TRUE(p.valid);
    ASSERT_EQ(p.value, c);
    ASSERT_EQ(static_cast<size_t>(p.length), s.size());
  }
}

TEST(Text, ReplacesMaximalSubparts) {
  // The example of the Unicode Standard, chapter 3, U+FFFD substitution of maximal subparts.
  EXPECT_EQ(to_valid_utf8("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
            "b\xef\xbf\xbd"
            "c\xef\xbf\xbd\xef\xbf\xbd"
            "d");
}

TEST(Text, KnowsAnIncompleteTail) {
  const std::string smile = "\xf0\x9f\x98\x80";
  for (size_t n = 1; n < 4; ++n) EXPECT_EQ(incomplete_tail("x" + smile.substr(0, n)), n);
  EXPECT_EQ(incomplete_tail(smile), 0u);
  EXPECT_EQ(incomplete_tail("\xff"), 0u);
  EXPECT_EQ(incomplete_tail(""), 0u);
}

}  // namespace
}  // namespace cresset
