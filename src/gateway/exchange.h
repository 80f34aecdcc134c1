// Exchange: all state of one request on its way through the gateway, and the verdict of a stage. Lives on the
// loop. A stage reads what earlier stages put here and adds its own; it never calls another stage.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "chat/request.h"
#include "chat/stream.h"
#include "gateway/endpoints.h"
#include "gateway/metrics.h"
#include "gateway/route.h"
#include "net/server.h"
#include "policy/principal.h"
#include "provider/provider.h"
#include "sys/env.h"
#include "wire/codec.h"

namespace cresset::gateway {

// proceed: the next stage may look at it. reply: `response` holds the answer. hold: resumed once, from a
// post.
enum class Verdict { kProceed, kReply, kHold };

enum class Stage { kFind, kAdmit, kDecode, kRoute, kAnswer };

// How an exchange ended, for settle.
enum class Ending { kReplied, kStreamed, kCut, kClientLeft };

constexpr std::string_view kRequestIdPrefix = "req_";

struct Exchange {
  std::shared_ptr<net::Call> call;
  std::string id;  // X-Request-Id
  sys::Instant arrived{};
  Stage stage = Stage::kFind;
  net::HttpResponse response;

  // find
  Target target;

  // admit
  std::shared_ptr<const policy::Principal> principal;
  bool is_labelled = false;

  // decode
  chat::Request request;

  // route
  Plan plan;
  size_t candidate = 0;  // of the plan, the one that answers

  // answer: one attempt at a time; what an earlier one still says is not heard
  int attempt = 0;
  chat::CancelToken cancel;
  chat::HoldToken hold;                  // of the own engine's answer
  std::shared_ptr<provider::Flow> flow;  // of a provider's answer
  provider::Origin origin;               // of whoever answers
  std::string dropped;                   // what could not be told to it
  int choices_asked = 1;
  bool is_paused = false;  // whoever answers waits for the client
  std::string answer_id;   // the request's, with the prefix of its dialect: one leads to the other
  std::optional<wire::Answer> answer;  // what the client has been or will be told
  std::unique_ptr<wire::StreamEncoder> encoder;
  std::optional<chat::Event> held;  // the beginning of a stream, until there is something to say
  bool is_streaming = false;        // the head has been sent: an error can only be an event
  bool has_spoken = false;          // an event has been sent: no other candidate may begin anew
  bool is_slow = false;             // the client reads slower than the answer is made
  bool is_done = false;
  ModelSeries* series = nullptr;  // of who answers
  sys::Instant last_write{}, first_token{}, last_token{};
  std::function<void()> stop_pings, stop_clock, stop_patience;

  const net::HttpRequest& http() const { return call->request(); }
};

// The dialect that the client is spoken to in, and its codec for errors; null: OpenAI's.
const wire::Codec* spoken_codec(const Exchange& exchange);
// Puts a fault into `response`, in the dialect of the endpoint.
Verdict refuse(Exchange& exchange, const wire::Fault& fault);
// Puts a JSON body into `response`.
Verdict reply_json(Exchange& exchange, std::string body);
// The headers that every answer carries.
void add_common_headers(const Exchange& exchange, net::Headers& headers);

}  // namespace cresset::gateway
