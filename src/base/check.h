// CHECK: an invariant of ours. On in release: a program that has lost its way stops before it does harm.
// Never for input: bytes from outside give a Result.
#pragma once

namespace cresset {

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace cresset

#define CHECK(expression)                               \
  (static_cast<bool>(expression) ? static_cast<void>(0) \
                                 : ::cresset::check_failed(#expression, __FILE__, __LINE__))
