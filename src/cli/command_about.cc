// version, config show, completion; doctor has its own file.
#include "cli/command_doctor.h"
#include "cli/commands.h"
#include "cli/completion.h"

namespace cresset::cli {
namespace {

Result<int> run_version(Context& context) {
  if (context.json()) {
    context.print_json(Json::object({{"version", CRESSET_VERSION}}));
  } else {
    context.terminal.out("cresset " CRESSET_VERSION "\n");
  }
  return 0;
}

// As TOML, with the origin behind each value; JSON: {"server.listen": {"value": …, "from": "default"}, …}.
Result<int> run_config_show(Context& context) {
  const Config& config = context.config;
  if (context.json()) {
    Json out = Json::object({{"file", config.file.empty() ? Json() : Json(config.file)},
                             {"data", context.data_directory},
                             {"values", Json::object()},
                             {"key", Json::array()},
                             {"alias", Json::array()}});
    for (const Setting& setting : config.settings) {
      Json entry = Json::object({{"value", setting.value}, {"from", setting.origin}});
      Json* list = out.find(setting.key);
      list != nullptr && list->is_array() ? list->push(std::move(entry))
                                          : out.find("values")->set(setting.key, std::move(entry));
    }
    context.print_json(out);
    return 0;
  }
  context.terminal.out("# file: " + (config.file.empty() ? "none" : printable(config.file)) +
                       "\n# data: " + printable(context.data_directory) + "\n");
  std::string section;
  for (const Setting& setting : config.settings) {
    if (setting.value.is_object()) {
      context.terminal.out("\n[[" + setting.key + "]]  # " + printable(setting.origin) + "\n");
      for (const auto& [name, value] : setting.value.as_object())
        context.terminal.out(name + " = " + value.write() + "\n");
      continue;
    }
    const size_t dot = setting.key.find('.');
    if (setting.key.substr(0, dot) != section) {
      section = setting.key.substr(0, dot);
      context.terminal.out("\n[" + section + "]\n");
    }
    std::string line = setting.key.substr(dot + 1) + " = " + setting.value.write();
    line.resize(std::max<size_t>(line.size() + 2, 36), ' ');
    context.terminal.out(line + "# " + printable(setting.origin) + "\n");
  }
  return 0;
}

Result<int> run_completion(Context& context) {
  std::vector<CommandSpec> specs;
  for (const Command& command : commands()) specs.push_back(command.spec);
  CRESSET_TRY(script, completion_script(context.args.arguments[0], specs, common_flags()));
  context.terminal.out(script);
  return 0;
}

}  // namespace

std::vector<Command> about_commands() {
  return {
      doctor_command(),
      {{"config show", "", "Print the effective configuration and where each value came from", "",
        "cresset config show --config cresset.toml",
        with_engine_flags({{"--listen", "HOST:PORT", "as serve takes it"}}), 0, 0},
       run_config_show},
      {{"version", "", "Print the version", "", "cresset version", {}, 0, 0}, run_version, NeedsConfig::kNo},
      {{"completion",
        "SHELL",
        "Print a completion script for bash, zsh or fish",
        "",
        "source <(cresset completion bash)",
        {},
        1,
        1},
       run_completion,
       NeedsConfig::kNo},
  };
}

}  // namespace cresset::cli
