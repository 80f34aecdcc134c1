// The limits of a request that hold in every dialect, enforced by the decoders. OpenAI's own are in
// openai_chat.h.
#pragma once

#include <cstddef>
#include <string_view>

#include "wire/fault.h"
#include "wire/openai_chat.h"

namespace cresset::wire {

constexpr size_t kMessagesMaxAny = kMessagesMax;
constexpr size_t kToolsMax = 1024;
constexpr size_t kStopsMaxAny = 64;
constexpr size_t kStopBytesMaxAny = 1024;
constexpr size_t kModelBytesMaxAny = kModelBytesMax;
constexpr size_t kTextBytesMax = size_t{1} << 30;  // the body's own limit is smaller

// A request's body as an object, or the fault that says what it is instead.
Decoded<Json> parse_body(std::string_view body);

}  // namespace cresset::wire
