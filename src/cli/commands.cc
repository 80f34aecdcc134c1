#include "cli/commands.h"

#include <algorithm>

#include "cli/command_lighthouse.h"

namespace cresset::cli {
namespace {

constexpr uint64_t kConfigBytesMax = 1u << 20;

constexpr FlagSpec kCommon[] = {
    {"--config", "FILE",
     "the configuration; \"-\" is stdin (default: $CRESSET_CONFIG, then the XDG directory)"},
    {"--data", "DIR", "where models are kept (default: $CRESSET_DATA, then the XDG data directory)"},
    {"--json", "", "one JSON value on stdout, for scripts"},
};

constexpr FlagSpec kEngine[] = {
    {"--threads", "N", "computing threads (0: one per core)"},
    {"--kernels", "KIND", "auto, scalar, avx2 or avx512"},
    {"--arithmetic", "KIND", "int8 (fast) or float32 (reference)"},
    {"--context", "N", "tokens a conversation may have (0: the model's own)"},
};

// Flags that set a key of the configuration.
constexpr std::pair<const char*, const char*> kFlagKeys[] = {
    {"--listen", "server.listen"},           {"--threads", "own_engine.threads"},
    {"--kernels", "own_engine.kernels"},     {"--arithmetic", "own_engine.arithmetic"},
    {"--context", "own_engine.context_max"},
};

void print_error(Terminal& terminal, const Error& error) {
  std::string line = "cresset: " + error.message();
  for (char& c : line) c = c == '\n' || c == '\r' ? ' ' : c;  // one line, whatever a file put into it
  terminal.err(printable(line) + "\n");
}

Status load(Context& context, bool may_be_broken) {
  ConfigSources sources;
  sources.file = find_config_file(context.env, context.environment, context.args.get("--config"));
  if (sources.file == "-") {
    sources.file = "stdin";
    CRESSET_TRY(text, context.terminal.read_all(kConfigBytesMax));
    sources.text = text;
  } else if (!sources.file.empty()) {
    CRESSET_TRY(text, context.env.read_file(sources.file, kConfigBytesMax));
    sources.text = text;
  }
  for (const auto& [flag, key] : kFlagKeys) {
    if (!context.args.has(flag)) continue;
    sources.flags[key] = context.args.get(flag);
    sources.flag_names[key] = flag;
  }
  LoadedConfig loaded = load_config(sources, context.environment);
  context.config = std::move(loaded.config);
  context.config_errors = std::move(loaded.errors);
  if (context.config_errors.empty() || may_be_broken) return {};
  for (size_t i = 0; i + 1 < context.config_errors.size(); ++i)
    print_error(context.terminal, context.config_errors[i]);
  Error last = context.config_errors.back();
  last.code = Code::kInvalid;
  return tl::unexpected(std::move(last));
}

}  // namespace

std::vector<Command> commands() {
  std::vector<Command> all;
  for (auto group : {server_commands, lighthouse_commands, talk_commands, model_commands, bench_commands,
                     measure_commands, about_commands}) {
    for (Command& command : group()) all.push_back(std::move(command));
  }
  return all;
}

std::span<const FlagSpec> common_flags() {
  return kCommon;
}
std::span<const FlagSpec> engine_flags() {
  return kEngine;
}

std::vector<FlagSpec> with_engine_flags(std::vector<FlagSpec> flags) {
  flags.insert(flags.end(), std::begin(kEngine), std::end(kEngine));
  return flags;
}

int exit_code(Code code) {
  switch (code) {
    case Code::kInvalid:
      return 2;
    case Code::kNotFound:
      return 3;
    case Code::kRefused:
    case Code::kUnsupported:
    case Code::kLimit:
    case Code::kExists:
      return 4;
    case Code::kCorrupt:
      return 5;
    case Code::kUnavailable:
    case Code::kTimeout:
      return 6;
    case Code::kCancelled:
      return 130;
    case Code::kIo:
    case Code::kInternal:
      return 1;
  }
  return 1;
}

int run_command_line(sys::Env& env, Terminal& terminal, const Parts& parts, const Environment& environment,
                     const std::vector<std::string>& words) {
  const std::vector<Command> table = commands();
  std::vector<CommandSpec> specs;
  for (const Command& command : table) specs.push_back(command.spec);
  const auto fail_with = [&](const Error& error) {
    print_error(terminal, error);
    return exit_code(error.code);
  };
  auto args = parse_args(specs, kCommon, words);
  if (!args) return fail_with(args.error());
  if (args->command == nullptr) {
    const std::string help = help_overview(specs, kCommon);
    args->help ? terminal.out(help) : terminal.err(help);
    return args->help ? 0 : 2;
  }
  if (args->help) {
    terminal.out(help_for(*args->command, kCommon));
    return 0;
  }
  const Command& command = table[static_cast<size_t>(args->command - specs.data())];
  Context context{env, terminal, parts, environment, std::move(*args), {}, {}, {}};
  context.data_directory = find_data_directory(environment, context.args.get("--data"));
  if (command.needs_config != NeedsConfig::kNo) {
    const Status loaded = load(context, command.needs_config == NeedsConfig::kEvenBroken);
    if (!loaded) return fail_with(loaded.error());
  }
  const Result<int> result = command.run(context);
  if (!result) return fail_with(result.error());
  if (!terminal.out_is_good()) return fail_with({Code::kIo, "cannot write all of the output", "stdout"});
  return *result;
}

}  // namespace cresset::cli
