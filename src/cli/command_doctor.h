// doctor: what this machine can do, what is installed, and what would be refused and why.
#pragma once

#include "cli/commands.h"

namespace cresset::cli {

Command doctor_command();

}  // namespace cresset::cli
