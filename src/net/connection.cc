#include "net/connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "net/response.h"

namespace cresset::net {
namespace {

using std::chrono::milliseconds;

constexpr size_t kSmallBufferBytes = 4u << 10;  // what an idle connection keeps
constexpr size_t kBodyBufferBytes = 64u << 10;  // while a body comes in
constexpr size_t kCopyBytesMax = 16u << 10;     // shorter reply bodies are sent in one piece with their head
constexpr milliseconds kLingerTime{2'000};

}  // namespace

// The handler's end. It outlives the connection when the handler keeps it; then it does nothing.
class Connection::LiveCall final : public Call, public std::enable_shared_from_this<LiveCall> {
 public:
  LiveCall(Connection& connection, HttpRequest request, BodyShare share)
      : connection_(&connection),
        share_(std::move(share)),
        request_(std::move(request)),
        is_tls_(connection.setting_.is_tls) {}
  ~LiveCall() override {
    if (connection_ != nullptr) connection_->on_call_dropped();
  }
  const HttpRequest& request() const override { return request_; }
  bool is_tls() const override { return is_tls_; }
  void reply(HttpResponse response) override {
    if (connection_ != nullptr) connection_->reply(std::move(response));
  }
  void begin_stream(int status, Headers headers) override {
    if (connection_ != nullptr) connection_->begin_stream(status, std::move(headers));
  }
  void write(std::string bytes) override {
    if (connection_ != nullptr) connection_->write(bytes);
  }
  void end() override {
    if (connection_ != nullptr) connection_->end();
  }
  void abort() override {
    if (connection_ != nullptr) connection_->abort();
  }
  size_t queued_bytes() const override { return connection_ != nullptr ? connection_->queued_bytes() : 0; }
  void on_closed(std::function<void()> work) override {
    if (was_closed_) return work();
    if (connection_ != nullptr) closed_ = std::move(work);
  }
  void on_drained(std::function<void()> work) override {
    if (connection_ != nullptr) drained_ = std::move(work);
  }

  // The answer is over, well or (`tell`) because the client went away. The callbacks may hold this call: let
  // go.
  void detach(bool tell) {
    const auto self = shared_from_this();
    connection_ = nullptr;
    was_closed_ = tell;
    const auto drained = std::exchange(drained_, nullptr);
    const auto closed = std::exchange(closed_, nullptr);
    if (tell && closed) closed();
  }
  void tell_drained() {
    if (!drained_) return;
    const auto self = shared_from_this();
    auto work = std::exchange(drained_, nullptr);
    work();
    if (connection_ != nullptr && !drained_) drained_ = std::move(work);
  }

