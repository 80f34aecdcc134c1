// Fault: how the interpreter stops. Thrown by the lexer, the parser and the interpreter, caught in
// chat_template.cc: it never leaves this unit.
#pragma once

#include <string>

#include "base/result.h"

namespace cresset::engine::jinja {

struct Fault {
  Code code;
  std::string what;
  int line = 0;  // of the template, from 1; 0: not known (filled in on the way up)
};

[[noreturn]] inline void fault(Code code, std::string what, int line = 0) {
  throw Fault{code, std::move(what), line};
}
[[noreturn]] inline void type_fault(std::string what) {
  fault(Code::kInvalid, std::move(what));
}

}  // namespace cresset::engine::jinja
