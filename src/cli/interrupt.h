// Ctrl-C as a call: SIGINT is blocked in this process and waited for by one thread, so no code runs inside a
// signal handler. Make it before other threads start (they inherit the mask); one at a time.
#pragma once

#include <functional>
#include <memory>

namespace cresset::cli {

std::shared_ptr<void> watch_interrupts(std::function<void()> work);

}  // namespace cresset::cli
