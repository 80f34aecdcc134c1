#include "wire/sse_decoder.h"

namespace cresset::wire {

Status SseDecoder::feed(std::string_view bytes, std::vector<chat::Event>& out) {
  Status status;
  const Status read = sse_.feed(bytes, [&](const SseEvent& event) {
    if (is_over_) return false;
    status = take(event.data, out);
    return status.has_value();
  });
  return status ? read : status;
}

}  // namespace cresset::wire
