#include "testing/socket_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "net/http.h"

namespace cresset::testing {

std::string SocketResponse::header(std::string_view name) const {
  size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    const size_t begin = at + 2;
    at = head.find("\r\n", begin);
    const std::string_view line = std::string_view(head).substr(begin, at - begin);
    const size_t colon = line.find(": ");
    if (colon != std::string_view::npos && net::equals_ignoring_case(line.substr(0, colon), name)) {
      return std::string(line.substr(colon + 2));
    }
  }
  return {};
}

SocketClient::SocketClient(uint16_t port, int receive_buffer_bytes) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer_bytes > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) close();
}

SocketClient::~SocketClient() {
  close();
}

bool SocketClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    pollfd ready{.fd = fd_, .events = POLLOUT, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(kWait.count())) <= 0) return false;
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool SocketClient::fill(std::chrono::milliseconds wait) {
  if (fd_ < 0 || has_ended_) return false;
  pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
  if (::poll(&ready, 1, static_cast<int>(wait.count())) <= 0) return false;
  char buffer[65536];
  const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
  if (n <= 0) {
    has_ended_ = true;
    was_reset_ = n < 0;
    return false;
  }
  held_.append(buffer, static_cast<size_t>(n));
  return true;
}

std::string SocketClient::read_until(std::string_view mark) {
  size_t at = 0;
  size_t looked_at = 0;
  while ((at = held_.find(mark, looked_at)) == std::string::npos) {
    looked_at = held_.size() - std::min(held_.size(), mark.size());
    if (!fill()) return std::exchange(held_, {});
  }
  std::string out = held_.substr(0, at + mark.size());
  held_.erase(0, at + mark.size());
  return out;
}

std::string SocketClient::read_to_end() {
  while (fill()) {
  }
  return std::exchange(held_, {});
}

SocketResponse SocketClient::read_response(bool has_body) {
  SocketResponse response;
  response.head = read_until("\r\n\r\n");
  if (!response.head.ends_with("\r\n\r\n") || response.head.size() < 12) return response;
  response.status = std::atoi(response.head.c_str() + 9);
  if (!has_body || response.status == 204 || response.status == 304 || response.status < 200) {
    response.is_complete = true;
  } else if (response.header("Transfer-Encoding") == "chunked") {
    for (;;) {
      const std::string line = read_until("\r\n");
      if (!line.ends_with("\r\n")) return response;
      const size_t size = std::strtoul(line.c_str(), nullptr, 16);
      while (held_.size() < size + 2) {
        if (!fill()) return response;
      }
      response.body += held_.substr(0, size);
      held_.erase(0, size + 2);
      if (size == 0) break;
    }
    response.is_complete = true;
  } else if (const std::string length = response.header("Content-Length"); !length.empty()) {
    const size_t size = std::strtoul(length.c_str(), nullptr, 10);
    while (held_.size() < size && fill()) {
    }
    response.is_complete = held_.size() >= size;
    response.body = held_.substr(0, size);
    held_.erase(0, size);
  } else {
    response.body = read_to_end();
    response.is_complete = has_ended_ && !was_reset_;
  }
  return response;
}

SocketClient::End SocketClient::wait_for_end(std::chrono::milliseconds wait) {
  while (fill(wait)) held_.clear();
  if (!has_ended_) return End::kStillOpen;
  return was_reset_ ? End::kReset : End::kEof;
}

void SocketClient::finish_sending() {
  ::shutdown(fd_, SHUT_WR);
}

void SocketClient::reset() {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close();
}

void SocketClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace cresset::testing
