// Server: HTTP/1.1 over Boost.Beast coroutines, in one translation unit. Bytes to bounded messages and back.
//
// Limits (all enforced here, defaults in ServerLimits): header bytes (431), body bytes (413), time to receive
// the header and the body (408, close), connections at once (503), idle keep-alive, queued bytes of a stream
// (the system keeps at most 512 KiB more of what a client has not read).
// TLS when a certificate is configured. A malformed request gets 400 and a close; the server goes on.
// Everything here belongs to the loop thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/http.h"
#include "net/loop.h"

namespace cresset::sys {
class Env;
}

namespace cresset::net {

struct ServerLimits {
  size_t header_bytes_max = 64u << 10;
  size_t body_bytes_max = 32u << 20;
  size_t bodies_bytes_max = 256u << 20;  // of all requests that are here at once: 503
  std::chrono::milliseconds header_time_max{10'000};
  std::chrono::milliseconds body_time_max{60'000};
  std::chrono::milliseconds idle_time_max{75'000};
  std::chrono::milliseconds write_stall_max{60'000};  // a reader that takes nothing for this long is dropped
  size_t connections_max = 1024;
  size_t stream_bytes_max = 8u << 20;  // queued and unread: then the stream is dropped
};

struct ServerOptions {
  std::string host = "127.0.0.1";  // an address; "localhost" is taken as 127.0.0.1; "[::1]" and "::1" work
  uint16_t port = 7171;            // 0: any
  std::string tls_certificate_file{}, tls_key_file{};  // PEM; both or none
  ServerLimits limits{};
  sys::Env* env = nullptr;  // for the Date header; null: none is sent
};

// One request and the way back to its client. Owned by the handler through shared_ptr; dropping it unanswered
// sends 500. All calls on the loop thread.
class Call {
 public:
  virtual ~Call() = default;
  virtual const HttpRequest& request() const = 0;
  virtual bool is_tls() const = 0;

  // Exactly one of: reply() once; or begin_stream(), write()*, end().
  virtual void reply(HttpResponse response) = 0;
  virtual void begin_stream(int status, Headers headers) = 0;  // chunked
  virtual void write(std::string bytes) = 0;                   // queued; never blocks
  virtual void end() = 0;
  virtual void abort() = 0;                 // closes without the final chunk: a cut stream shows
  virtual size_t queued_bytes() const = 0;  // written and not yet taken by the socket

  // Called once if the client goes away before the answer is complete.
  virtual void on_closed(std::function<void()> work) = 0;
  // Called when the queue has become empty.
  virtual void on_drained(std::function<void()> work) = 0;
};

class Server {
 public:
  using Handler = std::function<void(std::shared_ptr<Call>)>;
  // Binds and listens, or says why not ("127.0.0.1:7171: address in use").
  static Result<std::unique_ptr<Server>> open(Loop& loop, const ServerOptions& options, Handler handler);
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;
  virtual size_t connections() const = 0;
  // Stops accepting, lets answers in flight end, closes idle connections; `done` when the last one is gone or
  // `time_max` has passed.
  virtual void drain(std::chrono::milliseconds time_max, std::function<void()> done) = 0;
};

}  // namespace cresset::net
