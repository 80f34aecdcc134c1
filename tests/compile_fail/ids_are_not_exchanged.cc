// expect: could not convert|no matching function|cannot convert|no viable conversion|no known conversion
#include "base/ids.h"

struct UserTag;
struct KeyTag;
void revoke(cresset::Id<KeyTag> key);
void mistake(cresset::Id<UserTag> user) {
  revoke(user);
}
