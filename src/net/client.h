// Client: our own HTTP requests on the event loop: connections are kept and used again, answers come in
// pieces as they arrive, nothing blocks. By libcurl's multi interface; plain http to this machine by
// near_client.h. Only configured places are asked: no redirect is followed, and plain http is refused except
// to this machine unless its owner says so.
//
// Loop thread only. Not for downloads: see fetch.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "net/http.h"
#include "net/loop.h"

namespace cresset::net {

struct ClientRequest {
  std::string method = "POST";
  std::string url{};
  Headers headers{};  // without Host and Content-Length
  // Sent as `secret_header: secret_prefix + secret`; it is in no other field.
  std::string secret_header{}, secret_prefix{};
  std::shared_ptr<const Secret> secret{};
  std::string body{};

  bool allow_plain = false;  // http to other machines
  std::string ca_file{};     // whom to trust for https; empty: the system's list
  std::string proxy{};       // empty: as the environment says; never for this machine
  std::chrono::milliseconds connect_time_max{10'000};
  std::chrono::milliseconds first_byte_time_max{600'000};  // from the start to the status
  std::chrono::milliseconds stall_time_max{120'000};       // between two pieces of the answer
};

// Takes one answer: on_head once, pieces, on_end once; on_end alone when there is none. May be called
// from within libcurl: cancel(), pause() and resume() are allowed, but take effect afterwards.
class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual void on_head(int status, const Headers& headers) = 0;
  virtual void on_bytes(std::string_view bytes) = 0;
  // kTimeout, kUnavailable (no connection, or a cut), kRefused (certificate), kLimit (header), kCorrupt (not
  // HTTP).
  virtual void on_end(Status status) = 0;
  // May stand around what is told in one go; end_turn() is not called from within the client's own work, so
  // there everything is allowed, start() too. (libcurl's way has no turns.)
  virtual void begin_turn() {}
  virtual void end_turn() {}
};

class ClientCall {
 public:
  virtual ~ClientCall() = default;  // cancels: nothing is received any more
  virtual void cancel() = 0;
  virtual void pause() = 0;  // takes nothing from the socket; the other side feels it
  virtual void resume() = 0;
};

struct ClientOptions {
  size_t connections_max = 1024;  // at once, to all hosts, on each of the two ways; more wait
  size_t head_bytes_max = 64u << 10;
};

class Client {
 public:
  static std::unique_ptr<Client> open(Loop& loop, const ClientOptions& options = {});
  virtual ~Client() = default;

  // Errors of the request itself (not a URL, plain http) come at once.
  virtual Result<std::shared_ptr<ClientCall>> start(ClientRequest request,
                                                    std::shared_ptr<Receiver> receiver) = 0;
};

// May this place be asked at all: https, or http to this machine, or as said. kInvalid, kRefused.
Status check_client_url(const std::string& url, bool allow_plain);

}  // namespace cresset::net
