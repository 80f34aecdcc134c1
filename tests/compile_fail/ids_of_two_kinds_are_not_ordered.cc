// expect: no match for .operator<|invalid operands to binary expression
#include "base/ids.h"

struct UserTag;
struct KeyTag;
bool mistake(cresset::Id<UserTag> user, cresset::Id<KeyTag> key) {
  return user < key;
}
