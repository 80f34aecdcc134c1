// expect: use of deleted function|call to deleted constructor
#include "base/secret.h"

cresset::Secret leak(const cresset::Secret& secret) {
  return secret;
}
