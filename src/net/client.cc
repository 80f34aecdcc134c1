#include "net/client.h"

#include <curl/curl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <unistd.h>

#include "base/check.h"
#include "net/curl_call.h"
#include "net/loop_native.h"
#include "net/near_client.h"

namespace cresset::net {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr std::chrono::milliseconds kSweep{100};  // how exactly time limits are kept
constexpr size_t kSpareHandlesMax = 64;
constexpr size_t kPlacesMax = 256;

// One of libcurl's sockets on the loop. It stays registered while libcurl keeps the connection, so that a
// request on a kept connection costs no registration.
struct Watch {
  Watch(asio::io_context& io, int fd) : descriptor(io, fd) {}
  asio::posix::stream_descriptor descriptor;
  int action = 0;
  bool waits_to_read = false, waits_to_write = false;
};

class CurlClient final : public Client, public CallHost {
 public:
  CurlClient(Loop& loop, const ClientOptions& options)
      : io_(loop.native().io),
        options_(options),
        near_(NearClient::open(loop, options)),
        timer_(io_),
        sweep_(io_),
        multi_(curl_multi_init()) {
    CHECK(multi_ != nullptr);
    const auto set = [this](CURLMoption option, auto value) {
      CHECK(curl_multi_setopt(multi_, option, value) == CURLM_OK);
    };
    set(CURLMOPT_SOCKETFUNCTION, &CurlClient::socket_thunk);
    set(CURLMOPT_SOCKETDATA, static_cast<void*>(this));
    set(CURLMOPT_TIMERFUNCTION, &CurlClient::timer_thunk);
    set(CURLMOPT_TIMERDATA, static_cast<void*>(this));
    set(CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(options.connections_max));
    set(CURLMOPT_MAXCONNECTS, static_cast<long>(options.connections_max));
  }

  ~CurlClient() override {
    for (CurlCall* call : std::unordered_set<CurlCall*>(calls_)) call->cancel();
    bury();
    curl_multi_cleanup(multi_);
    for (CURL* easy : spare_) curl_easy_cleanup(easy);
    for (auto& [fd, watch] : watches_) watch->descriptor.release();
    *alive_ = nullptr;
  }

  Result<std::shared_ptr<ClientCall>> start(ClientRequest request,
                                            std::shared_ptr<Receiver> receiver) override {
    CRESSET_TRY(place, place_of(request.url));
    CRESSET_TRY_STATUS(check_place(*place, request.allow_plain));
    if (place->is_near()) return near_->start(place, std::move(request), std::move(receiver));
    auto call =
        std::make_shared<CurlCall>(*this, std::move(request), std::move(receiver), options_.head_bytes_max);
    CURL* easy = nullptr;
    if (spare_.empty()) {
      easy = curl_easy_init();
      if (easy == nullptr) return fail(Code::kInternal, "libcurl does not start");
      prepare(easy);
    } else {
      easy = spare_.back();
      spare_.pop_back();
    }
    call->set_up(easy, *place);
    calls_.insert(call.get());
    CHECK(curl_multi_add_handle(multi_, easy) == CURLM_OK);
    watch_time();
    return std::shared_ptr<ClientCall>(std::move(call));
  }

  // The call is over, or nobody wants it any more.
  void drop(CurlCall& call) override {
    calls_.erase(&call);
    CURL* easy = call.take_easy();
    if (easy == nullptr) return;
    if (depth_ > 0) {  // within libcurl: it must not lose the handle under its feet
      doomed_.push_back({easy, call.is_plain()});
      curl_easy_setopt(easy, CURLOPT_PRIVATE, nullptr);
      asio::post(io_, [this, alive = alive_] {
        if (*alive != nullptr) bury();
      });
      return;
    }
    release(easy, call.is_plain());
  }

  void pause(void* easy, bool is_paused) override {
    ++depth_;
    curl_easy_pause(easy, is_paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    --depth_;
    read_messages();
  }
  bool is_inside() const override { return depth_ > 0; }
  void post(std::function<void()> work) override {
    asio::post(io_, [alive = alive_, work = std::move(work)] {
      if (*alive != nullptr) work();
    });
  }

 private:
  // Reading a URL costs as much as the rest of a start, and there are few of them.
  Result<std::shared_ptr<const Place>> place_of(const std::string& url) {
    const auto known = places_.find(url);
    if (known != places_.end()) return known->second;
    CRESSET_TRY(read, read_place(url));
    if (places_.size() >= kPlacesMax) places_.clear();
    return places_.emplace(url, std::make_shared<const Place>(std::move(read))).first->second;
  }

  void prepare(CURL* easy) {
    CurlCall::prepare(easy);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &CurlClient::close_thunk);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, static_cast<void*>(this));
  }

  void release(CURL* easy, bool is_plain) {
    curl_multi_remove_handle(multi_, easy);
    if (spare_.size() >= kSpareHandlesMax) return curl_easy_cleanup(easy);
    if (!is_plain) {
      curl_easy_reset(easy);
      prepare(easy);
    }
    spare_.push_back(easy);
  }
  void bury() {
    for (const auto& [easy, is_plain] : std::exchange(doomed_, {})) release(easy, is_plain);
  }

