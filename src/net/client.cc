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
#include "net/loop_native.h"

namespace cresset::net {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr std::chrono::milliseconds kSweep{100};  // how exactly time limits are kept
constexpr size_t kSpareHandlesMax = 64;
constexpr long kReadBytes = 64 << 10;

struct Place {
  std::string scheme, host;
  bool is_loopback = false;
};

Result<Place> read_place(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle(curl_url(), curl_url_cleanup);
  const auto part = [&handle](CURLUPart what) {
    char* text = nullptr;
    if (curl_url_get(handle.get(), what, &text, 0) != CURLUE_OK) return std::string();
    std::string out(text);
    curl_free(text);
    return out;
  };
  if (handle == nullptr || curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    return fail(Code::kInvalid, "not a URL that begins with https:// or http://");
  if (!part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty())
    return fail(Code::kRefused, "the URL holds credentials: give a key with key_env or key_file");
  Place place{part(CURLUPART_SCHEME), part(CURLUPART_HOST)};
  if (place.scheme != "https" && place.scheme != "http")
    return fail(Code::kInvalid, "not a URL that begins with https:// or http://");
  const bool is_127 =
      place.host.starts_with("127.") && place.host.find_first_not_of("0123456789.") == std::string::npos;
  place.is_loopback = is_127 || place.host == "localhost" || place.host == "[::1]";
  return place;
}

Status check_place(const Place& place, bool allow_plain) {
  if (place.scheme == "http" && !place.is_loopback && !allow_plain) {
    return fail(
        Code::kRefused,
        "plain http lets anyone on the way read prompts and keys: use https, or state allow_plain = true");
  }
  return {};
}

// A list of header lines; lines that hold a secret are wiped when it dies.
class HeaderList {
 public:
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() {
    for (curl_slist* item = list_; item != nullptr; item = item->next) {
      volatile char* data = item->data;
      while (*data != '\0') *data++ = '\0';
    }
    curl_slist_free_all(list_);
  }
  void add(const std::string& line) { list_ = curl_slist_append(list_, line.c_str()); }
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

class CurlClient;

class Call final : public ClientCall, public std::enable_shared_from_this<Call> {
 public:
  Call(CurlClient& client, ClientRequest request, std::shared_ptr<Receiver> receiver, size_t head_bytes_max);
  ~Call() override;

  void cancel() override;
  void pause() override;
  void resume() override;

  void set_up(CURL* easy, const Place& place);
  void on_done(CURLcode code);
  void end(Status status);
  bool is_over(Clock::time_point now, Status& why) const;
  CURL* easy() const { return easy_; }
  bool is_live() const { return easy_ != nullptr; }
  CURL* take_easy() { return std::exchange(easy_, nullptr); }

 private:
  static size_t header_thunk(char* data, size_t size, size_t count, void* self);
  static size_t body_thunk(char* data, size_t size, size_t count, void* self);
  bool take_header(std::string_view line);

  CurlClient* client_;
  const ClientRequest request_;
  std::shared_ptr<Receiver> receiver_;
  const size_t head_bytes_max_;
  HeaderList headers_;
  CURL* easy_ = nullptr;
  int status_ = 0;
  Headers answer_headers_;
  size_t head_bytes_ = 0;
  bool has_head_ = false, is_head_too_long_ = false, is_paused_ = false;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point heard_ = begun_;
  char reason_[CURL_ERROR_SIZE] = {};
};

// One of libcurl's sockets on the loop. It stays registered while libcurl keeps the connection, so that a
// request on a kept connection costs no registration.
struct Watch {
  Watch(asio::io_context& io, int fd) : descriptor(io, fd) {}
  asio::posix::stream_descriptor descriptor;
  int action = 0;
  bool waits_to_read = false, waits_to_write = false;
};

class CurlClient final : public Client {
 public:
  CurlClient(Loop& loop, const ClientOptions& options)
      : io_(loop.native().io), options_(options), timer_(io_), sweep_(io_), multi_(curl_multi_init()) {
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
    for (Call* call : std::unordered_set<Call*>(calls_)) call->cancel();
    is_ending_ = true;
    curl_multi_cleanup(multi_);
    for (CURL* easy : spare_) curl_easy_cleanup(easy);
    for (auto& [fd, watch] : watches_) watch->descriptor.release();
    *alive_ = nullptr;
  }

  Result<std::shared_ptr<ClientCall>> start(ClientRequest request,
                                            std::shared_ptr<Receiver> receiver) override {
    CRESSET_TRY(place, read_place(request.url));
    CRESSET_TRY_STATUS(check_place(place, request.allow_plain));
    auto call =
        std::make_shared<Call>(*this, std::move(request), std::move(receiver), options_.head_bytes_max);
    CURL* easy = nullptr;
    if (spare_.empty()) {
      easy = curl_easy_init();
      if (easy == nullptr) return fail(Code::kInternal, "libcurl does not start");
    } else {
      easy = spare_.back();
      spare_.pop_back();
    }
    call->set_up(easy, place);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &CurlClient::close_thunk);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, static_cast<void*>(this));
    calls_.insert(call.get());
    CHECK(curl_multi_add_handle(multi_, easy) == CURLM_OK);
    watch_time();
    return std::shared_ptr<ClientCall>(std::move(call));
  }

  // The call is over, or nobody wants it any more.
  void drop(Call& call) {
    calls_.erase(&call);
    CURL* easy = call.take_easy();
    if (easy == nullptr) return;
    if (depth_ > 0) {  // within libcurl: it must not lose the handle under its feet
      doomed_.push_back(easy);
      curl_easy_setopt(easy, CURLOPT_PRIVATE, nullptr);
      asio::post(io_, [this, alive = alive_] {
        if (*alive != nullptr) bury();
      });
      return;
    }
    release(easy);
  }

  void pause(CURL* easy, bool is_paused) {
    ++depth_;
    curl_easy_pause(easy, is_paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    --depth_;
    read_messages();
  }
  bool is_inside() const { return depth_ > 0; }
  void post(std::function<void()> work) {
    asio::post(io_, [alive = alive_, work = std::move(work)] {
      if (*alive != nullptr) work();
    });
  }

 private:
  void release(CURL* easy) {
    curl_multi_remove_handle(multi_, easy);
    if (spare_.size() < kSpareHandlesMax) {
      curl_easy_reset(easy);
      spare_.push_back(easy);
    } else {
      curl_easy_cleanup(easy);
    }
  }
  void bury() {
    for (CURL* easy : std::exchange(doomed_, {})) release(easy);
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
      if (!is_ending_) found->second->descriptor.release();
      if (is_ending_) found->second->descriptor.release();
      watches_.erase(found);
    }
    ::close(fd);
  }

  void arm(const std::shared_ptr<Watch>& watch) {
    if ((watch->action & CURL_POLL_IN) != 0 && !watch->waits_to_read) {
      watch->waits_to_read = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                   [this, alive = alive_, weak = std::weak_ptr(watch)](const error_code& ec) {
                                     on_ready(*alive, weak.lock(), CURL_CSELECT_IN, ec);
                                   });
    }
    if ((watch->action & CURL_POLL_OUT) != 0 && !watch->waits_to_write) {
      watch->waits_to_write = true;
      watch->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                   [this, alive = alive_, weak = std::weak_ptr(watch)](const error_code& ec) {
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
      reinterpret_cast<Call*>(owner)->on_done(code);
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
      std::vector<std::shared_ptr<Call>> over;
      std::vector<Status> why;
      for (Call* call : calls_) {
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
  asio::steady_timer timer_, sweep_;
  CURLM* multi_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::unordered_set<Call*> calls_;
  std::vector<CURL*> spare_, doomed_;
  int depth_ = 0;
  uint64_t timer_round_ = 0;
  bool is_watching_ = false, is_ending_ = false;
  // Handlers that the loop still holds see that this is gone.
  std::shared_ptr<CurlClient*> alive_ = std::make_shared<CurlClient*>(this);
};

Call::Call(CurlClient& client, ClientRequest request, std::shared_ptr<Receiver> receiver,
           size_t head_bytes_max)
    : client_(&client),
      request_(std::move(request)),
      receiver_(std::move(receiver)),
      head_bytes_max_(head_bytes_max) {}

Call::~Call() {
  cancel();
}

void Call::cancel() {
  receiver_ = nullptr;
  if (is_live()) client_->drop(*this);
}

void Call::pause() {
  if (!is_live() || std::exchange(is_paused_, true)) return;
  if (!client_->is_inside()) return client_->pause(easy_, true);
  client_->post([weak = weak_from_this()] {
    const auto call = weak.lock();
    if (call && call->is_live() && call->is_paused_) call->client_->pause(call->easy_, true);
  });
}

void Call::resume() {
  if (!is_live() || !std::exchange(is_paused_, false)) return;
  heard_ = Clock::now();
  if (!client_->is_inside()) return client_->pause(easy_, false);
  client_->post([weak = weak_from_this()] {
    const auto call = weak.lock();
    if (call && call->is_live() && !call->is_paused_) call->client_->pause(call->easy_, false);
  });
}

void Call::set_up(CURL* easy, const Place& place) {
  easy_ = easy;
  const auto set = [easy](CURLoption option, auto value) {
    CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
  };
  set(CURLOPT_URL, request_.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, place.scheme.c_str());
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, "cresset/" CRESSET_VERSION);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_time_max.count()));
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_BUFFERSIZE, kReadBytes);
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(reason_));
  set(CURLOPT_HEADERFUNCTION, &Call::header_thunk);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &Call::body_thunk);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  if (!request_.ca_file.empty()) set(CURLOPT_CAINFO, request_.ca_file.c_str());
  if (place.is_loopback) {
    set(CURLOPT_PROXY, "");  // this machine is not asked through another
  } else if (!request_.proxy.empty()) {
    set(CURLOPT_PROXY, request_.proxy.c_str());
  }
  for (const auto& [name, value] : request_.headers) headers_.add(name + ": " + value);
  if (request_.secret) {
    std::string line = request_.secret_header + ": " + request_.secret_prefix;
    line += request_.secret->expose();
    headers_.add(line);
    volatile char* wipe = line.data();
    for (size_t i = 0; i < line.size(); ++i) wipe[i] = '\0';
  }
  headers_.add("Expect:");  // long bodies are sent without asking first
  set(CURLOPT_HTTPHEADER, headers_.get());
  if (request_.method == "POST") {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDS, request_.body.data());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
  } else {
    set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    if (request_.method == "HEAD") set(CURLOPT_NOBODY, 1L);
  }
}

