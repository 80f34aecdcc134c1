// One answer of the own engine, waited for on the calling thread: events from the engine's threads in order,
// text to a callback as it comes, and how fast it was.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "chat/request.h"
#include "chat/stream.h"
#include "engine/engine.h"

namespace cresset::cli {

struct Answer {
  std::string text;
  chat::FinishReason reason = chat::FinishReason::kStop;
  chat::Usage usage;
  double prefill_s = 0;  // until the first token
  double decode_s = 0;   // from the first token to the last

  double prefill_tok_s() const;
  double decode_tok_s() const;  // 0 when there was one token or none
};

// `on_text` is called on this thread. A cancelled answer is kCancelled.
Result<Answer> answer(sys::Env& env, engine::Engine& engine, chat::Request request,
                      const chat::CancelToken& cancel, const std::function<void(std::string_view)>& on_text);

chat::Message text_message(chat::Role role, std::string text);

}  // namespace cresset::cli
