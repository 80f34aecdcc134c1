// The process: the real parts, wired once and passed down.
#include <cstdlib>

#include "cli/assemble.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

int main(int count, char** words) {
  using namespace cresset;
  const cli::Environment environment = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  const auto env = sys::make_posix_env();
  const bool no_colour =
      !environment("NO_COLOR").value_or("").empty() || environment("TERM").value_or("") == "dumb";
  const auto terminal = cli::make_terminal(no_colour);
  cli::Parts parts;
  parts.open_engine = engine::Engine::open;
  parts.keep_packed = engine::keep_packed;
  parts.read_card = engine::read_card;
  parts.kernel_name_for = engine::kernel_name_for;
  parts.fetch = net::fetch;
  parts.serve = cli::serve;
  parts.on_interrupt = cli::watch_interrupts;
  parts.cpu = sys::read_cpu_features();
  parts.read_memory = sys::read_memory;
  return cli::run_command_line(*env, *terminal, parts, environment,
                               std::vector<std::string>(words + 1, words + count));
}
