// The flags that say how an answer is sampled, for `run` and `chat`.
#pragma once

#include <vector>

#include "chat/request.h"
#include "cli/args.h"

namespace cresset::cli {

std::vector<FlagSpec> sampling_flags();
Status apply_sampling_flags(const Args& args, chat::Request& request);

}  // namespace cresset::cli
