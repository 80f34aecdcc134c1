// Gateway: the road of one request, in one straight line: find the endpoint, admit, decode, route, answer,
// settle. Each stage gives a verdict (proceed, reply, hold); only this file's run() knows their order.
//
// Lives on the loop. Engines call back through Relay, big bodies are decoded on the porter; both come back by
// a post. Does not own sockets, engines or the store: they are given at open and outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "gateway/admit.h"
#include "gateway/dispatch.h"
#include "gateway/exchange.h"
#include "gateway/metrics.h"
#include "gateway/route.h"
#include "net/server.h"
#include "policy/principal.h"
#include "provider/provider.h"
#include "provider/threads.h"
#include "sys/env.h"

namespace cresset::gateway {

struct GatewayOptions {
  std::vector<std::string> hosts;  // names beside the loopback's, without ports: the listen host, the owner's
  std::vector<Alias> aliases;
  std::string version = "0.0.0";            // that Ollama's clients are told
  size_t exchanges_max = 1024;              // on their way at once; more are 503
  size_t loop_body_bytes_max = 128u << 10;  // a bigger body is decoded on the porter
  DispatchOptions dispatch;
};

// What the gateway stands on; all of it outlives the gateway.
struct Ground {
  sys::Env& env;
  provider::Schedule& schedule;
  provider::Porter& porter;
  provider::Local& local;
  provider::ModelSource& models;
  provider::Remote& remote;
};

class Gateway : public std::enable_shared_from_this<Gateway> {
 public:
  // An alias needs a name without '/', unique, with at least one candidate.
  static Result<std::shared_ptr<Gateway>> open(const Ground& ground, policy::Keys keys,
                                               GatewayOptions options);
  ~Gateway();

  void handle(std::shared_ptr<net::Call> call);

  // /readyz is 503 until this, and again from begin_drain() on.
  void set_ready() { is_started_ = true; }
  // New work is refused, what is on its way goes on.
  void begin_drain() { is_draining_ = true; }
  // Cancels what is on its way: its clients see a cut connection.
  void cut_all();
  size_t exchanges() const { return exchanges_.size(); }

 private:
  Gateway(const Ground& ground, policy::Keys keys, GatewayOptions options);

  void advance(const std::shared_ptr<Exchange>& exchange);
  Verdict run(const std::shared_ptr<Exchange>& exchange);
  Verdict check_capacity(Exchange& exchange) const;
  Verdict decode(const std::shared_ptr<Exchange>& exchange);
  Verdict take_decoded(Exchange& exchange, wire::Decoded<chat::Request> decoded);
  Verdict decode_name(Exchange& exchange) const;
  Names names() const;
  Verdict route(Exchange& exchange);
  Verdict answer(const std::shared_ptr<Exchange>& exchange);
  Verdict list(Exchange& exchange);
  Verdict show(Exchange& exchange);
  Verdict count(const std::shared_ptr<Exchange>& exchange);
  Verdict answer_ready(Exchange& exchange) const;
  void reply(const std::shared_ptr<Exchange>& exchange);
  void settle(const std::shared_ptr<Exchange>& exchange, Ending ending);
  void record_answer(const Exchange& exchange, Ending ending);

  const Ground ground_;
  const GatewayOptions options_;
  const Admission admission_;
  Metrics metrics_;
  Dispatch dispatch_;  // writes to metrics_
  std::unordered_set<std::shared_ptr<Exchange>> exchanges_;
  bool is_started_ = false, is_draining_ = false;
};

}  // namespace cresset::gateway
