// chat: a conversation in the terminal.
#pragma once

#include "cli/commands.h"

namespace cresset::cli {

Command chat_command();

}  // namespace cresset::cli