size_t Call::header_thunk(char* data, size_t size, size_t count, void* self) {
  return static_cast<Call*>(self)->take_header({data, size * count}) ? size * count : 0;
}

bool Call::take_header(std::string_view line) {
  if (!receiver_) return false;
  head_bytes_ += line.size();
  if (head_bytes_ > head_bytes_max_) {
    is_head_too_long_ = true;
    return false;
  }
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // a new block: after a 100, or after a proxy's answer
    answer_headers_.clear();
    status_ = 0;
    const size_t space = line.find(' ');
    for (size_t i = space + 1; space != std::string_view::npos && i < space + 4 && i < line.size(); ++i)
      status_ = status_ * 10 + (line[i] - '0');
    return true;
  }
  if (line.empty()) {
    // The end of a block. A proxy's answer to CONNECT and a 1xx are followed by another.
    long connect = 0;
    curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &connect);
    if (status_ < 200 || has_head_ || (connect == status_ && answer_headers_.empty())) return true;
    has_head_ = true;
    heard_ = Clock::now();
    receiver_->on_head(status_, answer_headers_);
    return receiver_ != nullptr;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  answer_headers_.emplace_back(line.substr(0, colon), value);
  return true;
}

size_t Call::body_thunk(char* data, size_t size, size_t count, void* self) {
  auto* call = static_cast<Call*>(self);
  if (!call->receiver_) return 0;
  call->heard_ = Clock::now();
  // The receiver may let go of itself while it hears this.
  const std::shared_ptr<Receiver> receiver = call->receiver_;
  receiver->on_bytes({data, size * count});
  return size * count;
}

