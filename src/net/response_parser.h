// ResponseParser: bytes of a connection to the answers on it (RFC 9112), without sockets: strict where two
// readers could disagree about where an answer ends, and no further. It keeps no body: pieces are handed out
// as they come. One object a connection; belongs to whoever reads it.
//
// Limits: the bytes of a head, 256 fields; a body has none here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/chunk_decoder.h"
#include "net/http.h"

namespace cresset::net {

class ResponseParser {
 public:
  // kBody: the head is there. kDone: the answer is whole, and what follows is not its.
  enum class State { kHead, kBody, kDone };

  explicit ResponseParser(size_t head_bytes_max) : head_bytes_max_(head_bytes_max) {}

  // Ready for the answer to the next request.
  void begin(bool is_head_request);

  struct Piece {
    size_t used = 0;          // of the bytes given
    std::string_view body{};  // of the answer; valid until the next call
  };
  // Takes bytes up to the end of the head, or a piece of the body. Offer the rest again until all are used or
  // the answer is done. kCorrupt, kLimit: not an answer; the connection is of no more use.
  Result<Piece> take(std::string_view bytes);
  // Nothing more comes. False: the answer was cut.
  bool end();

  State state() const { return state_; }
  bool has_begun() const { return has_begun_; }  // something of this answer has come
  int status() const { return status_; }
  const Headers& headers() const { return headers_; }
  bool keeps_alive() const { return keeps_alive_; }  // from kBody on

 private:
  Result<Piece> take_head(std::string_view bytes);
  Result<Piece> take_chunks(std::string_view bytes);
  Status read_head(std::string_view head);
  Status read_field(std::string_view line);
  Status settle_framing();

  const size_t head_bytes_max_;
  State state_ = State::kDone;
  std::string head_;  // of a head that came in pieces
  Headers headers_;
  int status_ = 0;
  bool has_begun_ = false, is_head_request_ = false, keeps_alive_ = false;
  bool is_until_close_ = false;
  uint64_t body_left_ = 0;
  std::optional<ChunkDecoder> chunks_;
  std::string piece_;
};

}  // namespace cresset::net
