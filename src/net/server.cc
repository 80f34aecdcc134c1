#include "net/server.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/connection.h"
#include "net/loop_native.h"
#include "net/tls.h"
#include "sys/env.h"

namespace cresset::net {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Executor = asio::io_context::executor_type;  // the concrete type: no virtual call for each operation
using Tcp = asio::ip::tcp;
using Socket = asio::basic_stream_socket<Tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<Tcp, Executor>;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
using TlsStream = asio::ssl::stream<Socket>;
using Awaitable = asio::awaitable<void, Executor>;
using boost::system::error_code;

constexpr asio::as_tuple_t<asio::use_awaitable_t<Executor>> kAwait{};

// Beyond connections_max this many more are told "503" in HTTP; further ones are closed without a word.
constexpr size_t kRefusalsMax = 64;
constexpr int kSendBufferBytes = 256 << 10;             // the system doubles it
constexpr std::chrono::milliseconds kAcceptPause{100};  // when the process is out of descriptors

class Session;

// What a server and its connections share; it lives as long as any of them.
struct Core : std::enable_shared_from_this<Core> {
  Core(asio::io_context& the_io, ServerOptions the_options, Server::Handler the_handler)
      : io(the_io),
        options(std::move(the_options)),
        handler(std::move(the_handler)),
        acceptor(io.get_executor()),
        drain_timer(io.get_executor()) {}

  asio::io_context& io;
  const ServerOptions options;
  const Server::Handler handler;
  std::function<std::string_view()> date = [this] { return date_now(); };
  const std::shared_ptr<BodyBudget> bodies =
      std::make_shared<BodyBudget>(BodyBudget{options.limits.bodies_bytes_max});
  std::shared_ptr<asio::ssl::context> tls;
  Acceptor acceptor;
  Timer drain_timer;
  std::unordered_map<Session*, std::shared_ptr<Session>> sessions;
  std::function<void()> on_drained;

  void add(Socket socket);
  void remove(Session* session);
  void drain(std::chrono::milliseconds time_max, std::function<void()> done);
  void finish_drain();
  void close_all(bool tell);
  std::string_view date_now();

 private:
  int64_t date_unix_s_ = -1;
  std::string date_;
};

// A socket's side of a connection: the timer, and what does not depend on TLS.
class Session : public Transport, public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<Core> core, std::string peer)
      : core_(std::move(core)),
        connection_(*this, {.limits = core_->options.limits,
                            .handler = core_->handler,
                            .date = core_->date,
                            .bodies = core_->bodies,
                            .peer = std::move(peer),
                            .is_tls = core_->tls != nullptr}),
        timer_(core_->io.get_executor()) {}

  virtual void open() = 0;
  Connection& connection() { return connection_; }

  void set_deadline(std::optional<std::chrono::milliseconds> after) override;
  void flush_soon() override {
    asio::post(core_->io, [self = shared_from_this()] {
      if (!self->is_closed_) self->connection_.flush();
    });
  }
  void close() override {
    if (std::exchange(is_closed_, true)) return;
    // Calls of this object may still be on the stack below.
    asio::post(core_->io, [self = shared_from_this()] {});
    timer_.cancel();
    close_socket();
    core_->remove(this);
  }

 protected:
  virtual void close_socket() = 0;

  const std::shared_ptr<Core> core_;
  Connection connection_;
  bool is_closed_ = false;

 private:
  void arm();

  // The timer is moved only when a deadline comes nearer; one that has moved away is found out when it fires.
  Timer timer_;
  std::optional<Clock::time_point> deadline_;
  bool is_armed_ = false;
  uint64_t arming_ = 0;
};

void Session::set_deadline(std::optional<std::chrono::milliseconds> after) {
  if (is_closed_) return;
  if (!after) {
    deadline_.reset();
    return;
  }
  deadline_ = Clock::now() + *after;
  if (!is_armed_ || timer_.expiry() > *deadline_) arm();
}

void Session::arm() {
  is_armed_ = true;
  timer_.expires_at(*deadline_);
  timer_.async_wait([self = shared_from_this(), arming = ++arming_](const error_code&) {
    if (self->is_closed_ || arming != self->arming_) return;
    self->is_armed_ = false;
    if (!self->deadline_) return;
    if (Clock::now() < *self->deadline_) return self->arm();
    self->deadline_.reset();
    self->connection_.on_deadline();
  });
}

