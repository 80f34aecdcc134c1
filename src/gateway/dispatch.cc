#include "gateway/dispatch.h"

#include <algorithm>
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

// What a provider says is wrong with the request is wrong with it anywhere; its own troubles are not.
bool is_worth_another(const chat::Failed& failed) {
  if (!failed.is_remote)
    return is_worth_another(failed.error.code) || failed.error.code == Code::kUnsupported;
  return failed.status != 400 && failed.status != 413 && failed.status != 422;
}

double seconds(sys::Instant duration) {
  return std::chrono::duration<double>(duration).count();
}

wire::Fault fault_of(const Exchange& exchange, const chat::Failed& failed) {
  wire::Fault fault = wire::to_fault(failed);
  if (failed.error.code == Code::kLimit && !failed.is_remote)
    fault.param = exchange.request.is_chat() ? "messages" : "prompt";
  return fault;
}

}  // namespace

Dispatch::Dispatch(sys::Env& env, provider::Schedule& schedule, provider::Local& local,
                   provider::Remote& remote, Metrics& metrics, DispatchOptions options, Over over)
    : env_(env),
      schedule_(schedule),
      local_(local),
      remote_(remote),
      metrics_(metrics),
      options_(options),
      over_(std::move(over)) {}

Verdict Dispatch::start(const std::shared_ptr<Exchange>& exchange) {
  exchange->answer_id = std::string(exchange->target.endpoint->codec->id_prefix()) +
                        exchange->id.substr(kRequestIdPrefix.size());
  exchange->last_write = env_.now();
  exchange->choices_asked = exchange->request.choices;
  if (exchange->request.stream && !exchange->target.endpoint->codec->ping().empty()) {
    watch(exchange, options_.ping_interval);
  }
  exchange->stop_clock = schedule_.after(options_.answer_time_max, [this, weak = std::weak_ptr(exchange)] {
    const std::shared_ptr<Exchange> alive = weak.lock();
    if (alive && !alive->is_done)
      fail(alive, chat::Failed{{Code::kTimeout, "The answer took too long.", {}}});
  });
  attempt(exchange);
  return Verdict::kHold;
}

std::shared_ptr<Relay> Dispatch::make_relay(const std::shared_ptr<Exchange>& exchange) {
  // The relay lives as long as the answering side wants it; what it delivers to may be gone by then.
  return std::make_shared<Relay>(schedule_, [this, attempt = exchange->attempt,
                                             weak = std::weak_ptr(exchange)](std::vector<RelayItem> items) {
    const std::shared_ptr<Exchange> alive = weak.lock();
    if (alive && !alive->is_done && alive->attempt == attempt) deliver(alive, std::move(items));
  });
}

void Dispatch::attempt(const std::shared_ptr<Exchange>& exchange) {
  ++exchange->attempt;
  exchange->encoder.reset();
  exchange->held.reset();
  exchange->flow.reset();
  exchange->hold = {};
  exchange->origin = {};
  exchange->dropped.clear();
  exchange->is_paused = false;
  const Candidate& candidate = exchange->plan.candidates[exchange->candidate];
  exchange->series = &metrics_.of(candidate.counted_as());
  const int choices_max = candidate.is_local() ? exchange->choices_asked : candidate.remote->choices_max;
  exchange->request.choices = std::min(exchange->choices_asked, choices_max);
  exchange->answer.emplace(wire::count_choices(exchange->request));
  candidate.is_local() ? ask_own(exchange, candidate) : ask_remote(exchange, candidate);
}

void Dispatch::ask_own(const std::shared_ptr<Exchange>& exchange, const Candidate& candidate) {
  const wire::Checked ok = exchange->target.endpoint->codec->check_own(exchange->request);
  if (ok) {
    local_.answer(provider::Inquiry{candidate.model, exchange->request, make_relay(exchange),
                                    exchange->cancel, exchange->hold});
    return;
  }
  if (exchange->candidate + 1 < exchange->plan.candidates.size() && !exchange->has_spoken) {
    ++exchange->candidate;  // another may be able to
    attempt(exchange);
    return;
  }
  refuse(*exchange, ok.error());
  over_(exchange, Ending::kReplied);
}