  static int socket_thunk(CURL*, curl_socket_t fd, int action, void* self, void*) {
    static_cast<CurlClient*>(self)->on_socket(fd, action);
    return 0;
  }
  static int timer_thunk(CURLM*, long timeout_ms, void* self) {
    static_cast<CurlClient*>(self)->on_timer(timeout_ms);
    return 0;
  }
  static int close_thunk(void* self, curl_socket_t fd) {
    static_cast<CurlClient*>(self)->on_close(fd);
    return 0;
  }

  void on_socket(int fd, int action) {
    auto found = watches_.find(fd);
    if (action == CURL_POLL_REMOVE) {
      if (found != watches_.end()) found->second->action = 0;
      return;
    }
    if (found == watches_.end()) found = watches_.emplace(fd, std::make_shared<Watch>(io_, fd)).first;
    found->second->action = action;
    arm(found->second);
  }

  void on_close(int fd) {
    if (const auto found = watches_.find(fd); found != watches_.end()) {
      found->second->descriptor.release();
      watches_.erase(found);
    }
    ::close(fd);
  }

  void arm(const std::shared_ptr<Watch>& watch) {
    if ((watch->action & CURL_POLL_IN) != 0 && !watch->waits_to_read) {
      watch->waits_to_read = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                   [alive = alive_, weak = std::weak_ptr(watch)](const error_code& ec) {
                                     on_ready(*alive, weak.lock(), CURL_CSELECT_IN, ec);
                                   });
    }
    if ((watch->action & CURL_POLL_OUT) != 0 && !watch->waits_to_write) {
      watch->waits_to_write = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                   [alive = alive_, weak = std::weak_ptr(watch)](const error_code& ec) {
                                     on_ready(*alive, weak.lock(), CURL_CSELECT_OUT, ec);
                                   });
    }
  }

  static void on_ready(CurlClient* client, const std::shared_ptr<Watch>& watch, int what,
                       const error_code& ec) {
    if (client == nullptr || watch == nullptr) return;
    (what == CURL_CSELECT_IN ? watch->waits_to_read : watch->waits_to_write) = false;
    const int wanted = what == CURL_CSELECT_IN ? CURL_POLL_IN : CURL_POLL_OUT;
    if (ec == asio::error::operation_aborted || (watch->action & wanted) == 0 || !watch->descriptor.is_open())
      return;
    client->act(watch->descriptor.native_handle(), ec ? CURL_CSELECT_ERR : what);
    // The socket may have been closed; then nothing is armed.
    if (watch->descriptor.is_open()) client->arm(watch);
  }

  void act(int fd, int what) {
    int running = 0;
    ++depth_;
    curl_multi_socket_action(multi_, fd, what, &running);
    --depth_;
    read_messages();
  }

  void on_timer(long timeout_ms) {
    ++timer_round_;
    if (timeout_ms < 0) {
      timer_.cancel();
      return;
    }
    const auto fire = [this, alive = alive_, round = timer_round_] {
      if (*alive != nullptr && round == timer_round_) act(CURL_SOCKET_TIMEOUT, 0);
    };
    if (timeout_ms == 0) return asio::post(io_, fire);
    timer_.expires_after(std::chrono::milliseconds(timeout_ms));
    timer_.async_wait([fire](const error_code& ec) {
      if (!ec) fire();
    });
  }

  void read_messages() {
    if (depth_ > 0) return;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      char* owner = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
      if (owner == nullptr) continue;
      reinterpret_cast<CurlCall*>(owner)->on_done(code);
    }
  }

  // One clock for all time limits: setting a timer for each piece of each answer would cost more than reading
  // it.
  void watch_time() {
    if (is_watching_) return;
    is_watching_ = true;
    sweep_.expires_after(kSweep);
    sweep_.async_wait([this, alive = alive_](const error_code& ec) {
      if (ec || *alive == nullptr) return;
      is_watching_ = false;
      const auto now = Clock::now();
      std::vector<std::shared_ptr<CurlCall>> over;
      std::vector<Status> why;
      for (CurlCall* call : calls_) {
        Status status;
        if (!call->is_over(now, status)) continue;
        over.push_back(call->shared_from_this());
        why.push_back(std::move(status));
      }
      for (size_t i = 0; i < over.size(); ++i) over[i]->end(std::move(why[i]));
      if (!calls_.empty()) watch_time();
    });
  }

  asio::io_context& io_;
  const ClientOptions options_;
  const std::unique_ptr<NearClient> near_;
  asio::steady_timer timer_, sweep_;
  CURLM* multi_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::unordered_set<CurlCall*> calls_;
  std::vector<CURL*> spare_;
  std::vector<std::pair<CURL*, bool>> doomed_;
  std::unordered_map<std::string, std::shared_ptr<const Place>> places_;
  int depth_ = 0;
  uint64_t timer_round_ = 0;
  bool is_watching_ = false;
  // Handlers that the loop still holds see that this is gone.
  std::shared_ptr<CurlClient*> alive_ = std::make_shared<CurlClient*>(this);
};

}  // namespace

std::unique_ptr<Client> Client::open(Loop& loop, const ClientOptions& options) {
  return std::make_unique<CurlClient>(loop, options);
}

}  // namespace cresset::net
