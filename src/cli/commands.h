// The table of commands. A newcomer is one function and one line.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/context.h"

namespace cresset::cli {

enum class NeedsConfig { kNo, kYes, kEvenBroken };

struct Command {
  CommandSpec spec;
  // The exit code, or an error that becomes one line and one.
  Result<int> (*run)(Context&);
  NeedsConfig needs_config = NeedsConfig::kYes;
};

std::vector<Command> commands();
std::span<const FlagSpec> common_flags();

// The process: words without the program's name; the exit code.
int run_command_line(sys::Env& env, Terminal& terminal, const Parts& parts, const Environment& environment,
                     const std::vector<std::string>& words);
int exit_code(Code code);

// The groups.
std::vector<Command> model_commands();    // ls, import, pull, show, rm
std::vector<Command> talk_commands();     // run, chat
std::vector<Command> bench_commands();    // bench
std::vector<Command> measure_commands();  // logits, tokenize
std::vector<Command> server_commands();   // serve, ps
std::vector<Command> about_commands();    // doctor, config show, version, completion

// Flags of every command that opens the own engine, and the configuration keys they set.
std::span<const FlagSpec> engine_flags();
std::vector<FlagSpec> with_engine_flags(std::vector<FlagSpec> flags);

}  // namespace cresset::cli