template <class Stream>
class StreamSession final : public Session {
 public:
  static constexpr bool kIsTls = std::is_same_v<Stream, TlsStream>;

  template <class... Arguments>
  StreamSession(std::shared_ptr<Core> core, std::string peer, Arguments&&... arguments)
      : Session(std::move(core), std::move(peer)), stream_(std::forward<Arguments>(arguments)...) {}

  void open() override {
    error_code ignored;
    if constexpr (!kIsTls) stream_.non_blocking(true, ignored);  // for write_at_once()
    spawn(handshake());
  }
  void resume_reading() override { spawn(read_all()); }

  size_t write_at_once() override {
    if constexpr (kIsTls) return 0;
    const auto pieces = connection_.output();
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(pieces[0].data(), pieces[0].size()),
                                                    asio::buffer(pieces[1].data(), pieces[1].size())};
    error_code ec;  // what is wrong, write_output() will find
    return stream_.write_some(buffers, ec);
  }

  void write_output() override {
    const auto pieces = connection_.output();
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(pieces[0].data(), pieces[0].size()),
                                                    asio::buffer(pieces[1].data(), pieces[1].size())};
    stream_.async_write_some(buffers, [this, self = shared_from_this()](const error_code& ec, size_t bytes) {
      if (is_closed_) return;
      ec ? connection_.on_broken() : connection_.on_written(bytes);
    });
  }

  void finish() override {
    if constexpr (kIsTls) {
      stream_.async_shutdown([this, self = shared_from_this()](const error_code&) {
        error_code ignored;
        if (!is_closed_) stream_.next_layer().shutdown(Tcp::socket::shutdown_send, ignored);
      });
    } else {
      error_code ignored;
      stream_.shutdown(Tcp::socket::shutdown_send, ignored);
    }
  }

 private:
  void close_socket() override {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

  void spawn(Awaitable task) {
    asio::co_spawn(core_->io, std::move(task),
                   [this, self = shared_from_this()](const std::exception_ptr& thrown) {
                     if (thrown && !is_closed_) connection_.on_broken();
                   });
  }

  Awaitable handshake() {
    if constexpr (kIsTls) {
      set_deadline(core_->options.limits.header_time_max);
      const auto [ec] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
      if (is_closed_) co_return;
      if (ec) {
        connection_.on_broken();
        co_return;
      }
    }
    if (core_->sessions.size() > core_->options.limits.connections_max) {
      connection_.refuse(503, "the server has as many connections as it takes; try again later");
    } else {
      connection_.start();
    }
    co_await read_all();
  }

  Awaitable read_all() {
    while (!is_closed_) {
      const std::span<char> space = connection_.read_space();
      if (space.empty()) co_return;
      const auto [ec, bytes] =
          co_await stream_.async_read_some(asio::buffer(space.data(), space.size()), kAwait);
      if (is_closed_) co_return;
      if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated) {
        connection_.on_end_of_stream();
        co_return;
      }
      if (ec) {
        connection_.on_broken();
        co_return;
      }
      connection_.on_read(bytes);
    }
  }

  Stream stream_;
};

std::string to_text(const Tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(endpoint.port());
}

void Core::add(Socket socket) {
  if (sessions.size() >= options.limits.connections_max + kRefusalsMax) return;  // closes it
  error_code ec;
  socket.set_option(Tcp::no_delay(true), ec);
  const auto peer = socket.remote_endpoint(ec);
  if (ec) return;  // gone already
  std::shared_ptr<Session> session;
  if (tls) {
    session = std::make_shared<StreamSession<TlsStream>>(shared_from_this(), to_text(peer), std::move(socket),
                                                         *tls);
  } else {
    session = std::make_shared<StreamSession<Socket>>(shared_from_this(), to_text(peer), std::move(socket));
  }
  sessions.emplace(session.get(), session);
  session->open();
}

void Core::remove(Session* session) {
  sessions.erase(session);
  if (sessions.empty() && on_drained) finish_drain();
}

