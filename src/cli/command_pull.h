// pull: a model from the network or a mounted place, resumable.
#pragma once

#include "cli/commands.h"

namespace cresset::cli {

Command pull_command();
// hf://owner/repo/file.gguf, https://…, http://… (loopback only), file:///…: the URL to fetch. `endpoint` is
// the base of hf:// references.
Result<std::string> pull_url(std::string_view reference, std::string_view endpoint);

}  // namespace cresset::cli
