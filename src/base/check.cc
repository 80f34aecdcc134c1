#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace cresset {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "cresset: broken invariant: %s (%s:%d). This is a fault of ours; please report it.\n",
               expression, file, line);
  std::abort();
}

}  // namespace cresset
