// expect: could not convert|no matching function|cannot convert|invalid initialization|no viable
// conversion|no known conversion|conversion from .* to non-scalar
#include <string>

#include "base/secret.h"

void log(const std::string& text);
void leak(const cresset::Secret& secret) {
  log(secret);
}
