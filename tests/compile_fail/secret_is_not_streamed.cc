// expect: no match for .operator<<|invalid operands to binary expression
#include <ostream>

#include "base/secret.h"

void leak(std::ostream& out, const cresset::Secret& secret) {
  out << secret;
}
