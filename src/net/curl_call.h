// CurlCall: one request of the client's: what libcurl is told of it, and what libcurl says. client.cc drives
// it; nobody else includes this. Loop thread only.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/client.h"
#include "net/place.h"

struct curl_slist;

namespace cresset::net {

class CurlCall;

// What a call asks of the client that drives it.
class CallHost {
 public:
  virtual ~CallHost() = default;
  virtual void drop(CurlCall& call) = 0;  // it is over, or nobody wants it any more
  virtual void pause(void* easy, bool is_paused) = 0;
  virtual bool is_inside() const = 0;                 // within libcurl
  virtual void post(std::function<void()> work) = 0;  // not at all if the client is gone by then
};

// A list of header lines; they hold secrets and are wiped when it dies.
class HeaderList {
 public:
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList();
  void add(const std::string& line);
  curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

class CurlCall final : public ClientCall, public std::enable_shared_from_this<CurlCall> {
 public:
  using Clock = std::chrono::steady_clock;

  CurlCall(CallHost& host, ClientRequest request, std::shared_ptr<Receiver> receiver, size_t head_bytes_max);
  ~CurlCall() override;

  void cancel() override;
  void pause() override;
  void resume() override;

  // What every call's handle has in common; once a handle.
  static void prepare(void* easy);
  void set_up(void* easy, const Place& place);
  // The handle can be used again as it is: nothing was set that the next set_up() does not set.
  bool is_plain() const;
  void on_done(int curl_code);
  void end(Status status);
  // Whether a time limit has passed, and which.
  bool is_over(Clock::time_point now, Status& why) const;
  bool is_live() const { return easy_ != nullptr; }
  void* take_easy() { return std::exchange(easy_, nullptr); }

 private:
  static size_t header_thunk(char* data, size_t size, size_t count, void* self);
  static size_t body_thunk(char* data, size_t size, size_t count, void* self);
  bool take_header(std::string_view line);
  void pause_now(bool is_paused);

  CallHost& host_;
  const ClientRequest request_;
  std::shared_ptr<Receiver> receiver_;
  const size_t head_bytes_max_;
  HeaderList headers_;
  void* easy_ = nullptr;
  int status_ = 0;
  Headers answer_headers_;
  size_t head_bytes_ = 0;
  bool has_head_ = false, is_head_too_long_ = false, is_paused_ = false;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point heard_ = begun_;
  char reason_[256] = {};  // CURL_ERROR_SIZE
};

}  // namespace cresset::net
