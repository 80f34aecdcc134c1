// Parser: a template's source to Syntax. Anything outside of the supported part of Jinja2 is refused here, by
// name and line: a template is known to be runnable before it meets a message.
#pragma once

#include <string_view>

#include "engine/token/jinja/syntax.h"

namespace cresset::engine::jinja {

struct ParseLimits {
  int depth_max;   // blocks in blocks, brackets in brackets
  int height_max;  // of one expression's tree
};

// Throws Fault.
Syntax parse(std::string_view source, ParseLimits limits);

}  // namespace cresset::engine::jinja
