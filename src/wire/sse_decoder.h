// SseDecoder: what the stream decoders of all dialects over server-sent events share. A dialect gives take().
#pragma once

#include <string_view>
#include <vector>

#include "wire/codec.h"
#include "wire/sse.h"

namespace cresset::wire {

class SseDecoder : public StreamDecoder {
 public:
  Status feed(std::string_view bytes, std::vector<chat::Event>& out) final;

 protected:
  // One event's data. An error ends the stream.
  virtual Status take(std::string_view data, std::vector<chat::Event>& out) = 0;
  bool is_over_ = false;  // all was said: the rest of the bytes means nothing

 private:
  SseReader sse_;
};

}  // namespace cresset::wire
