// SocketClient: a blocking TCP client on loopback that sends exactly the bytes it is told to, for tests of
// servers. Every wait ends after kWait with a failed result, so that a broken server fails a test and does
// not hang it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cresset::testing {

struct SocketResponse {
  int status = 0;  // 0: none came
  std::string head;
  std::string body;  // chunks joined
  bool is_complete = false;

  std::string header(std::string_view name) const;  // empty: absent
};

class SocketClient {
 public:
  enum class End { kEof, kReset, kStillOpen };
  static constexpr std::chrono::milliseconds kWait{10'000};

  explicit SocketClient(uint16_t port, int receive_buffer_bytes = 0);
  ~SocketClient();
  SocketClient(SocketClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), held_(std::move(other.held_)) {}
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  bool is_open() const { return fd_ >= 0; }
  int descriptor() const { return fd_; }
  bool send(std::string_view bytes);
  std::string read_until(std::string_view mark);  // with the mark; what came, when it does not come
  std::string read_to_end();
  // `has_body` false: the answer to HEAD.
  SocketResponse read_response(bool has_body = true);
  SocketResponse exchange(std::string_view request) {
    return send(request) ? read_response() : SocketResponse{};
  }
  End wait_for_end(std::chrono::milliseconds wait = kWait);  // reads and forgets
  void finish_sending();                                     // half-close
  void reset();                                              // close with RST
  void close();

 private:
  bool fill(std::chrono::milliseconds wait = kWait);  // more into held_; false: end or time

  int fd_ = -1;
  bool was_reset_ = false;
  bool has_ended_ = false;
  std::string held_;
};

}  // namespace cresset::testing
