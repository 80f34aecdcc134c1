// Terminal: stdin, stdout and stderr as one interface, so that commands are tested without a process.
// The thread that runs the command owns it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cresset::cli {

class Terminal {
 public:
  virtual ~Terminal() = default;
  virtual void out(std::string_view text) = 0;  // stdout, at once
  virtual void err(std::string_view text) = 0;
  virtual bool in_is_terminal() const = 0;
  virtual bool out_is_terminal() const = 0;
  virtual bool err_is_terminal() const = 0;
  // Colour on stdout: a terminal, no NO_COLOR, TERM is not "dumb".
  virtual bool has_colour() const = 0;
  // stdin to its end.
  virtual Result<std::string> read_all(size_t bytes_max) = 0;
  // The next line of stdin without its newline; nullopt at the end. Longer than `bytes_max` is kLimit.
  virtual Result<std::optional<std::string>> read_line(size_t bytes_max) = 0;
  // Whether everything written to stdout got there.
  virtual bool out_is_good() const = 0;
};

// `no_colour`: NO_COLOR is set and not empty, or TERM is "dumb".
std::unique_ptr<Terminal> make_terminal(bool no_colour);

// Text from a model or a file for a person's screen: control characters (escape sequences among them) become
// U+FFFD; newline and tab stay.
std::string printable(std::string_view text);

// "135.6 MB"; "1.2 GB".
std::string human_bytes(uint64_t bytes);

}  // namespace cresset::cli
