// ChunkDecoder: a chunked body (RFC 9112, 7.1) to its bytes, strictly. Takes whatever is there and keeps no
// input. Our own and not Beast's: given "0\r\n" and then one byte, Beast 1.81's parser ends the process with
// an assertion. Extensions and trailers are read for their limits and believed in nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cresset::net {

class ChunkDecoder {
 public:
  enum class State { kMore, kDone, kBroken, kTooLarge };

  explicit ChunkDecoder(size_t bytes_max) : bytes_left_(bytes_max) {}

  // Appends to `body`; returns how many of `bytes` belong to the body's encoding (all of them in kMore).
  size_t feed(std::string_view bytes, std::string& body);
  State state() const { return state_; }

 private:
  enum class At {
    kSize,
    kExtension,
    kSizeEnd,
    kData,
    kDataCr,
    kDataLf,
    kTrailerBegin,
    kTrailer,
    kTrailerLf,
    kLastLf
  };

  State step(char c);
  State read_size(char c);

  State state_ = State::kMore;
  At at_ = At::kSize;
  uint64_t size_ = 0;  // of this chunk; then what is left of it
  int digits_ = 0;
  size_t bytes_left_;  // of the body's limit
  size_t overhead_ = 0;
};

}  // namespace cresset::net
