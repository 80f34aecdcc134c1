// The command line as data: commands and flags are tables, and one reader turns words into Args by them.
// Help, shell completion and docs/CLI.md come from the same tables, so they cannot disagree with what is
// accepted.
//
// Why not CLI11: a word that is also a command ("cresset run ls") is taken as that command where flags may
// stand before and after the command, and its header costs 2.5 s in every build of it. This reader has no
// such case.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cresset::cli {

struct FlagSpec {
  std::string_view name;   // "--config"
  std::string_view value;  // what it takes ("FILE"); empty: a switch
  std::string_view help;
};

struct CommandSpec {
  std::string_view name;       // one or two words: "config show"
  std::string_view arguments;  // "[MODEL] PROMPT", for the usage line
  std::string_view summary;    // one line
  std::string_view detail;     // more lines, or empty
  std::string_view example;    // one or more command lines
  std::vector<FlagSpec> flags;
  size_t arguments_min = 0, arguments_max = 0;
};

struct Args {
  const CommandSpec* command = nullptr;                   // null: none was given
  std::map<std::string, std::string, std::less<>> flags;  // switches have an empty value
  std::vector<std::string> arguments;
  bool help = false;

  bool has(std::string_view flag) const { return flags.contains(flag); }
  std::string get(std::string_view flag, std::string_view otherwise = {}) const;
};

// Flags stand anywhere; "--flag value" and "--flag=value"; "--" ends them; "-" is an argument. A flag given
// twice, unknown, or of another command is kInvalid.
Result<Args> parse_args(std::span<const CommandSpec> commands, std::span<const FlagSpec> common,
                        std::span<const std::string> words);

// A flag's value as a whole number in [low, high].
Result<int64_t> parse_number(std::string_view text, int64_t low, int64_t high, std::string_view where);
Result<double> parse_real(std::string_view text, double low, double high, std::string_view where);
// "512,2048" as numbers.
Result<std::vector<int64_t>> parse_numbers(std::string_view text, int64_t low, int64_t high,
                                           std::string_view where);

std::string help_overview(std::span<const CommandSpec> commands, std::span<const FlagSpec> common);
std::string help_for(const CommandSpec& command, std::span<const FlagSpec> common);
// docs/CLI.md.
std::string help_document(std::span<const CommandSpec> commands, std::span<const FlagSpec> common);

}  // namespace cresset::cli
