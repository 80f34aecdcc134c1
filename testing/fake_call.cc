#include "testing/fake_call.h"

#include "base/check.h"

namespace cresset::testing {

void FakeCall::reply(net::HttpResponse response) {
  CHECK(!is_over() && !is_stream_);
  is_replied_ = true;
  response_ = std::move(response);
}

void FakeCall::begin_stream(int status, net::Headers headers) {
  CHECK(!is_over() && !is_stream_);
  is_stream_ = true;
  response_.status = status;
  response_.headers = std::move(headers);
}

void FakeCall::write(std::string bytes) {
  CHECK(is_stream_ && !is_ended_ && !is_aborted_);
  ++writes_;
  if (is_stalled_) queued_ += bytes.size();
  response_.body += bytes;
}

void FakeCall::end() {
  CHECK(is_stream_ && !is_ended_ && !is_aborted_);
  is_ended_ = true;
}

void FakeCall::abort() {
  is_aborted_ = true;
}

void FakeCall::close() {
  if (is_over()) return;
  is_closed_ = true;
  if (closed_) std::exchange(closed_, nullptr)();
}

void FakeCall::drain() {
  queued_ = 0;
  if (drained_) drained_();
}

net::HttpRequest make_http(std::string method, std::string target, std::string body, net::Headers headers) {
  net::HttpRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  const size_t question = request.target.find('?');
  request.raw_path = request.target.substr(0, question);
  if (question != std::string::npos) request.query = request.target.substr(question + 1);
  for (size_t i = 0; i < request.raw_path.size(); ++i) {
    if (request.raw_path[i] == '%' && i + 2 < request.raw_path.size()) {
      request.path += static_cast<char>(std::stoi(request.raw_path.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      request.path += request.raw_path[i];
    }
  }
  request.body = std::move(body);
  request.headers = std::move(headers);
  if (net::count_header(request.headers, "Host") == 0) request.headers.emplace_back("Host", "localhost:7171");
  if (request.method == "POST" && net::count_header(request.headers, "Content-Type") == 0) {
    request.headers.emplace_back("Content-Type", "application/json");
  }
  request.peer = "127.0.0.1:50000";
  return request;
}

}  // namespace cresset::testing
