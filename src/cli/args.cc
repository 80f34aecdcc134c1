#include "cli/args.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cli/suggest.h"

namespace cresset::cli {
namespace {

constexpr std::string_view kHelp = "--help";

const FlagSpec* find_flag(std::span<const FlagSpec> flags, std::string_view name) {
  const auto it = std::find_if(flags.begin(), flags.end(), [&](const FlagSpec& f) { return f.name == name; });
  return it == flags.end() ? nullptr : &*it;
}

// A flag as it may stand before the command is known: any command's.
const FlagSpec* find_any_flag(std::span<const CommandSpec> commands, std::span<const FlagSpec> common,
                              std::string_view name) {
  if (const FlagSpec* flag = find_flag(common, name)) return flag;
  for (const CommandSpec& command : commands) {
    if (const FlagSpec* flag = find_flag(command.flags, name)) return flag;
  }
  return nullptr;
}

tl::unexpected<Error> usage_error(std::string what, std::string_view where, const CommandSpec* command) {
  const std::string about = command == nullptr ? "" : std::string(command->name) + " ";
  return fail(Code::kInvalid, what + "; see `cresset " + about + "--help`", std::string(where));
}

// The command that the word (and the next) name; how many words it took.
const CommandSpec* match_command(std::span<const CommandSpec> commands, std::string_view word,
                                 std::string_view next, size_t& taken) {
  const std::string two = std::string(word) + " " + std::string(next);
  for (const CommandSpec& command : commands) {
    if (command.name == two || command.name == word) {
      taken = command.name == word ? 1 : 2;
      return &command;
    }
  }
  return nullptr;
}

tl::unexpected<Error> unknown_command(std::span<const CommandSpec> commands, std::string_view word) {
  std::vector<std::string_view> names;
  for (const CommandSpec& command : commands) {
    if (command.name.starts_with(std::string(word) + " ")) {
      return usage_error("needs a second word, as in `cresset " + std::string(command.name) + "`", word,
                         nullptr);
    }
    names.push_back(command.name);
  }
  return usage_error("no such command" + did_you_mean(word, names), word, nullptr);
}

tl::unexpected<Error> unknown_flag(std::span<const FlagSpec> common, const CommandSpec* command,
                                   std::string_view name) {
  std::vector<std::string_view> names{kHelp};
  for (const FlagSpec& flag : common) names.push_back(flag.name);
  if (command != nullptr) {
    for (const FlagSpec& flag : command->flags) names.push_back(flag.name);
  }
  return usage_error("no such flag" + did_you_mean(name, names), name, command);
}

void append_flags(std::string& out, std::span<const FlagSpec> flags) {
  for (const FlagSpec& flag : flags) {
    std::string left = "  " + std::string(flag.name);
    if (!flag.value.empty()) left += " " + std::string(flag.value);
    left.resize(std::max<size_t>(left.size() + 2, 24), ' ');
    out += left + std::string(flag.help) + "\n";
  }
}

}  // namespace

std::string Args::get(std::string_view flag, std::string_view otherwise) const {
  const auto it = flags.find(flag);
  return it == flags.end() ? std::string(otherwise) : it->second;
}

Result<Args> parse_args(std::span<const CommandSpec> commands, std::span<const FlagSpec> common,
                        std::span<const std::string> words) {
  Args args;
  bool flags_ended = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!flags_ended && word == "--") {
      flags_ended = true;
    } else if (!flags_ended && word.size() > 1 && word[0] == '-') {
      if (word == kHelp || word == "-h") {
        args.help = true;
        continue;
      }
      const size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      const FlagSpec* flag = find_any_flag(commands, common, name);
      if (flag == nullptr) return unknown_flag(common, args.command, name);
      std::string value;
      if (flag->value.empty()) {
        if (equals != std::string::npos) return usage_error("takes no value", name, args.command);
      } else if (equals != std::string::npos) {
        value = word.substr(equals + 1);
      } else if (i + 1 < words.size()) {
        value = words[++i];
      } else {
        return usage_error("needs a value (" + std::string(flag->value) + ")", name, args.command);
      }
      if (!args.flags.emplace(name, value).second) return usage_error("given twice", name, args.command);
    } else if (args.command == nullptr) {
      size_t taken = 1;
      args.command = match_command(commands, word, i + 1 < words.size() ? words[i + 1] : "", taken);
      if (args.command == nullptr) return unknown_command(commands, word);
      i += taken - 1;
    } else {
      args.arguments.push_back(word);
    }
  }
  for (const auto& [name, value] : args.flags) {
    const bool known = find_flag(common, name) != nullptr ||
                       (args.command != nullptr && find_flag(args.command->flags, name) != nullptr);
    if (!known) return unknown_flag(common, args.command, name);
  }
  if (args.command == nullptr || args.help) return args;
  const CommandSpec& command = *args.command;
  if (args.arguments.size() < command.arguments_min) {
    return usage_error("needs " + std::string(command.arguments), command.name, &command);
  }
  if (args.arguments.size() > command.arguments_max) {
    return usage_error("one argument too many", args.arguments[command.arguments_max], &command);
  }
  return args;
}

