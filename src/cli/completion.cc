#include "cli/completion.h"

#include <algorithm>

namespace cresset::cli {
namespace {

bool takes_model(const CommandSpec& command) {
  return command.arguments.find("MODEL") != std::string_view::npos;
}
bool takes_file(const CommandSpec& command) {
  return command.arguments.find("FILE") != std::string_view::npos;
}

std::string first_words(std::span<const CommandSpec> commands) {
  std::string out;
  for (const CommandSpec& command : commands) {
    out += (out.empty() ? "" : " ") + std::string(command.name.substr(0, command.name.find(' ')));
  }
  return out;
}

std::string flags_of(const CommandSpec& command, std::span<const FlagSpec> common) {
  std::string out = "--help";
  for (const FlagSpec& flag : common) out += " " + std::string(flag.name);
  for (const FlagSpec& flag : command.flags) out += " " + std::string(flag.name);
  return out;
}

// Also read by zsh, through bashcompinit.
std::string bash_script(std::span<const CommandSpec> commands, std::span<const FlagSpec> common) {
  std::string out =
      "_cresset() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
      "  COMPREPLY=()\n"
      "  case $before in --config|--system) COMPREPLY=($(compgen -f -- \"$word\")); return;;\n"
      "    --data) COMPREPLY=($(compgen -d -- \"$word\")); return;; esac\n"
      "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
      "    case ${COMP_WORDS[i]} in --config|--data) ((++i));; -*) ;; *) command=${COMP_WORDS[i]}; break;; "
      "esac\n"
      "  done\n"
      "  case $command in\n"
      "    '') COMPREPLY=($(compgen -W '" +
      first_words(commands) + " --help --config --data --json' -- \"$word\"));;\n";
  for (const CommandSpec& command : commands) {
    const size_t space = command.name.find(' ');
    out += "    " + std::string(command.name.substr(0, space)) + ")\n";
    if (space != std::string_view::npos) {
      out += "      COMPREPLY=($(compgen -W '" + std::string(command.name.substr(space + 1)) + " " +
             flags_of(command, common) + "' -- \"$word\"));;\n";
      continue;
    }
    out += "      if [[ $word == -* ]]; then COMPREPLY=($(compgen -W '" + flags_of(command, common) +
           "' -- \"$word\"))\n      else COMPREPLY=(";
    if (takes_model(command)) out += "$(compgen -W \"$(cresset ls --quiet 2>/dev/null)\" -- \"$word\") ";
    if (takes_model(command)) out += "$(compgen -f -X '!*.gguf' -- \"$word\")";
    if (takes_file(command)) out += "$(compgen -f -- \"$word\")";
    if (command.name == "completion") out += "$(compgen -W 'bash zsh fish' -- \"$word\")";
    out += "); fi;;\n";
  }
  return out + "  esac\n}\n";
}

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("\\'") : std::string(1, c);
  return out + "'";
}

std::string fish_script(std::span<const CommandSpec> commands, std::span<const FlagSpec> common) {
  std::string out = "complete -c cresset -f\n";
  const auto flag_line = [&](const std::string& condition, const FlagSpec& flag) {
    const bool file = flag.value == "FILE" || flag.value == "DIR";
    out += "complete -c cresset" + condition + " -l " + std::string(flag.name.substr(2)) +
           (flag.value.empty() ? ""
            : file             ? " -r -F"
                               : " -x") +
           " -d " + quoted(flag.help) + "\n";
  };
  for (const FlagSpec& flag : common) flag_line("", flag);
  for (const CommandSpec& command : commands) {
    const size_t space = command.name.find(' ');
    const std::string first(command.name.substr(0, space));
    const std::string condition = " -n '__fish_seen_subcommand_from " + first + "'";
    out +=
        "complete -c cresset -n __fish_use_subcommand -a " + first + " -d " + quoted(command.summary) + "\n";
    if (space != std::string_view::npos)
      out += "complete -c cresset" + condition + " -a " + std::string(command.name.substr(space + 1)) + "\n";
    if (takes_model(command))
      out += "complete -c cresset" + condition + " -a '(cresset ls --quiet 2>/dev/null)'\n";
    if (takes_file(command)) out += "complete -c cresset" + condition + " -F\n";
    if (command.name == "completion") out += "complete -c cresset" + condition + " -a 'bash zsh fish'\n";
    for (const FlagSpec& flag : command.flags) flag_line(condition, flag);
  }
  return out;
}

}  // namespace

Result<std::string> completion_script(std::string_view shell, std::span<const CommandSpec> commands,
                                      std::span<const FlagSpec> common) {
  if (shell == "bash") return bash_script(commands, common) + "complete -F _cresset cresset\n";
  if (shell == "zsh") {
    return "#compdef cresset\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(commands, common) +
           "complete -F _cresset cresset\n";
  }
  if (shell == "fish") return fish_script(commands, common);
  return fail(Code::kInvalid,
              "no completion for \"" + std::string(shell.substr(0, 40)) + "\"; there are bash, zsh, fish",
              "completion");
}

}  // namespace cresset::cli
