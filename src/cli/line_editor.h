// Lines from a person: edited and recalled with the arrow keys where stdin is a terminal (libedit), plain
// otherwise. What was typed is remembered for this run only: prompts are not written to the disk. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/terminal.h"

namespace cresset::cli {

class LineEditor {
 public:
  static std::unique_ptr<LineEditor> open(Terminal& terminal);
  virtual ~LineEditor() = default;
  // The next line without its newline; nullopt at the end (Ctrl-D). Ctrl-C at the prompt gives an empty line.
  virtual Result<std::optional<std::string>> read(const std::string& prompt) = 0;
};

}  // namespace cresset::cli
