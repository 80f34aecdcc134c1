// Shell completion, made from the table of commands.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/args.h"

namespace cresset::cli {

// `shell`: bash, zsh or fish.
Result<std::string> completion_script(std::string_view shell, std::span<const CommandSpec> commands,
                                      std::span<const FlagSpec> common);

}  // namespace cresset::cli
