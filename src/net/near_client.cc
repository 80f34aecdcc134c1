#include "net/near_client.h"

#include <algorithm>
#include <array>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <deque>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "net/loop_native.h"
#include "net/near_call.h"
#include "net/response_parser.h"

namespace cresset::net {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Executor = asio::io_context::executor_type;
using Tcp = asio::ip::tcp;
using Socket = asio::basic_stream_socket<Tcp, Executor>;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
using boost::system::error_code;

constexpr std::chrono::milliseconds kSweep{100};  // how exactly time limits are kept
constexpr std::chrono::seconds kIdleTimeMax{60};  // of a kept connection
constexpr size_t kBufferBytesMin = 4u << 10;      // what a connection reads into; doubled when it was filled
constexpr size_t kBufferBytesMax = 64u << 10;

class Near;

}  // namespace

// One connection. Its handlers hold it; `owner` is null once it is closed.
struct NearLink {
  NearLink(asio::io_context& io, Near& the_owner, std::string the_key, size_t head_bytes_max)
      : owner(&the_owner), socket(io.get_executor()), key(std::move(the_key)), parser(head_bytes_max) {}
  ~NearLink() { wipe(); }

  // The head holds a secret.
  void wipe() {
    volatile char* p = head.data();
    for (size_t i = 0; i < head.size(); ++i) p[i] = '\0';
    head.clear();
  }

  Near* owner;
  Socket socket;
  const std::string key;  // the authority it leads to
  ResponseParser parser;
  NearCall* call = nullptr;  // whose answer comes; null: idle
  std::string head;          // of the request being sent
  std::string in;
  bool is_reading = false, is_sending = false;
  bool is_reusable = false;  // the last answer on it left it ready for another
  Clock::time_point idle_since{};
};

namespace {

using LinkPtr = std::shared_ptr<NearLink>;

class Near final : public NearClient, public NearHost {
 public:
  Near(Loop& loop, const ClientOptions& options)
      : io_(loop.native().io), options_(options), sweep_(io_.get_executor()) {}
  ~Near() override {
    for (NearCall* call : std::unordered_set<NearCall*>(calls_)) call->cancel();
    for (const LinkPtr& link : std::unordered_set<LinkPtr>(links_)) close(link);
    *alive_ = false;
  }

  Result<std::shared_ptr<ClientCall>> start(std::shared_ptr<const Place> place, ClientRequest request,
                                            std::shared_ptr<Receiver> receiver) override;
  void drop(NearCall& call) override;
  void read(const LinkPtr& link) override;

 private:
  void assign(NearCall& call);
  void connect(NearCall& call);
  void try_next(const LinkPtr& link, std::vector<Tcp::endpoint> left);
  void send(const LinkPtr& link, NearCall& call);
  void on_read(const LinkPtr& link, const error_code& ec, size_t bytes);
  void hear(const LinkPtr& link, const error_code& ec, size_t bytes);
  void take(const LinkPtr& link, std::string_view bytes);
  void on_closed(const LinkPtr& link, const std::string& why);
  void finish(const LinkPtr& link);
  void end(NearCall& call, Status status);
  void close(const LinkPtr& link);
  bool has_idle() const {
    return std::any_of(idle_.begin(), idle_.end(), [](const auto& kept) { return !kept.second.empty(); });
  }
  void serve_waiting();
  void watch_time();
  void sweep();

