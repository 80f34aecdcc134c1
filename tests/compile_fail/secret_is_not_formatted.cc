// expect: static assertion failed|static_assert failed|deleted|is not a member|does not name|formattable|no
// member named|file not found|No such file std::format comes with g++ 13 and clang 19's own library; before
// that there is nothing that could format a Secret, which is the fact proved here, so a missing <format>
// counts as well.
#include <format>
#include <string>

#include "base/secret.h"

std::string leak(const cresset::Secret& secret) {
  return std::format("{}", secret);
}
