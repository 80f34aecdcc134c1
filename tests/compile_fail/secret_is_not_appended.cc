// expect: no match for .operator\+|invalid operands to binary expression
#include <string>

#include "base/secret.h"

std::string leak(const cresset::Secret& secret) {
  return "key " + secret;
}