void Core::drain(std::chrono::milliseconds time_max, std::function<void()> done) {
  error_code ignored;
  acceptor.close(ignored);
  on_drained = std::move(done);
  drain_timer.expires_after(time_max);
  drain_timer.async_wait([self = shared_from_this()](const error_code& ec) {
    if (ec || !self->on_drained) return;
    self->close_all(true);
  });
  std::vector<std::shared_ptr<Session>> open;
  for (const auto& [key, session] : sessions) open.push_back(session);
  for (const auto& session : open) session->connection().drain();
  if (sessions.empty() && on_drained) finish_drain();
}

void Core::finish_drain() {
  drain_timer.cancel();
  asio::post(io, std::exchange(on_drained, nullptr));
}

void Core::close_all(bool tell) {
  std::vector<std::shared_ptr<Session>> open;
  for (const auto& [key, session] : sessions) open.push_back(session);
  for (const auto& session : open) tell ? session->connection().on_broken() : session->connection().shut();
}

// IMF-fixdate (RFC 9110, 5.6.7), made once a second.
std::string_view Core::date_now() {
  if (options.env == nullptr) return {};
  const int64_t unix_s = options.env->unix_time_ms() / 1000;
  if (unix_s != date_unix_s_) {
    date_unix_s_ = unix_s;
    const std::time_t time = unix_s;
    std::tm utc{};
    ::gmtime_r(&time, &utc);
    char text[64];
    date_.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc));
  }
  return date_;
}

Awaitable accept_all(std::shared_ptr<Core> core) {
  Timer pause(core->io.get_executor());
  while (core->acceptor.is_open()) {
    auto [ec, socket] = co_await core->acceptor.async_accept(kAwait);
    if (!core->acceptor.is_open()) co_return;
    if (!ec) {
      core->add(std::move(socket));
    } else if (ec != asio::error::connection_aborted) {
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kAwait);
    }
  }
}

class BeastServer final : public Server {
 public:
  explicit BeastServer(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~BeastServer() override {
    error_code ignored;
    core_->acceptor.close(ignored);
    core_->drain_timer.cancel();
    core_->on_drained = nullptr;
    core_->close_all(false);
  }
  uint16_t port() const override { return port_; }
  size_t connections() const override { return core_->sessions.size(); }
  void drain(std::chrono::milliseconds time_max, std::function<void()> done) override {
    core_->drain(time_max, std::move(done));
  }

  Status listen();

 private:
  const std::shared_ptr<Core> core_;
  uint16_t port_ = 0;
};

Status BeastServer::listen() {
  std::string host = core_->options.host == "localhost" ? "127.0.0.1" : core_->options.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code ec;
  const auto address = asio::ip::make_address(host, ec);
  if (ec)
    return fail(Code::kInvalid, "not an IP address to listen on (like 127.0.0.1 or ::1)",
                core_->options.host);
  const Tcp::endpoint endpoint(address, core_->options.port);
  auto& acceptor = core_->acceptor;
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) acceptor.set_option(Tcp::acceptor::reuse_address(true), ec);
  // Accepted sockets take it over: else the system lets 4 MiB wait for a slow reader, out of our sight.
  if (!ec) acceptor.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec == asio::error::address_in_use) return fail(Code::kUnavailable, "address in use", to_text(endpoint));
  if (ec) return fail(Code::kIo, "cannot listen: " + ec.message(), to_text(endpoint));
  port_ = acceptor.local_endpoint(ec).port();
  if (ec) return fail(Code::kIo, "cannot listen: " + ec.message(), to_text(endpoint));
  asio::co_spawn(core_->io, accept_all(core_), asio::detached);
  return {};
}

}  // namespace

Result<std::unique_ptr<Server>> Server::open(Loop& loop, const ServerOptions& options, Handler handler) {
  const auto core = std::make_shared<Core>(loop.native().io, options, std::move(handler));
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return tl::unexpected(Error{Code::kInvalid, "TLS needs both a certificate file and a key file", "tls"});
  }
  if (!options.tls_certificate_file.empty()) {
    CRESSET_TRY(tls, open_tls(options.tls_certificate_file, options.tls_key_file));
    core->tls = std::move(tls);
  }
  auto server = std::make_unique<BeastServer>(core);
  CRESSET_TRY_STATUS(server->listen());
  return server;
}

}  // namespace cresset::net