 private:
  Connection* connection_;
  const BodyShare share_;
  const HttpRequest request_;
  const bool is_tls_;
  bool was_closed_ = false;
  std::function<void()> closed_, drained_;
};

Connection::Connection(Transport& transport, Setting setting)
    : transport_(transport),
      setting_(std::move(setting)),
      parser_({.head_bytes_max = setting_.limits.header_bytes_max,
               .body_bytes_max = setting_.limits.body_bytes_max}),
      body_share_(setting_.bodies) {}

Connection::~Connection() {
  state_ = State::kClosed;
  if (call_ != nullptr) std::exchange(call_, nullptr)->detach(false);
}

void Connection::set_deadline(std::optional<milliseconds> after) {
  if (!is_doomed_) transport_.set_deadline(after);
}

// A new connection has as long for its first header as any header has: it cost us a descriptor already.
void Connection::start() {
  set_deadline(setting_.limits.header_time_max);
}

void Connection::refuse(int status, std::string why) {
  fail(status, why);
}

void Connection::drain() {
  is_draining_ = true;
  const bool is_idle =
      state_ == State::kReading && parser_.state() == RequestParser::State::kHead && unread().empty();
  if (is_idle) close(false);
}

// --- reading

std::span<char> Connection::read_space() {
  if (state_ == State::kClosed) return {};
  const bool is_thrown_away = state_ == State::kLingering || state_ == State::kClosing;
  if (is_thrown_away) in_begin_ = in_end_;
  // No read is in flight here, so the bytes may move.
  std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
  in_end_ -= std::exchange(in_begin_, 0);
  const bool in_body =
      is_thrown_away || (state_ == State::kReading && parser_.state() == RequestParser::State::kBody);
  const size_t most =
      std::max(RequestParser::piece_bytes_max(setting_.limits.header_bytes_max), kBodyBufferBytes);
  size_t size = in_body ? kBodyBufferBytes : kSmallBufferBytes;
  while (size <= in_end_ && size < most) size = std::min(size * 2, most);
  if (in_.size() != size) {
    in_.resize(std::max(size, in_end_));
    if (in_.capacity() > 2 * in_.size()) in_.shrink_to_fit();
  }
  const std::span<char> space(in_.data() + in_end_, in_.size() - in_end_);
  is_read_paused_ = space.empty();
  return space;
}

void Connection::on_read(size_t bytes) {
  in_end_ += bytes;
  CHECK(in_end_ <= in_.size());
  if (state_ == State::kLingering || state_ == State::kClosing) return;  // thrown away by read_space()
  advance();
}

// Takes requests from the buffer until one has to wait for its answer or the bytes run out.
void Connection::advance() {
  if (is_advancing_) return;  // an answer given inside the handler: the loop below goes on
  is_advancing_ = true;
  while (state_ == State::kReading) {
    const size_t taken = parser_.feed(unread());
    in_begin_ += taken;
    if (parser_.state() == RequestParser::State::kFailed) {
      fail(parser_.fault().status, parser_.fault().message);
    } else if (parser_.state() != RequestParser::State::kHead &&
               !body_share_.grow_to(parser_.request().body.size())) {
      fail(503, "the server holds as many request bodies as it may; try again shortly");
    } else if (parser_.state() == RequestParser::State::kDone) {
      begin_call();
    } else {
      expect_more();
      break;
    }
  }
  is_advancing_ = false;
  if (in_begin_ > 0) resume_reading();
}

void Connection::resume_reading() {
  if (is_read_paused_ && state_ != State::kClosed) {
    is_read_paused_ = false;
    transport_.resume_reading();
  }
}

void Connection::expect_more() {
  if (has_ended_reading_) return close(false);
  if (parser_.state() == RequestParser::State::kBody) {
    if (is_body_timed_) return;
    is_body_timed_ = true;
    set_deadline(setting_.limits.body_time_max);
    if (parser_.expects_continue() && unread().empty() && parser_.request().body.empty()) {
      queued_ += "HTTP/1.1 100 Continue\r\n\r\n";
      start_writing();
    }
    return;
  }
  if (unread().empty() || is_head_timed_) return;
  is_head_timed_ = true;
  set_deadline(setting_.limits.header_time_max);
}

void Connection::begin_call() {
  is_head_timed_ = is_body_timed_ = false;
  // A "100 Continue" may still be on its way out.
  set_deadline(is_writing_ ? std::optional(setting_.limits.write_stall_max) : std::nullopt);
  keeps_alive_ = parser_.keeps_alive();
  is_chunked_ = !parser_.is_http10();
  HttpRequest request = parser_.take();
  request.peer = setting_.peer;
  is_head_request_ = request.method == "HEAD";
  has_begun_ = has_ended_ = false;
  state_ = State::kAnswering;
  const auto call = std::make_shared<LiveCall>(*this, std::move(request), std::move(body_share_));
  call_ = call.get();
  setting_.handler(call);
  if (has_ended_reading_ && state_ == State::kAnswering && !has_ended_) close(true);
}

// Answers a request that is not one, and closes: what follows on this connection has no meaning.
void Connection::fail(int status, std::string_view why) {
  keeps_alive_ = false;
  is_head_request_ = false;
  state_ = State::kClosing;
  send_reply(error_response(status, why), true);
}

// --- the end of the client

// The end of what the client sends is taken as the end of the client, as Go's net/http does; only an answer
// that is complete already, and requests that were sent before the end and are answered at once, still go
// out.
void Connection::on_end_of_stream() {
  has_ended_reading_ = true;
  const bool is_said = (state_ == State::kAnswering && has_ended_) || (state_ == State::kClosing);
  if (!is_said) close(true);
}

void Connection::on_broken() {
  close(true);
}

void Connection::shut() {
  close(false);
}

void Connection::on_deadline() {
  if (state_ == State::kReading && !is_writing_) {
    if (parser_.state() == RequestParser::State::kBody)
      return fail(408, "the request's body took too long to arrive");
    if (is_head_timed_) return fail(408, "the request's header took too long to arrive");
  }
  // Idle, a reader that takes nothing, a stream past its limit, or the end of lingering.
  close(true);
}

void Connection::close(bool tell_call) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  transport_.close();
  if (call_ != nullptr) std::exchange(call_, nullptr)->detach(tell_call);
}

// --- writing

size_t Connection::queued_bytes() const {
  return queued_.size() + queued_body_.size() + flight_.size() + flight_body_.size() - flight_sent_;
}

std::array<std::string_view, 2> Connection::output() const {
  const size_t of_head = std::min(flight_sent_, flight_.size());
  return {std::string_view(flight_).substr(of_head),
          std::string_view(flight_body_).substr(flight_sent_ - of_head)};
}

void Connection::start_writing() {
  if (is_writing_ || state_ == State::kClosed || is_output_empty()) return;
  std::swap(flight_, queued_);
  std::swap(flight_body_, queued_body_);
  is_writing_ = true;
  flight_sent_ = transport_.write_at_once();  // nearly always all of it
  CHECK(flight_sent_ <= flight_.size() + flight_body_.size());
  if (flight_sent_ == flight_.size() + flight_body_.size()) return end_writing();
  if (state_ != State::kReading) set_deadline(setting_.limits.write_stall_max);
  transport_.write_output();
}

void Connection::flush() {
  start_writing();
}

void Connection::on_written(size_t bytes) {
  if (state_ == State::kClosed) return;
  flight_sent_ += bytes;
  CHECK(flight_sent_ <= flight_.size() + flight_body_.size());
  if (flight_sent_ < flight_.size() + flight_body_.size()) {
    // It moves; but what goes out before a close has only the one stretch.
    if (state_ == State::kAnswering) set_deadline(setting_.limits.write_stall_max);
    return transport_.write_output();
  }
  end_writing();
}

// All that was in flight has been taken.
void Connection::end_writing() {
  is_writing_ = false;
  flight_sent_ = 0;
  flight_.clear();
  flight_body_ = {};
  if (flight_.capacity() > kCopyBytesMax) flight_.shrink_to_fit();
  if (!is_output_empty()) return start_writing();
  if (state_ == State::kClosing) return begin_linger();
  if (state_ != State::kAnswering) return;
  set_deadline(std::nullopt);
  if (has_ended_) return finish_answer();
  if (call_ != nullptr) call_->tell_drained();
}

void Connection::finish_answer() {
  if (call_ != nullptr) std::exchange(call_, nullptr)->detach(false);
  if (queued_.capacity() > kCopyBytesMax) queued_.shrink_to_fit();
  if (!keeps_alive_ || is_draining_) return begin_linger();
  state_ = State::kReading;
  set_deadline(setting_.limits.idle_time_max);
  advance();
}

void Connection::begin_linger() {
  if (has_ended_reading_) return close(false);
  state_ = State::kLingering;
  in_begin_ = in_end_;
  set_deadline(kLingerTime);
  transport_.finish();
  resume_reading();
}

void Connection::send_head(int status, const Headers& headers, std::optional<size_t> length,
                           bool is_chunked) {
  if (is_draining_) keeps_alive_ = false;
  append_head(queued_, {.status = status,
                        .headers = headers,
                        .date = setting_.date(),
                        .length = length,
                        .is_chunked = is_chunked,
                        .closes = !keeps_alive_});
}

void Connection::send_reply(HttpResponse response, bool has_body) {
  CHECK(response.status >= 200 && response.status <= 599);  // the handler's
  const bool is_bodiless = has_no_body(response.status);
  send_head(response.status, response.headers,
            is_bodiless ? std::nullopt : std::optional(response.body.size()), false);
  if (has_body && !is_bodiless) {
    if (response.body.size() <= kCopyBytesMax) {
      queued_ += response.body;
    } else {
      queued_body_ = std::move(response.body);
    }
  }
  start_writing();
}

// --- what the handler does

void Connection::reply(HttpResponse response) {
  CHECK(!has_begun_);
  has_begun_ = has_ended_ = true;
  send_reply(std::move(response), !is_head_request_);
}

void Connection::begin_stream(int status, Headers headers) {
  CHECK(!has_begun_ && status >= 200 && status <= 599 && !has_no_body(status));
  has_begun_ = true;
  // HTTP/1.0 knows no chunks: there the end of the connection is the end of the stream.
  send_head(status, headers, std::nullopt, is_chunked_);
  transport_.flush_soon();  // usually a first write follows at once and goes out with it
}

void Connection::write(std::string_view bytes) {
  CHECK(has_begun_ && !has_ended_);
  if (is_doomed_ || is_head_request_ || bytes.empty()) return;  // an empty chunk would be the last
  if (is_chunked_) {
    append_chunk(queued_, bytes);
  } else {
    queued_ += bytes;
  }
  if (queued_bytes() > setting_.limits.stream_bytes_max) {
    // The handler is in the middle of its work: it is told in the loop's next turn.
    set_deadline(milliseconds{0});
    is_doomed_ = true;
    return;
  }
  start_writing();
}

void Connection::end() {
  CHECK(has_begun_ && !has_ended_);
  if (is_doomed_) return;
  has_ended_ = true;
  if (is_chunked_ && !is_head_request_) queued_ += "0\r\n\r\n";
  if (is_output_empty()) return finish_answer();
  start_writing();
}

// What is queued still goes out (often the event that says what went wrong), but not the last chunk.
void Connection::abort() {
  if (call_ != nullptr) std::exchange(call_, nullptr)->detach(false);
  keeps_alive_ = false;
  state_ = State::kClosing;
  if (is_output_empty()) return begin_linger();
  set_deadline(setting_.limits.write_stall_max);
  start_writing();
}

void Connection::on_call_dropped() {
  call_ = nullptr;
  if (state_ != State::kAnswering || has_ended_) return;
  if (has_begun_) return abort();  // a cut stream shows
  reply(error_response(500, "the request was dropped without an answer"));
}

}  // namespace cresset::net
