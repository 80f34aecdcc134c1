// Assemble: where the concrete parts of the server meet: loop, threads, store, engines, gateway, sockets.
#pragma once

#include "cli/context.h"

namespace cresset::cli {

// Serves until SIGTERM or SIGINT; then lets answers in flight end and gives 0. A second signal cuts them.
Result<int> serve(Context& context);

}  // namespace cresset::cli
