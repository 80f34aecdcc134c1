// expect: no matching function|could not convert|no viable conversion|conversion from .* to non-scalar|no
// matching conversion
#include "base/json.h"
#include "base/secret.h"

cresset::Json leak(const cresset::Secret& secret) {
  return cresset::Json(secret);
}
