#include "policy/principal.h"

#include <gtest/gtest.h>

namespace cresset::policy {
namespace {

KeyEntry entry(std::string name, std::string secret, std::vector<std::string> models = {"*"}) {
  return {std::move(name), Secret(std::move(secret)), std::move(models)};
}

Keys open_keys(std::vector<KeyEntry> entries) {
  auto keys = Keys::open(std::move(entries));
  EXPECT_TRUE(keys) << keys.error().message();
  return std::move(*keys);
}

TEST(Glob, StarsStandForAnyRun) {
  struct {
    const char *pattern, *text;
    bool matches;
  } cases[] = {{"*", "", true},
               {"*", "local/a:latest", true},
               {"local/*", "local/a", true},
               {"local/*", "remote/a", false},
               {"gpt-*-mini", "gpt-4-mini", true},
               {"gpt-*-mini", "gpt-mini", false},
               {"a*b*c", "aXbYbZc", true},
               {"a*b*c", "aXbYb", false},
               {"exact", "exact", true},
               {"exact", "exactly", false},
               {"", "", true},
               {"", "a", false}};
  for (const auto& c : cases)
    EXPECT_EQ(matches_glob(c.pattern, c.text), c.matches) << c.pattern << " ~ " << c.text;
  EXPECT_FALSE(matches_glob(std::string(200, '*') + "b", std::string(5000, 'a')));
}

TEST(Keys, WithoutKeysNobodyNeedsOne) {
  EXPECT_FALSE(Keys().are_required());
  EXPECT_EQ(Keys().find("anything"), nullptr);
}

TEST(Keys, FindsWhoseKeyItIsAndNobodyElse) {
  std::vector<KeyEntry> entries;
  entries.push_back(entry("laptop", "secret-secret-one", {"local/*"}));
  entries.push_back(entry("phone", "secret-secret-two"));
  const Keys keys = open_keys(std::move(entries));
  EXPECT_TRUE(keys.are_required());
  ASSERT_NE(keys.find("secret-secret-two"), nullptr);
  EXPECT_EQ(keys.find("secret-secret-two")->name, "phone");
  EXPECT_EQ(keys.find("secret-secret-tw"), nullptr);
  EXPECT_EQ(keys.find("secret-secret-twoo"), nullptr);
  EXPECT_EQ(keys.find(""), nullptr);
  EXPECT_TRUE(keys.find("secret-secret-one")->may_use({"local/a", "a"}));
  EXPECT_FALSE(keys.find("secret-secret-one")->may_use({"openai/a"}));
}

TEST(Keys, RefusesWhatWouldBeUnsafe) {
  const auto refused = [](KeyEntry a, KeyEntry b) {
    std::vector<KeyEntry> entries;
    entries.push_back(std::move(a));
    entries.push_back(std::move(b));
    return !Keys::open(std::move(entries));
  };
  EXPECT_TRUE(refused(entry("a", ""), entry("b", "long-enough-secret")));
  EXPECT_TRUE(refused(entry("a", "long-enough-secret"), entry("b", "long-enough-secret")));
  EXPECT_TRUE(refused(entry("a", "long-enough-secret"), entry("a", "long-enough-secres")));
  EXPECT_TRUE(refused(entry("", "long-enough-secret"), entry("b", "long-enough-secres")));
}

TEST(PresentedKey, IsTakenFromEveryDialectsHeader) {
  EXPECT_EQ(*presented_key({{"authorization", "Bearer k1"}}), "k1");
  EXPECT_EQ(*presented_key({{"AUTHORIZATION", "bearer  k1 "}}), "k1");
  EXPECT_EQ(*presented_key({{"X-Api-Key", "k2"}}), "k2");
  EXPECT_EQ(*presented_key({{"x-goog-api-key", "k3"}}), "k3");
  EXPECT_EQ(*presented_key({{"authorization", "Basic abc"}}), "");
  EXPECT_EQ(*presented_key({{"authorization", "Bearer"}}), "");
  EXPECT_EQ(*presented_key({}), "");
  EXPECT_EQ(*presented_key({{"authorization", "Bearer k"}, {"x-api-key", "k"}}), "k");
  EXPECT_FALSE(presented_key({{"authorization", "Bearer k"}, {"x-api-key", "other"}}));
  EXPECT_FALSE(presented_key({{"authorization", "Bearer k"}, {"authorization", "Bearer other"}}));
}

}  // namespace
}  // namespace cresset::policy
