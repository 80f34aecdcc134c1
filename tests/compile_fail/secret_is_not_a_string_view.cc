// expect: could not convert|no matching function|cannot convert|no viable conversion|no known conversion
#include <string_view>

#include "base/secret.h"

void log(std::string_view text);
void leak(const cresset::Secret& secret) {
  log(secret);
}
