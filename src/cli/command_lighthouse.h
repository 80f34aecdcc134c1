// lighthouse fake: a provider that is none.
#pragma once

#include "cli/commands.h"

namespace cresset::cli {

std::vector<Command> lighthouse_commands();

}  // namespace cresset::cli
