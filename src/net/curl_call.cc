#include "net/curl_call.h"

#include <curl/curl.h>

#include <utility>

#include "base/check.h"

namespace cresset::net {

namespace {

static_assert(CURL_ERROR_SIZE <= 256);

}  // namespace

HeaderList::~HeaderList() {
  for (curl_slist* item = list_; item != nullptr; item = item->next) {
    volatile char* data = item->data;
    while (*data != '\0') *data++ = '\0';
  }
  curl_slist_free_all(list_);
}

void HeaderList::add(const std::string& line) {
  list_ = curl_slist_append(list_, line.c_str());
}

CurlCall::CurlCall(CallHost& host, ClientRequest request, std::shared_ptr<Receiver> receiver,
                   size_t head_bytes_max)
    : host_(host),
      request_(std::move(request)),
      receiver_(std::move(receiver)),
      head_bytes_max_(head_bytes_max) {}

CurlCall::~CurlCall() {
  cancel();
}

void CurlCall::cancel() {
  receiver_ = nullptr;
  if (is_live()) host_.drop(*this);
}

// libcurl must not be asked from within itself: then it is asked afterwards.
void CurlCall::pause_now(bool is_paused) {
  if (!host_.is_inside()) return host_.pause(easy_, is_paused);
  host_.post([weak = weak_from_this(), is_paused] {
    const auto call = weak.lock();
    if (call && call->is_live() && call->is_paused_ == is_paused) call->host_.pause(call->easy_, is_paused);
  });
}

void CurlCall::pause() {
  if (is_live() && !std::exchange(is_paused_, true)) pause_now(true);
}

void CurlCall::resume() {
  if (!is_live() || !std::exchange(is_paused_, false)) return;
  heard_ = Clock::now();
  pause_now(false);
}

void CurlCall::prepare(void* easy) {
  const auto set = [easy](CURLoption option, auto value) {
    CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
  };
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, "cresset/" CRESSET_VERSION);
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_HEADERFUNCTION, &CurlCall::header_thunk);
  set(CURLOPT_WRITEFUNCTION, &CurlCall::body_thunk);
}

bool CurlCall::is_plain() const {
  return request_.method == "POST" && request_.ca_file.empty() && request_.proxy.empty();
}

void CurlCall::set_up(void* easy, const Place& place) {
  easy_ = easy;
  const auto set = [easy](CURLoption option, auto value) {
    CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
  };
  set(CURLOPT_URL, request_.url.c_str());
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_time_max.count()));
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(reason_));
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  if (!request_.ca_file.empty()) set(CURLOPT_CAINFO, request_.ca_file.c_str());
  if (place.is_loopback) {
    set(CURLOPT_PROXY, "");  // this machine is not asked through another
  } else {
    set(CURLOPT_PROXY, request_.proxy.empty() ? nullptr : request_.proxy.c_str());
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
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(CURLOPT_POSTFIELDS, request_.body.data());
  } else {
    set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    if (request_.method == "HEAD") set(CURLOPT_NOBODY, 1L);
  }
}

size_t CurlCall::header_thunk(char* data, size_t size, size_t count, void* self) {
  return static_cast<CurlCall*>(self)->take_header({data, size * count}) ? size * count : 0;
}

bool CurlCall::take_header(std::string_view line) {
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

size_t CurlCall::body_thunk(char* data, size_t size, size_t count, void* self) {
  auto* call = static_cast<CurlCall*>(self);
  if (!call->receiver_) return 0;
  call->heard_ = Clock::now();
  // The receiver may let go of itself while it hears this.
  const std::shared_ptr<Receiver> receiver = call->receiver_;
  receiver->on_bytes({data, size * count});
  return size * count;
}

bool CurlCall::is_over(Clock::time_point now, Status& why) const {
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

void CurlCall::on_done(int curl_code) {
  const auto code = static_cast<CURLcode>(curl_code);
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

void CurlCall::end(Status status) {
  const std::shared_ptr<CurlCall> self = shared_from_this();
  const std::shared_ptr<Receiver> receiver = std::exchange(receiver_, nullptr);
  host_.drop(*this);
  if (receiver) receiver->on_end(std::move(status));
}

}  // namespace cresset::net