void Dispatch::ask_remote(const std::shared_ptr<Exchange>& exchange, const Candidate& candidate) {
  provider::RemoteStart start = remote_.answer({candidate.remote->name, candidate.model, exchange->request,
                                                exchange->request.choices, make_relay(exchange)});
  exchange->flow = std::move(start.flow);
  exchange->dropped = std::move(start.dropped);
  if (exchange->choices_asked != exchange->request.choices)
    exchange->dropped += exchange->dropped.empty() ? "n" : ", n";
}

// Too much waits for the client: who answers waits too, until all of it has been taken or the time is up.
void Dispatch::hold_back(const std::shared_ptr<Exchange>& exchange) {
  if (exchange->is_paused || exchange->call->queued_bytes() <= options_.hold_bytes) return;
  exchange->is_paused = exchange->is_slow = true;
  exchange->hold.set(true);
  if (exchange->flow) exchange->flow->pause();
  exchange->stop_patience = schedule_.after(options_.hold_time_max, [this, weak = std::weak_ptr(exchange)] {
    const std::shared_ptr<Exchange> alive = weak.lock();
    if (!alive || alive->is_done || !alive->is_paused) return;
    alive->call->abort();
    over_(alive, Ending::kClientLeft);
  });
  exchange->call->on_drained([weak = std::weak_ptr(exchange)] {
    const std::shared_ptr<Exchange> alive = weak.lock();
    if (!alive || alive->is_done || !std::exchange(alive->is_paused, false)) return;
    alive->stop_patience();
    alive->hold.set(false);
    if (alive->flow) alive->flow->resume();
  });
}

void Dispatch::deliver(const std::shared_ptr<Exchange>& exchange, std::vector<RelayItem> items) {
  std::string out;
  for (RelayItem& item : items) {
    if (auto* origin = std::get_if<provider::Origin>(&item)) {
      exchange->origin = std::move(*origin);
      continue;
    }
    const auto& event = std::get<chat::Event>(item);
    if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      write(*exchange, std::move(out));
      fail_over(exchange, *failed);
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
  hold_back(exchange);
}

void Dispatch::take(Exchange& exchange, const chat::Event& event, std::string& out) {
  exchange.answer->add(event);
  observe(exchange, event);
  if (!exchange.request.stream) return;
  // Who has only begun may still be replaced by another.
  if (std::holds_alternative<chat::Started>(event)) {
    exchange.held = event;
    return;
  }
  exchange.has_spoken = true;
  if (exchange.held) encode(exchange, *std::exchange(exchange.held, std::nullopt), out);
  encode(exchange, event, out);
}

void Dispatch::observe(Exchange& exchange, const chat::Event& event) {
  if (const auto* started = std::get_if<chat::Started>(&event)) {
    if (started->queue_s >= 0) exchange.series->queue.observe(started->queue_s);
    return;
  }
  if (std::holds_alternative<chat::Finished>(event)) return;
  const sys::Instant now = env_.now();
  if (exchange.first_token.count() == 0) {
    exchange.first_token = now;
    exchange.series->first_token.observe(seconds(now - exchange.arrived));
  } else if (wire::count_choices(exchange.request) == 1) {
    exchange.series->gap.observe(seconds(now - exchange.last_token));
  }
  exchange.last_token = now;
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

void Dispatch::fail_over(const std::shared_ptr<Exchange>& exchange, const chat::Failed& failed) {
  if (!exchange->has_spoken && is_worth_another(failed) &&
      exchange->candidate + 1 < exchange->plan.candidates.size()) {
    ++exchange->candidate;
    attempt(exchange);
    return;
  }
  fail(exchange, failed);
}

void Dispatch::fail(const std::shared_ptr<Exchange>& exchange, const chat::Failed& failed) {
  if (!exchange->is_streaming) {
    refuse(*exchange, fault_of(*exchange, failed));
    over_(exchange, Ending::kReplied);
    return;
  }
  // The status is gone; the error is the stream's last event, and no [DONE] follows it.
  std::string out;
  encode(*exchange, failed, out);
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
  return {exchange.answer_id, env_.unix_time_ms() / 1000, exchange.request.model, exchange.origin.fingerprint,
          exchange.origin.dialect};
}

void Dispatch::write(Exchange& exchange, std::string bytes) {
  if (bytes.empty()) return;
  exchange.last_write = env_.now();
  exchange.call->write(std::move(bytes));
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