bool Call::is_over(Clock::time_point now, Status& why) const {
  if (is_paused_) return false;
  if (!has_head_ && now - begun_ > request_.first_byte_time_max) {
    why = fail(Code::kTimeout, "the provider did not begin to answer in time");
    return true;
  }
  if (has_head_ && now - heard_ > request_.stall_time_max) {
    why = fail(Code::kTimeout, "the provider fell silent");
    return true;
  }
  return false;
}

void Call::on_done(CURLcode code) {
  if (code == CURLE_OK) return end({});
  const std::string reason = reason_[0] != '\0' ? reason_ : curl_easy_strerror(code);
  if (is_head_too_long_) return end(fail(Code::kLimit, "the provider's header is too long"));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return end(fail(Code::kTimeout, "no connection to the provider in time"));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return end(fail(Code::kRefused, "the provider's certificate: " + reason));
    default:
      return end(fail(Code::kUnavailable, (has_head_ ? "the connection to the provider was cut: "
                                                     : "the provider cannot be reached: ") +
                                              reason));
  }
}

void Call::end(Status status) {
  const std::shared_ptr<Call> self = shared_from_this();
  const std::shared_ptr<Receiver> receiver = std::exchange(receiver_, nullptr);
  client_->drop(*this);
  if (receiver) receiver->on_end(std::move(status));
}

}  // namespace

Status check_client_url(const std::string& url, bool allow_plain) {
  CRESSET_TRY(place, read_place(url));
  return check_place(place, allow_plain);
}

std::unique_ptr<Client> Client::open(Loop& loop, const ClientOptions& options) {
  return std::make_unique<CurlClient>(loop, options);
}

}  // namespace cresset::net
