// Result<T>: a value or an Error. Everything that can go wrong because of bytes, files, networks, models or
// people returns one; a broken invariant of ours is a CHECK (check.h). No exception crosses a unit.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace cresset {

enum class Code {
  kInvalid,      // the caller's input is wrong: say what and where
  kNotFound,     // no such thing
  kExists,       // it is there already
  kRefused,      // understood and not allowed
  kUnsupported,  // understood and not built (yet)
  kLimit,        // over a stated limit
  kUnavailable,  // try again later
  kCancelled,    // the caller left
  kTimeout,
  kIo,        // the operating system said no
  kCorrupt,   // a file or stream is not what it claims to be
  kInternal,  // a fault of ours
};

// The code's lower-case name, stable: it appears in JSON output.
std::string_view to_string(Code code);

// One clear line: what happened, where (file, field, line), and what to do where we know it.
struct Error {
  Code code = Code::kInternal;
  std::string what;
  std::string where;

  // "where: what", or only what.
  std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(Code code, std::string what, std::string where = {}) {
  return tl::unexpected<Error>(Error{code, std::move(what), std::move(where)});
}

}  // namespace cresset

// CRESSET_TRY(x, expr): binds x to the value of a Result, or returns its error from this function.
#define CRESSET_TRY(var, expr)                                                                   \
  auto var##_result = (expr);                                                                    \
  if (!var##_result) return ::tl::unexpected<::cresset::Error>(std::move(var##_result.error())); \
  auto& var = *var##_result
// The same for a Status.
#define CRESSET_TRY_STATUS(expr)                                                                 \
  do {                                                                                           \
    auto try_status_ = (expr);                                                                   \
    if (!try_status_) return ::tl::unexpected<::cresset::Error>(std::move(try_status_.error())); \
  } while (0)