Result<int64_t> parse_number(std::string_view text, int64_t low, int64_t high, std::string_view where) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    return fail(Code::kInvalid,
                "needs a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                    ", got \"" + std::string(text.substr(0, 40)) + "\"",
                std::string(where));
  }
  return value;
}

Result<double> parse_real(std::string_view text, double low, double high, std::string_view where) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= low && value <= high)) {
    return fail(Code::kInvalid,
                "needs a number in its range, got \"" + std::string(text.substr(0, 40)) + "\"",
                std::string(where));
  }
  return value;
}

Result<std::vector<int64_t>> parse_numbers(std::string_view text, int64_t low, int64_t high,
                                           std::string_view where) {
  std::vector<int64_t> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    CRESSET_TRY(value, parse_number(text.substr(at, comma - at), low, high, where));
    out.push_back(value);
    at = comma + 1;
  }
  return out;
}

std::string help_overview(std::span<const CommandSpec> commands, std::span<const FlagSpec> common) {
  std::string out = "cresset: an AI runtime that you own\n\nusage: cresset COMMAND [ARGUMENTS] [FLAGS]\n\n";
  for (const CommandSpec& command : commands) {
    std::string left = "  " + std::string(command.name);
    left.resize(std::max<size_t>(left.size() + 2, 18), ' ');
    out += left + std::string(command.summary) + "\n";
  }
  out += "\nFor every command, before or after it:\n";
  append_flags(out, common);
  out +=
      "\nExit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, 4 refused or over a "
      "limit,\n"
      "5 a file or stream is not what it claims to be, 6 not available now, 130 stopped.\n"
      "`cresset COMMAND --help` says more and gives an example.\n";
  return out;
}

std::string help_for(const CommandSpec& command, std::span<const FlagSpec> common) {
  std::string out = "usage: cresset " + std::string(command.name);
  if (!command.arguments.empty()) out += " " + std::string(command.arguments);
  out += " [FLAGS]\n\n" + std::string(command.summary) + ".\n";
  if (!command.detail.empty()) out += "\n" + std::string(command.detail) + "\n";
  if (!command.flags.empty()) {
    out += "\nFlags:\n";
    append_flags(out, command.flags);
  }
  out += "\nFor every command:\n";
  append_flags(out, common);
  out += "\nExample:\n";
  for (size_t at = 0; at < command.example.size();) {
    const size_t end = std::min(command.example.find('\n', at), command.example.size());
    out += "  " + std::string(command.example.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  return out;
}

std::string help_document(std::span<const CommandSpec> commands, std::span<const FlagSpec> common) {
  std::string out =
      "# The command line\nMade from the program's own tables; a test says when this page is "
      "behind.\n\n```\n" +
      help_overview(commands, common) + "```\n";
  for (const CommandSpec& command : commands) {
    out += "\n## cresset " + std::string(command.name) + "\n```\n" + help_for(command, common) + "```\n";
  }
  return out;
}

}  // namespace cresset::cli
