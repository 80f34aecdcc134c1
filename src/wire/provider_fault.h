// What goes wrong at a provider, as the client's dialect will say it. Pure functions.
#pragma once

#include <string_view>

#include "base/json.h"
#include "chat/event.h"
#include "wire/fault.h"

namespace cresset::wire {

// The body is not an answer of the provider's dialect.
Fault not_an_answer();

// What our own code makes of a provider's HTTP status: whether another candidate may do better follows from
// it.
Code code_of_status(int status);

// The "error" member of OpenAI's, Anthropic's and Google's bodies ({message, type | status, code}, or a
// text). `status` 0: it came within a stream; then the word decides.
chat::Failed failed_from(const Json& error, int status);

// A body without such a member: the status is all we know. The body is not repeated: it may be anything.
chat::Failed failed_from_status(int status);

// The body of an error answer.
chat::Failed failed_from_body(int status, std::string_view body);

}  // namespace cresset::wire
