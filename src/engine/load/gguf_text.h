// How GGUF names appear in error lines. Only load/ includes this.
#pragma once

#include <string>
#include <string_view>

namespace cresset::engine {

// A name from the file in quotes: cut at 100 bytes, control characters and broken UTF-8 made visible, so that
// a hostile name cannot fill a log or drive a terminal.
std::string quoted(std::string_view name);

}  // namespace cresset::engine
