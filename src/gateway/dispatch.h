// Dispatch: gives a decoded request to the candidates of its plan and brings the answer back to the client,
// whole or as a stream. The next candidate is tried while the client has seen nothing. A client that reads
// slowly holds up who answers it, and nobody else; after a while it is dropped. Lives on the loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "gateway/exchange.h"
#include "gateway/relay.h"
#include "provider/provider.h"
#include "provider/threads.h"
#include "sys/env.h"

namespace cresset::gateway {

struct DispatchOptions {
  size_t hold_bytes =
      256u << 10;  // queued for a client: from here on it counts as slow, and who answers waits
  // As long as it waits for one client to take all that is queued; then the client is dropped.
  std::chrono::milliseconds hold_time_max{60'000};
  std::chrono::milliseconds ping_interval{15'000};
  std::chrono::milliseconds answer_time_max{3'600'000};  // from the first attempt to the last event
};

class Dispatch {
 public:
  // Called once an exchange, with how it ended; nothing of it is touched afterwards.
  using Over = std::function<void(std::shared_ptr<Exchange>, Ending)>;

  Dispatch(sys::Env& env, provider::Schedule& schedule, provider::Local& local, provider::Remote& remote,
           Metrics& metrics, DispatchOptions options, Over over);

  // Starts the answer; every outcome comes through `over`, after the reply or the end of the stream.
  Verdict start(const std::shared_ptr<Exchange>& exchange);

 private:
  void attempt(const std::shared_ptr<Exchange>& exchange);
  void deliver(const std::shared_ptr<Exchange>& exchange, std::vector<RelayItem> items);
  void take(Exchange& exchange, const chat::Event& event, std::string& out);
  void observe(Exchange& exchange, const chat::Event& event);
  void complete(const std::shared_ptr<Exchange>& exchange);
  std::shared_ptr<Relay> make_relay(const std::shared_ptr<Exchange>& exchange);
  void ask_own(const std::shared_ptr<Exchange>& exchange, const Candidate& candidate);
  void ask_remote(const std::shared_ptr<Exchange>& exchange, const Candidate& candidate);
  void fail(const std::shared_ptr<Exchange>& exchange, const chat::Failed& failed);
  void fail_over(const std::shared_ptr<Exchange>& exchange, const chat::Failed& failed);
  void hold_back(const std::shared_ptr<Exchange>& exchange);
  void send_head(Exchange& exchange);
  void encode(Exchange& exchange, const chat::Event& event, std::string& out);
  wire::AnswerIdentity identity(const Exchange& exchange);
  void write(Exchange& exchange, std::string bytes);
  void watch(const std::shared_ptr<Exchange>& exchange, std::chrono::milliseconds delay);
  void ping(const std::shared_ptr<Exchange>& exchange);

  sys::Env& env_;
  provider::Schedule& schedule_;
  provider::Local& local_;
  provider::Remote& remote_;
  Metrics& metrics_;
  const DispatchOptions options_;
  const Over over_;
};

}  // namespace cresset::gateway
