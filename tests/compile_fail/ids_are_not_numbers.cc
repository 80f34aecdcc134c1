// expect: cannot convert|no viable conversion
#include <cstdint>

#include "base/ids.h"

struct UserTag;
uint64_t mistake(cresset::Id<UserTag> user) {
  return user;
}