  asio::io_context& io_;
  const ClientOptions options_;
  Timer sweep_;
  std::unordered_set<NearCall*> calls_;
  std::unordered_set<LinkPtr> links_;
  std::unordered_map<std::string, std::vector<LinkPtr>> idle_;  // the last used is used first
  std::deque<std::weak_ptr<NearCall>> waiting_;                 // for a connection to become free
  bool is_watching_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Result<std::shared_ptr<ClientCall>> Near::start(std::shared_ptr<const Place> place, ClientRequest request,
                                                std::shared_ptr<Receiver> receiver) {
  auto call = std::make_shared<NearCall>(*this, std::move(place), std::move(request), std::move(receiver));
  CRESSET_TRY_STATUS(call->check());
  calls_.insert(call.get());
  assign(*call);
  watch_time();
  return std::shared_ptr<ClientCall>(std::move(call));
}

// --- connections

// Gives the call a kept connection, a new one, or a place in the queue.
void Near::assign(NearCall& call) {
  if (const auto found = idle_.find(call.place->authority); found != idle_.end() && !found->second.empty()) {
    const LinkPtr link = std::move(found->second.back());
    found->second.pop_back();
    return send(link, call);
  }
  if (links_.size() >= options_.connections_max) {
    // An idle connection to elsewhere makes room.
    for (auto& [key, links] : idle_) {
      if (links.empty()) continue;
      const LinkPtr link = links.front();
      close(link);
      return connect(call);
    }
    waiting_.push_back(call.weak_from_this());
    return;
  }
  connect(call);
}

void Near::connect(NearCall& call) {
  const Place& place = *call.place;
  uint16_t port = 80;
  if (!place.port.empty()) {
    const std::string& text = place.port;
    std::from_chars(text.data(), text.data() + text.size(), port);
  }
  std::vector<Tcp::endpoint> to;
  error_code ec;
  if (place.host == "localhost") {
    to = {{asio::ip::address_v6::loopback(), port}, {asio::ip::address_v4::loopback(), port}};
  } else if (place.host == "[::1]") {
    to = {{asio::ip::address_v6::loopback(), port}};
  } else if (const auto address = asio::ip::make_address_v4(place.host, ec); !ec) {
    to = {{address, port}};
  }
  const auto link = std::make_shared<NearLink>(io_, *this, call.place->authority, options_.head_bytes_max);
  links_.insert(link);
  link->call = &call;
  call.link = link;
  try_next(link, std::move(to));
}

// Tries the addresses of a name, the first one last.
void Near::try_next(const LinkPtr& link, std::vector<Tcp::endpoint> left) {
  if (left.empty()) {
    asio::post(io_, [link] {
      if (link->owner != nullptr) link->owner->on_closed(link, "nobody listens there");
    });
    return;
  }
  const Tcp::endpoint to = left.back();
  left.pop_back();
  error_code ignored;
  link->socket.close(ignored);
  link->socket.async_connect(to, [link, left = std::move(left)](const error_code& ec) mutable {
    if (link->owner == nullptr) return;
    if (ec) {
      if (!left.empty()) return link->owner->try_next(link, std::move(left));
      return link->owner->on_closed(link, ec.message());
    }
    error_code failed;
    link->socket.set_option(Tcp::no_delay(true), failed);
    link->socket.non_blocking(true, failed);
    if (link->call != nullptr) link->owner->send(link, *link->call);
  });
}

void Near::close(const LinkPtr& link) {
  if (link->owner == nullptr) return;
  link->owner = nullptr;
  link->wipe();
  error_code ignored;
  link->socket.close(ignored);
  if (const auto found = idle_.find(link->key); found != idle_.end()) {
    std::erase(found->second, link);
    if (found->second.empty()) idle_.erase(found);
  }
  links_.erase(link);
  if (!waiting_.empty()) serve_waiting();
}

// In the loop's next turn: whoever closed may be in the middle of something.
void Near::serve_waiting() {
  asio::post(io_, [this, alive = alive_] {
    while (*alive && !waiting_.empty()) {
      const auto next = waiting_.front().lock();
      if (next && next->is_live()) {
        if (links_.size() >= options_.connections_max && !has_idle()) return;
        waiting_.pop_front();
        assign(*next);
      } else {
        waiting_.pop_front();
      }
    }
  });
}

// --- one request and its answer

void Near::send(const LinkPtr& link, NearCall& call) {
  link->call = &call;
  call.link = link;
  call.is_connected = true;
  call.write_head(link->head);
  link->parser.begin(call.request.method == "HEAD");
  const std::string& body = call.request.body;
  const std::array<asio::const_buffer, 2> all{asio::buffer(link->head), asio::buffer(body)};
  error_code ec;
  const size_t total = link->head.size() + body.size();
  const size_t sent = link->socket.write_some(all, ec);
  if (sent == total) {
    link->wipe();
  } else {
    // The rest, or what was wrong, in the loop's own time. The request lives as long as it is being sent.
    link->is_sending = true;
    const size_t of_head = std::min(sent, link->head.size());
    const std::array<asio::const_buffer, 2> rest{all[0] + of_head, all[1] + (sent - of_head)};
    asio::async_write(link->socket, rest,
                      [link, held = call.shared_from_this()](const error_code& failed, size_t) {
                        link->is_sending = false;
                        link->wipe();
                        // An answer may be there already ("too large"): reading tells.
                        if (failed && link->owner != nullptr && !link->is_reading)
                          link->owner->on_closed(link, failed.message());
                      });
  }
  read(link);
}

void Near::read(const LinkPtr& link) {
  if (link->owner == nullptr || std::exchange(link->is_reading, true)) return;
  if (link->in.empty()) link->in.resize(kBufferBytesMin);
  link->socket.async_read_some(asio::buffer(link->in), [link](const error_code& ec, size_t bytes) {
    link->is_reading = false;
    if (link->owner != nullptr) link->owner->on_read(link, ec, bytes);
  });
}

void Near::on_read(const LinkPtr& link, const error_code& ec, size_t bytes) {
  if (link->call == nullptr) return close(link);  // an idle one was closed, or speaks unasked
  const std::shared_ptr<Receiver> receiver = link->call->receiver;
  receiver->begin_turn();
  hear(link, ec, bytes);
  receiver->end_turn();
}

void Near::hear(const LinkPtr& link, const error_code& ec, size_t bytes) {
  if (ec) {
    if (ec == asio::error::eof && link->parser.end()) {
      link->is_reusable = false;
      return finish(link);
    }
    return on_closed(link, ec == asio::error::eof ? "it closed the connection" : ec.message());
  }
  const bool was_filled = bytes == link->in.size();
  take(link, std::string_view(link->in).substr(0, bytes));
  if (link->owner == nullptr) return;
  if (was_filled && !link->is_reading && link->in.size() < kBufferBytesMax)
    link->in.resize(link->in.size() * 2);
  if (link->call == nullptr || !link->call->is_paused) read(link);
}

// The receiver may let go of the call, and so of the link, whenever it is told something.
void Near::take(const LinkPtr& link, std::string_view bytes) {
  const auto call = link->call->shared_from_this();
  call->has_heard = true;
  while (!bytes.empty()) {
    auto piece = link->parser.take(bytes);
    if (!piece) {
      close(link);
      return end(*call, tl::unexpected(std::move(piece.error())));
    }
    bytes.remove_prefix(piece->used);
    const std::shared_ptr<Receiver> receiver = call->receiver;
    if (!call->has_head && link->parser.state() != ResponseParser::State::kHead) {
      call->has_head = true;
      receiver->on_head(link->parser.status(), link->parser.headers());
      if (link->call != call.get()) return;
    }
    if (!piece->body.empty()) {
      receiver->on_bytes(piece->body);
      if (link->call != call.get()) return;
    }
    if (link->parser.state() == ResponseParser::State::kDone) {
      link->is_reusable = bytes.empty() && !link->is_sending && link->parser.keeps_alive();
      return finish(link);
    }
  }
}

// The answer is whole.
void Near::finish(const LinkPtr& link) {
  const auto call = link->call->shared_from_this();
  link->call = nullptr;
  call->link = nullptr;
  if (link->is_reusable) {
    if (link->in.size() > kBufferBytesMin) std::string(kBufferBytesMin, '\0').swap(link->in);
    link->idle_since = Clock::now();
    idle_[link->key].push_back(link);
    if (!waiting_.empty()) serve_waiting();
  } else {
    close(link);
  }
  end(*call, {});
}

// The connection is gone before the answer was whole. A kept one that says nothing had been closed before we
// asked: then a new one is tried.
void Near::on_closed(const LinkPtr& link, const std::string& why) {
  const bool was_kept = link->is_reusable && !link->parser.has_begun();
  NearCall* const call = link->call;
  close(link);
  if (call == nullptr) return;
  call->link = nullptr;
  if (was_kept) {
    call->is_connected = false;
    return assign(*call);
  }
  end(*call, fail(Code::kUnavailable, (call->has_head ? "the connection to the provider was cut: "
                                                      : "the provider cannot be reached: ") +
                                          why));
}

void Near::end(NearCall& call, Status status) {
  const auto self = call.shared_from_this();
  const std::shared_ptr<Receiver> receiver = std::exchange(call.receiver, nullptr);
  drop(call);
  if (receiver) receiver->on_end(std::move(status));
}

void Near::drop(NearCall& call) {
  calls_.erase(&call);
  call.let_go();
  if (const LinkPtr link = std::exchange(call.link, nullptr)) {
    link->call = nullptr;
    close(link);
  }
}

// --- time

// One clock for all time limits: a timer for each call would cost more than the call.
void Near::watch_time() {
  if (is_watching_) return;
  is_watching_ = true;
  sweep_.expires_after(kSweep);
  sweep_.async_wait([this, alive = alive_](const error_code& ec) {
    if (ec || !*alive) return;
    is_watching_ = false;
    sweep();
    if (*alive && !links_.empty()) watch_time();
  });
}

void Near::sweep() {
  const auto now = Clock::now();
  std::vector<std::pair<std::shared_ptr<NearCall>, Status>> over;
  for (NearCall* call : calls_) {
    Status why;
    if (call->is_over(now, why)) over.emplace_back(call->shared_from_this(), std::move(why));
  }
  std::vector<LinkPtr> old;
  for (const auto& [key, links] : idle_) {
    for (const LinkPtr& link : links) {
      if (now - link->idle_since > kIdleTimeMax) old.push_back(link);
    }
  }
  for (const LinkPtr& link : old) close(link);
  const std::shared_ptr<bool> alive = alive_;
  for (auto& [call, why] : over) {
    if (*alive && call->is_live()) end(*call, std::move(why));
  }
}

}  // namespace

std::unique_ptr<NearClient> NearClient::open(Loop& loop, const ClientOptions& options) {
  return std::make_unique<Near>(loop, options);
}

}  // namespace cresset::net
