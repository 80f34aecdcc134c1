// TickingEnv: a clock that moves by the same step each time it is read, for what measures time. No files.
#pragma once

#include <atomic>
#include <string>

#include "sys/env.h"
#include "testing/no_files_env.h"

namespace cresset::testing {

class TickingEnv final : public NoFilesEnv {
 public:
  explicit TickingEnv(std::chrono::nanoseconds step) : step_(step) {}

  sys::Instant now() override { return sys::Instant(now_.fetch_add(step_.count()) + step_.count()); }
  int64_t reads() const { return now_.load() / step_.count(); }  // how often it was read

 private:
  const std::chrono::nanoseconds step_;
  std::atomic<int64_t> now_{0};
};

}  // namespace cresset::testing
