// expect: no match for .operator==|invalid operands to binary expression
// == ends at the first wrong byte and so tells how much was right; equals() does not.
#include "base/secret.h"

bool leak(const cresset::Secret& secret) {
  return secret == "guess";
}
