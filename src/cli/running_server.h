// The server that runs on this machine, as the commands that ask it see it.
#pragma once

#include <string>

#include "cli/context.h"

namespace cresset::cli {

// A server that listens everywhere is asked on loopback.
std::string server_url(const Config& config);
// What it answers to GET `path`; kUnavailable where none runs, kRefused where it asks for a key.
Result<std::string> ask_server(Context& context, const std::string& path);

}  // namespace cresset::cli
