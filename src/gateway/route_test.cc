#include "gateway/route.h"

#include <gtest/gtest.h>

namespace cresset::gateway {
namespace {

const std::vector<provider::RemoteCard> kRemotes{
    {"lab", false, chat::Dialect::kOpenAiChat, 1, {{"big-1", {}, 0, 0, false}, {"smol", {}, 0, 0, false}}},
    {"gpu", true, chat::Dialect::kOpenAiChat, 1, {}}};
const Names kNames{{"smol:latest", "smol:q4", "org/name:latest", "auto"},
                   "smol:q4",
                   {{"auto", {"anthropic/claude", "local/smol", "default"}}, {"away", {"openai/gpt"}}},
                   kRemotes};
const policy::Principal kAnyone{"anyone", {"*"}};

std::string plan_of(std::string_view model, bool local_only = false, const policy::Principal& who = kAnyone) {
  std::string out;
  for (const Candidate& c : make_plan(kNames, who, model, local_only).candidates) out += c.id + " ";
  return out;
}

TEST(Route, FindsAModelByEveryNameItHas) {
  EXPECT_EQ(plan_of("smol"), "local/smol:latest ");
  EXPECT_EQ(plan_of("smol:latest"), "local/smol:latest ");
  EXPECT_EQ(plan_of("smol:q4"), "local/smol:q4 ");
  EXPECT_EQ(plan_of("local/smol"), "local/smol:latest ");
  EXPECT_EQ(plan_of("local/smol:latest"), "local/smol:latest ");
  EXPECT_EQ(plan_of("local/org/name"), "local/org/name:latest ");
  EXPECT_EQ(plan_of("default"), "local/smol:q4 ");
  EXPECT_EQ(plan_of("local/default"), "local/smol:q4 ");
  EXPECT_EQ(plan_of("local/auto:latest"), "local/auto ");
}

TEST(Route, DoesNotGuess) {
  for (const char* name :
       {"smo", "SMOL", "org/name", "local/", "", "/", "local/local/smol", "smol:", "openai/smol"}) {
    EXPECT_EQ(plan_of(name), "") << name;
  }
}

TEST(Route, AProvidersModelIsAskedByItsNameOrAsTheCatalogueListsIt) {
  EXPECT_EQ(plan_of("lab/big-1"), "lab/big-1 ");
  EXPECT_EQ(plan_of("lab/org/any:thing"), "lab/org/any:thing ") << "it need not be listed";
  EXPECT_EQ(plan_of("gpu/x"), "gpu/x ");
  EXPECT_EQ(plan_of("big-1"), "lab/big-1 ");
  EXPECT_EQ(plan_of("smol"), "local/smol:latest ") << "what is here comes first";
  EXPECT_EQ(plan_of("local/big-1"), "");
  EXPECT_EQ(plan_of("lab/"), "");
  EXPECT_EQ(plan_of("lab/big-1", true), "") << "a label keeps it here";
  EXPECT_EQ(plan_of("big-1", false, {"k", {"lab/*"}}), "lab/big-1 ");
  EXPECT_EQ(plan_of("big-1", false, {"k", {"local/*"}}), "");
  EXPECT_EQ(make_plan(kNames, kAnyone, "gpu/x", false).candidates[0].reason, "attached engine gpu");
}

TEST(Route, AnAliasComesFirstAndListsItsCandidatesInOrder) {
  EXPECT_EQ(plan_of("auto"), "local/smol:latest local/smol:q4 ");
  EXPECT_EQ(plan_of("local/auto"), "local/auto ");
  const Plan plan = make_plan(kNames, kAnyone, "auto", false);
  ASSERT_EQ(plan.exclusions.size(), 1u);
  EXPECT_EQ(plan.exclusions[0].id, "anthropic/claude");
  EXPECT_EQ(plan.exclusions[0].reason, "there is no provider \"anthropic\"");
  EXPECT_EQ(plan.candidates[0].reason, "own engine, by alias auto");
}

TEST(Route, ALabelLeavesOnlyWhatIsHere) {
  EXPECT_EQ(plan_of("auto", true), "local/smol:latest local/smol:q4 ");
  EXPECT_EQ(no_candidate(make_plan(kNames, kAnyone, "away", true), "away").code, Code::kRefused);
  EXPECT_EQ(no_candidate(make_plan(kNames, kAnyone, "away", false), "away").code, Code::kNotFound);
  EXPECT_EQ(no_candidate(make_plan(kNames, kAnyone, "nothing", true), "nothing").code, Code::kNotFound);
}

TEST(Route, WhereNoModelIsInstalledTheOwnerIsToldWhatToDo) {
  const Names none;
  const wire::Fault fault = no_candidate(make_plan(none, kAnyone, "default", false), "default", false);
  EXPECT_EQ(fault.code, Code::kNotFound);
  EXPECT_NE(fault.message.find("cresset import FILE"), std::string::npos);
  EXPECT_EQ(no_candidate({}, "default").message.find("import"), std::string::npos);
}

TEST(Route, AKeysListMayNameAModelAnyWay) {
  for (const char* pattern : {"smol", "smol:latest", "local/smol", "local/smol:latest", "local/*", "*"}) {
    EXPECT_EQ(plan_of("smol", false, {"k", {pattern}}), "local/smol:latest ") << pattern;
  }
  EXPECT_EQ(plan_of("smol", false, {"k", {"smol:q4"}}), "");
  EXPECT_EQ(plan_of("auto", false, {"k", {"auto"}}), "local/smol:latest local/smol:q4 ");
  EXPECT_EQ(plan_of("smol", false, {"k", {"auto"}}), "");
  EXPECT_EQ(plan_of("smol", false, {"k", {}}), "");
}

}  // namespace
}  // namespace cresset::gateway
