// Connection: one client's HTTP/1.1 conversation without its socket: which bytes mean what, whose turn it is,
// what is waiting to go out, and what time limit holds now. The server drives it with bytes and gives it a
// Transport; everything a client can provoke is decided here and can be tested and simulated without a
// network.
//
// One request is answered at a time, in order; bytes of later requests wait in the read buffer. Reading goes
// on while an answer is made, to see the client leave; only a client that has sent a whole buffer ahead (64
// KiB) is found out no sooner than by a failing write. Loop thread only.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/body_budget.h"
#include "net/request_parser.h"
#include "net/server.h"

namespace cresset::net {

// What a connection asks of its socket. Nothing here calls back into the connection before it returns.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual size_t write_at_once() = 0;  // how much of output() the socket took without waiting
  virtual void write_output() = 0;     // send output() until it is empty, reporting on_written()
  virtual void flush_soon() = 0;       // call flush() in the loop's next turn
  virtual void resume_reading() = 0;   // read_space() is not empty any more
  // Call on_deadline() once after this long, unless it is set again; nullopt: never.
  virtual void set_deadline(std::optional<std::chrono::milliseconds> after) = 0;
  virtual void finish() = 0;  // nothing more will be written: say so to the peer, keep reading
  virtual void close() = 0;   // at once
};

class Connection {
 public:
  struct Setting {
    const ServerLimits& limits;
    const Server::Handler& handler;
    const std::function<std::string_view()>& date;  // the Date header's value; empty: none
    std::shared_ptr<BodyBudget> bodies;             // never null
    std::string peer;
    bool is_tls = false;
  };

  Connection(Transport& transport, Setting setting);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();                              // the peer is there (and its TLS handshake is done)
  void refuse(int status, std::string why);  // instead of start(): answer this and close
  void drain();                              // close now when idle, else after the answer

  // Reading. The space stays where it is until on_read(); empty: wait for resume_reading().
  std::span<char> read_space();
  void on_read(size_t bytes);
  void on_end_of_stream();  // the client sends no more
  void on_broken();         // a reset, a failed read or write, a deadline of the server's
  void shut();              // the server ends: nobody is told

  // Writing. At most two pieces; they stay where they are until on_written().
  std::array<std::string_view, 2> output() const;
  void on_written(size_t bytes);
  void flush();

  void on_deadline();

 private:
  class LiveCall;
  // kReading: no request is whole yet. kAnswering: one is with the handler. kClosing: a last answer goes out.
  // kLingering: all is said; what still comes is thrown away, so that a reset does not overtake the answer.
  enum class State { kReading, kAnswering, kClosing, kLingering, kClosed };

  std::string_view unread() const { return std::string_view(in_).substr(in_begin_, in_end_ - in_begin_); }
  size_t queued_bytes() const;
  bool is_output_empty() const { return queued_bytes() == 0; }
  void advance();
  void begin_call();
  void expect_more();
  void fail(int status, std::string_view why);
  void send_head(int status, const Headers& headers, std::optional<size_t> length, bool is_chunked);
  void send_reply(HttpResponse response, bool has_body);
  void start_writing();
  void end_writing();
  void finish_answer();
  void begin_linger();
  void resume_reading();
  void close(bool tell_call);
  void set_deadline(std::optional<std::chrono::milliseconds> after);

  // From LiveCall.
  void reply(HttpResponse response);
  void begin_stream(int status, Headers headers);
  void write(std::string_view bytes);
  void end();
  void abort();
  void on_call_dropped();

  Transport& transport_;
  const Setting setting_;
  RequestParser parser_;
  BodyShare body_share_;  // of the body that comes in
  State state_ = State::kReading;

  std::string in_;  // the one read buffer: [in_begin_, in_end_) is not parsed yet
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  bool is_read_paused_ = false;
  bool is_head_timed_ = false;  // the header's time runs from its first byte
  bool is_body_timed_ = false;

  std::string queued_;       // waits for the write in flight to end, then goes out whole
  std::string queued_body_;  // a long reply body, sent after queued_ without a copy
  std::string flight_, flight_body_;
  size_t flight_sent_ = 0;
  bool is_writing_ = false;

  LiveCall* call_ = nullptr;  // owned by the handler; null when it is gone or nothing is being answered
  bool is_advancing_ = false;
  bool has_ended_reading_ = false;
  bool is_draining_ = false;
  bool keeps_alive_ = true;
  // The answer being made.
  bool has_begun_ = false, has_ended_ = false, is_chunked_ = false, is_head_request_ = false,
       is_doomed_ = false;
};

}  // namespace cresset::net
