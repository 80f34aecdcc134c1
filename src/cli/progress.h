// Progress: one line on stderr that shows how far long work is; silent when stderr is no terminal.
#pragma once

#include <cstdint>
#include <string>

#include "cli/terminal.h"
#include "sys/env.h"

namespace cresset::cli {

class Progress {
 public:
  Progress(sys::Env& env, Terminal& terminal, std::string what);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Total 0: not known. `start` bytes were there before: they do not count for the speed.
  void show(uint64_t done, uint64_t total, uint64_t start = 0);

 private:
  sys::Env& env_;
  Terminal& terminal_;
  std::string what_;
  sys::Instant begun_, shown_{0};
  bool visible_ = false;
};

// "copying 40 % of 1.2 GB, 100 MB/s, 7 s left".
std::string progress_text(const std::string& what, uint64_t done, uint64_t total, uint64_t start,
                          double seconds);

}  // namespace cresset::cli
