// Must compile: what the others do wrong, done right.
#include <string_view>

#include "base/ids.h"
#include "base/secret.h"

struct UserTag;
using UserId = cresset::Id<UserTag>;

bool use(const cresset::Secret& secret, std::string_view guess) {
  return secret.equals(guess) && UserId{1} == UserId{1} && UserId{1} < UserId{2} && !secret.expose().empty();
}
