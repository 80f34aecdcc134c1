#include "base/json.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cresset {
namespace {

TEST(Json, ReadsAndWritesEveryKindOfValue) {
  const std::string text =
      R"({"a":[1,-2,18446744073709551615,0.5,1e300],"b":"\u00e9\"\\\n","c":null,"d":true,"e":{}})";
  auto value = parse_json(text);
  ASSERT_TRUE(value) << value.error().message();
  EXPECT_EQ(value->write(),
            "{\"a\":[1,-2,18446744073709551615,0.5,1e+300],\"b\":\"\xc3\xa9\\\"\\\\\\n\",\"c\":null,\"d\":"
            "true,\"e\":{}}");
  EXPECT_EQ(parse_json(value->write()).value(), *value);
}

TEST(Json, ReadsANumberAsExactlyWhatItSays) {
  for (const double v : {1.0656217060266797, 0.1, 5e-324, 1.7976931348623157e308, -2.2250738585072014e-308,
                         123456789.123456789}) {
    auto value = parse_json("[" + Json(v).write() + ",7]");
    ASSERT_TRUE(value);
    EXPECT_EQ(value->as_array()[0].as_number(), v);
    EXPECT_EQ(value->as_array()[1].as_integer(), 7);
  }
}

TEST(Json, RefusesWhatIsNotStrict) {
  for (const char* bad : {"", "{", "[1,]", "{\"a\":1,}", "nul", "01", "\"\x01\"", "1 2", "{\"a\" 1}",
                          "\"\xff\"", "[1] x", "// c\n1"}) {
    auto value = parse_json(bad);
    EXPECT_FALSE(value) << bad;
  }
}

TEST(Json, RefusesADuplicateKeyByName) {
  auto value = parse_json(R"({"model":"a","x":{"model":1},"model":"b"})");
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().what.find("\"model\" appears twice"), std::string::npos);
  std::string many = "{";
  for (int i = 0; i < 100; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(parse_json(many + "\"last\":1}"));
  EXPECT_FALSE(parse_json(many + "\"k7\":1}"));
}

TEST(Json, StopsAtTheDepthLimit) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  auto value = parse_json(deep);
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code, Code::kLimit);
  EXPECT_TRUE(parse_json(std::string(60, '[') + std::string(60, ']')));
}

// Wherever in a word it stands.
TEST(Json, EveryByteOfATextComesBack) {
  for (size_t before = 0; before < 9; ++before) {
    for (int b = 0; b < 0x80; ++b) {
      const std::string text =
          std::string(before, 'a') + static_cast<char>(b) + "plain, and more of it" + static_cast<char>(b);
      std::string out;
      write_json_string(out, text);
      const auto read = parse_json(out);
      ASSERT_TRUE(read) << out;
      ASSERT_EQ(read->as_string(), text);
      ASSERT_EQ(std::count(out.begin(), out.end(), '\\') == 0, b >= 0x20 && b != '"' && b != '\\') << b;
    }
  }
}

TEST(Json, WritesBrokenUtf8AsReplacement) {
  std::string out;
  write_json_string(out, "a\xc3(\xf0\x9f\x98");
  EXPECT_EQ(out, "\"a\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace cresset
