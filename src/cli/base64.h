// Base64 (RFC 4648, section 4), strictly: padding required, no other characters.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cresset::cli {

Result<std::string> decode_base64(std::string_view text);

}  // namespace cresset::cli
