// Fault: what is wrong with a request or an answer, in no dialect yet; a codec gives it its own shape. It is
// what an Error becomes at the door: a message that a client may read, the parameter it is about, a word for
// programs. A value; belongs to no thread. It never carries prompt text, a path of ours or a secret.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "base/result.h"
#include "chat/event.h"

namespace cresset::wire {

struct Fault {
  Code code = Code::kInternal;
  std::string message;
  std::string param;   // "messages[0].content[1]"; empty: about the whole request
  std::string reason;  // a stable word: "model_not_found", "unsupported_value"; empty: none
  std::string kind{};  // a provider's own word for it ("overloaded_error"), for its dialect; empty: ours
  int status = 0;      // the HTTP status where the code's own is not exact (401, 405, 415); 0: the code's own
  int retry_after_s = 0;  // > 0: worth trying again after this long
};

template <class T>
using Decoded = tl::expected<T, Fault>;
using Checked = tl::expected<void, Fault>;

int http_status(const Fault& fault);

// The Error of an engine or provider as its client may see it: what the client did wrong is told in full,
// what went wrong inside is not.
Fault to_fault(const Error& error);
// The same of an answer that broke off: what a provider said of it is told in its words, with its status.
Fault to_fault(const chat::Failed& failed);

// The faults that every dialect states about its parameters, in OpenAI's words.
Fault missing_parameter(std::string param);
Fault unknown_parameter(std::string param);
Fault unsupported_parameter(std::string param, std::string_view why);
Fault unsupported_value(std::string param, std::string_view why);
Fault invalid_value(std::string param, std::string_view why, std::string reason = "invalid_value");

}  // namespace cresset::wire
