#include "gateway/dispatch.h"

#include <utility>

namespace cresset::gateway {

namespace {

// A fault of the candidate, not of the request: another one may do better.
bool is_worth_another(Code code) {
  switch (code) {
    case Code::kUnavailable:
    case Code::kTimeout:
    case Code::kIo:
    case Code::kCorrupt:
    case Code::kNotFound:
    case Code::kInternal:
      return true;
    default:
      return false;
  }
}

wire::Fault fault_of(const Exchange& exchange, const Error& error) {
  wire::Fault fault = wire::to_fault(error);
  if (error.code == Code::kLimit) fault.param = exchange.request.is_chat() ? "messages" : "prompt";
  return fault;
}

}  // namespace

Dispatch::Dispatch(sys::Env& env, provider::Schedule& schedule, provider::Local& local,
                   DispatchOptions options, Over over)
    : env_(env), schedule_(schedule), local_(local), options_(options), over_(std::move(over)) {}

Verdict Dispatch::start(const std::shared_ptr<Exchange>& exchange) {
  exchange->answer_id = std::string(exchange->target.endpoint->codec->id_prefix()) + env_.random_hex(12);
  exchange->last_write = env_.now();
  if (exchange->request.stream && !exchange->target.endpoint->codec->ping().empty()) {
    watch(exchange, options_.ping_interval);
  }
  exchange->stop_clock = schedule_.after(options_.answer_time_max, [this, weak = std::weak_ptr(exchange)] {
    const std::shared_ptr<Exchange> alive = weak.lock();
    if (alive && !alive->is_done) fail(alive, Error{Code::kTimeout, "The answer took too long.", {}});
  });
  attempt(exchange);
  return Verdict::kHold;
}

void Dispatch::attempt(const std::shared_ptr<Exchange>& exchange) {
  const int attempt = ++exchange->attempt;
  exchange->answer.emplace(wire::count_choices(exchange->request));
  exchange->encoder.reset();
  // The relay lives as long as the engine wants it; what it delivers to may be gone by then.
  auto relay = std::make_shared<Relay>(
      schedule_, [this, attempt, weak = std::weak_ptr(exchange)](std::vector<RelayItem> items) {
        const std::shared_ptr<Exchange> alive = weak.lock();
        if (alive && !alive->is_done && alive->attempt == attempt) deliver(alive, std::move(items));
      });
  local_.answer(provider::Inquiry{exchange->plan.candidates[exchange->candidate].model, exchange->request,
                                  std::move(relay), exchange->cancel});
}

void Dispatch::deliver(const std::shared_ptr<Exchange>& exchange, std::vector<RelayItem> items) {
  std::string out;
  for (RelayItem& item : items) {
    if (auto* origin = std::get_if<provider::Origin>(&item)) {
      exchange->fingerprint = std::move(origin->fingerprint);
      continue;
    }
    const auto& event = std::get<chat::Event>(item);
    if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      write(*exchange, std::move(out));
      fail_over(exchange, failed->error);
      return;
    }
    take(*exchange, event, out);
    if (exchange->answer->is_complete()) {
      write(*exchange, std::move(out));
      complete(exchange);
      return;
    }
  }
  write(*exchange, std::move(out));
}

void Dispatch::take(Exchange& exchange, const chat::Event& event, std::string& out) {
  exchange.answer->add(event);
  if (std::holds_alternative<chat::TextDelta>(event)) {
    exchange.last_token = env_.now();
    if (exchange.first_token.count() == 0) exchange.first_token = exchange.last_token;
  }
  if (!exchange.request.stream) return;
  encode(exchange, event, out);
  exchange.has_spoken = true;
}

void Dispatch::complete(const std::shared_ptr<Exchange>& exchange) {
  if (exchange->is_streaming) {
    exchange->call->end();
    over_(exchange, Ending::kStreamed);
    return;
  }
  reply_json(*exchange, exchange->target.endpoint->codec->encode_answer(exchange->request, *exchange->answer,
                                                                        identity(*exchange)));
  over_(exchange, Ending::kReplied);
}

void Dispatch::fail_over(const std::shared_ptr<Exchange>& exchange, const Error& error) {
  if (!exchange->has_spoken && is_worth_another(error.code) &&
      exchange->candidate + 1 < exchange->plan.candidates.size()) {
    ++exchange->candidate;
    attempt(exchange);
    return;
  }
  fail(exchange, error);
}

void Dispatch::fail(const std::shared_ptr<Exchange>& exchange, const Error& error) {
  if (!exchange->is_streaming) {
    refuse(*exchange, fault_of(*exchange, error));
    over_(exchange, Ending::kReplied);
    return;
  }
  // The status is gone; the error is the stream's last event, and no [DONE] follows it.
  std::string out;
  encode(*exchange, chat::Failed{error}, out);
  write(*exchange, std::move(out));
  exchange->call->end();
  over_(exchange, Ending::kCut);
}

void Dispatch::send_head(Exchange& exchange) {
  if (exchange.is_streaming) return;
  exchange.is_streaming = true;
  net::Headers headers{{"Content-Type", std::string(exchange.target.endpoint->codec->stream_content_type())},
                       {"X-Accel-Buffering", "no"}};
  add_common_headers(exchange, headers);
  exchange.call->begin_stream(200, std::move(headers));
}

void Dispatch::encode(Exchange& exchange, const chat::Event& event, std::string& out) {
  send_head(exchange);
  if (!exchange.encoder) {
    exchange.encoder =
        exchange.target.endpoint->codec->make_stream_encoder(exchange.request, identity(exchange));
  }
  exchange.encoder->encode(event, out);
}

wire::AnswerIdentity Dispatch::identity(const Exchange& exchange) {
  return {exchange.answer_id, env_.unix_time_ms() / 1000, exchange.request.model, exchange.fingerprint};
}

void Dispatch::write(Exchange& exchange, std::string bytes) {
  if (bytes.empty()) return;
  exchange.last_write = env_.now();
  exchange.call->write(std::move(bytes));
  if (exchange.call->queued_bytes() > options_.slow_bytes) exchange.is_slow = true;
}

void Dispatch::watch(const std::shared_ptr<Exchange>& exchange, std::chrono::milliseconds delay) {
  exchange->stop_pings = schedule_.after(delay, [this, weak = std::weak_ptr(exchange)] {
    const std::shared_ptr<Exchange> alive = weak.lock();
    if (alive && !alive->is_done) ping(alive);
  });
}

// Speaks only where nothing was said for the whole interval; else waits for the rest of it.
void Dispatch::ping(const std::shared_ptr<Exchange>& exchange) {
  const auto silent =
      std::chrono::duration_cast<std::chrono::milliseconds>(env_.now() - exchange->last_write);
  if (silent < options_.ping_interval) {
    watch(exchange, options_.ping_interval - silent);
    return;
  }
  send_head(*exchange);
  write(*exchange, std::string(exchange->target.endpoint->codec->ping()));
  watch(exchange, options_.ping_interval);
}

}  // namespace cresset::gateway
