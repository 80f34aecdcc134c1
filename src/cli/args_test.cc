#include "cli/args.h"

#include <gtest/gtest.h>

#include "cli/commands.h"
#include "cli/config_table.h"
#include "testing/paths.h"

namespace cresset::cli {
namespace {

const std::vector<CommandSpec>& specs() {
  static const std::vector<CommandSpec> all = [] {
    std::vector<CommandSpec> out;
    for (const Command& command : commands()) out.push_back(command.spec);
    return out;
  }();
  return all;
}

Result<Args> parse(std::vector<std::string> words) {
  return parse_args(specs(), common_flags(), words);
}

std::string error_of(std::vector<std::string> words) {
  const auto args = parse(std::move(words));
  return args ? "" : args.error().message();
}

TEST(Args, CommonFlagsStandBeforeAndAfterEveryCommand) {
  for (const Command& command : commands()) {
    std::vector<std::string> name;
    const std::string text(command.spec.name);
    const size_t space = text.find(' ');
    name.push_back(text.substr(0, space));
    if (space != std::string::npos) name.push_back(text.substr(space + 1));
    std::vector<std::string> before{"--json", "--data", "d", "--config=c"}, after = name;
    before.insert(before.end(), name.begin(), name.end());
    for (size_t i = 0; i < command.spec.arguments_min; ++i) {
      before.push_back("a");
      after.push_back("a");
    }
    for (const char* flag : {"--json", "--data", "d", "--config=c"}) after.push_back(flag);
    for (const auto& words : {before, after}) {
      const auto args = parse(words);
      ASSERT_TRUE(args) << text << ": " << args.error().message();
      EXPECT_EQ(args->command->name, command.spec.name);
      EXPECT_TRUE(args->has("--json"));
      EXPECT_EQ(args->get("--data"), "d");
      EXPECT_EQ(args->get("--config"), "c");
      EXPECT_EQ(args->arguments.size(), command.spec.arguments_min);
    }
  }
}

TEST(Args, EveryCommandHasHelpWithAnExample) {
  for (const Command& command : commands()) {
    const std::string help = help_for(command.spec, common_flags());
    EXPECT_NE(help.find("Example:\n  "), std::string::npos) << command.spec.name;
    EXPECT_NE(command.spec.example.find("cresset"), std::string_view::npos) << command.spec.name;
  }
}

// When the tables change: copy the file that this names over docs/CLI.md.
TEST(Docs, TheCommandLinePageIsWhatTheProgramSays) {
  const std::string expected = help_document(specs(), common_flags());
  const auto env = sys::make_posix_env();
  const auto page = env->read_file(testing::source_path("docs/CLI.md"), 1u << 20);
  if (page && *page == expected) return;
  const std::string fresh = ::testing::TempDir() + "CLI.md";
  ASSERT_TRUE(env->write_atomic(fresh, expected));
  FAIL() << "docs/CLI.md is behind; the current text is in " << fresh;
}

TEST(Docs, TheConfigurationPageNamesEveryKey) {
  const auto page = sys::make_posix_env()->read_file(testing::source_path("docs/CONFIG.md"), 1u << 20);
  ASSERT_TRUE(page);
  for (const ScalarSpec& spec : scalar_specs())
    EXPECT_NE(page->find("`" + spec.key + "`"), std::string::npos) << spec.key;
}

TEST(Args, AWordThatIsACommandIsAnArgumentAfterTheCommand) {
  const auto args = parse({"run", "ls"});
  ASSERT_TRUE(args);
  EXPECT_EQ(args->command->name, "run");
  EXPECT_EQ(args->arguments, std::vector<std::string>{"ls"});
}

TEST(Args, TwoDashesEndTheFlagsAndOneIsAnArgument) {
  EXPECT_EQ(parse({"run", "--", "--json"})->arguments, std::vector<std::string>{"--json"});
  EXPECT_EQ(parse({"import", "-"})->arguments, std::vector<std::string>{"-"});
}

TEST(Args, MistakesAreNamedWithTheWayOut) {
  EXPECT_NE(error_of({"lst"}).find("did you mean \"ls\"?"), std::string::npos);
  EXPECT_NE(error_of({"ls", "--jsn"}).find("did you mean \"--json\"?"), std::string::npos);
  EXPECT_NE(error_of({"--listen", "x", "ls"}).find("no such flag"), std::string::npos);
  EXPECT_NE(error_of({"config"}).find("cresset config show"), std::string::npos);
  EXPECT_NE(error_of({"ls", "--json", "--json"}).find("given twice"), std::string::npos);
  EXPECT_NE(error_of({"ls", "--json=yes"}).find("takes no value"), std::string::npos);
  EXPECT_NE(error_of({"ls", "--data"}).find("needs a value"), std::string::npos);
  EXPECT_NE(error_of({"show"}).find("needs MODEL"), std::string::npos);
  EXPECT_NE(error_of({"show", "a", "b"}).find("one argument too many"), std::string::npos);
}

TEST(Args, NumbersAreWholeAndInTheirRange) {
  EXPECT_EQ(*parse_numbers("512,2048", 1, 4096, "x"), (std::vector<int64_t>{512, 2048}));
  for (const char* bad : {"", "1,", ",1", "1,,2", "a", "1.5", "0", "5000", "1 "}) {
    EXPECT_FALSE(parse_numbers(bad, 1, 4096, "x")) << bad;
  }
  EXPECT_EQ(*parse_real("0.5", 0, 2, "x"), 0.5);
  EXPECT_FALSE(parse_real("nan", 0, 2, "x"));
}

}  // namespace
}  // namespace cresset::cli
