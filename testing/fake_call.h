// FakeCall: one HTTP request without a socket. Remembers what was answered; the test plays the client:
// close() leaves, drain() reads everything. Loop thread only, like the real one.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "net/server.h"

namespace cresset::testing {

class FakeCall final : public net::Call {
 public:
  explicit FakeCall(net::HttpRequest request) : request_(std::move(request)) {}

  const net::HttpRequest& request() const override { return request_; }
  bool is_tls() const override { return is_tls_; }
  void reply(net::HttpResponse response) override;
  void begin_stream(int status, net::Headers headers) override;
  void write(std::string bytes) override;
  void end() override;
  void abort() override;
  size_t queued_bytes() const override { return queued_; }
  void on_closed(std::function<void()> work) override { closed_ = std::move(work); }
  void on_drained(std::function<void()> work) override { drained_ = std::move(work); }

  void close();
  void drain();
  void set_tls() { is_tls_ = true; }
  // The client takes nothing from now on: queued_bytes() grows.
  void stall() { is_stalled_ = true; }

  bool is_replied() const { return is_replied_; }
  bool is_stream() const { return is_stream_; }
  bool is_ended() const { return is_ended_; }
  bool is_aborted() const { return is_aborted_; }
  bool is_over() const { return is_replied_ || is_ended_ || is_aborted_ || is_closed_; }
  int status() const { return response_.status; }
  std::string_view header(std::string_view name) const { return net::find_header(response_.headers, name); }
  const net::Headers& headers() const { return response_.headers; }
  const std::string& body() const { return response_.body; }  // of a reply, or all that was streamed
  int writes() const { return writes_; }

 private:
  const net::HttpRequest request_;
  net::HttpResponse response_;
  std::function<void()> closed_, drained_;
  size_t queued_ = 0;
  int writes_ = 0;
  bool is_tls_ = false, is_stalled_ = false;
  bool is_replied_ = false, is_stream_ = false, is_ended_ = false, is_aborted_ = false, is_closed_ = false;
};

// "POST", "/v1/completions?x=1" and so on, with Host: localhost:7171; `path` is decoded as net does it.
net::HttpRequest make_http(std::string method, std::string target, std::string body = {},
                           net::Headers headers = {});

}  // namespace cresset::testing
