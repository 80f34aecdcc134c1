#include "gateway/gateway.h"

#include <set>
#include <utility>

#include "gateway/catalogue.h"
#include "wire/ollama.h"

namespace cresset::gateway {

namespace {

wire::Fault unavailable(std::string message) {
  wire::Fault fault;
  fault.code = Code::kUnavailable;
  fault.message = std::move(message);
  fault.reason = "unavailable";
  fault.retry_after_s = 1;
  return fault;
}

double seconds(sys::Instant duration) {
  return std::chrono::duration<double>(duration).count();
}

Stage next(Stage stage) {
  return static_cast<Stage>(static_cast<int>(stage) + 1);
}

}  // namespace

Result<std::shared_ptr<Gateway>> Gateway::open(const Ground& ground, policy::Keys keys,
                                               GatewayOptions options) {
  std::set<std::string> names;
  for (const Alias& alias : options.aliases) {
    const std::string where = "alias \"" + alias.name + "\"";
    if (alias.name.empty() || alias.name.find('/') != std::string::npos) {
      return fail(Code::kInvalid, "an alias needs a name, without '/'", where);
    }
    if (!names.insert(alias.name).second) return fail(Code::kInvalid, "this name appears twice", where);
    if (alias.candidates.empty()) return fail(Code::kInvalid, "no candidates", where);
  }
  return std::shared_ptr<Gateway>(new Gateway(ground, std::move(keys), std::move(options)));
}

Gateway::Gateway(const Ground& ground, policy::Keys keys, GatewayOptions options)
    : ground_(ground),
      options_(std::move(options)),
      admission_(std::move(keys), options_.hosts),
      dispatch_(ground_.env, ground_.schedule, ground_.local, ground_.remote, metrics_, options_.dispatch,
                [this](const std::shared_ptr<Exchange>& exchange, Ending ending) {
                  if (ending == Ending::kReplied) {
                    reply(exchange);
                  } else {
                    settle(exchange, ending);
                  }
                }) {}

Gateway::~Gateway() {
  cut_all();
}

void Gateway::handle(std::shared_ptr<net::Call> call) {
  auto exchange = std::make_shared<Exchange>();
  exchange->call = std::move(call);
  exchange->id = std::string(kRequestIdPrefix) + ground_.env.random_hex(12);
  exchange->arrived = ground_.env.now();
  exchanges_.insert(exchange);
  exchange->call->on_closed([self = weak_from_this(), weak = std::weak_ptr(exchange)] {
    const auto gateway = self.lock();
    const auto alive = weak.lock();
    if (gateway && alive && !alive->is_done) gateway->settle(alive, Ending::kClientLeft);
  });
  advance(exchange);
}

void Gateway::advance(const std::shared_ptr<Exchange>& exchange) {
  while (!exchange->is_done) {
    switch (run(exchange)) {
      case Verdict::kProceed:
        exchange->stage = next(exchange->stage);
        break;
      case Verdict::kReply:
        reply(exchange);
        return;
      case Verdict::kHold:
        return;
    }
  }
}

Verdict Gateway::run(const std::shared_ptr<Exchange>& exchange) {
  switch (exchange->stage) {
    case Stage::kFind:
      exchange->target = find_target(exchange->http());
      return Verdict::kProceed;
    case Stage::kAdmit: {
      const Verdict verdict = admission_.admit(*exchange);
      return verdict == Verdict::kProceed ? check_capacity(*exchange) : verdict;
    }
    case Stage::kDecode:
      return decode(exchange);
    case Stage::kRoute:
      return route(*exchange);
    case Stage::kAnswer:
      break;
  }
  return answer(exchange);
}

Verdict Gateway::check_capacity(Exchange& exchange) const {
  if (exchange.target.endpoint->task != Task::kAnswer) return Verdict::kProceed;
  if (is_draining_) return refuse(exchange, unavailable("The server is shutting down."));
  if (exchanges_.size() > options_.exchanges_max) {
    return refuse(exchange, unavailable("The server is busy with " + std::to_string(options_.exchanges_max) +
                                        " requests; try again."));
  }
  return Verdict::kProceed;
}

// The one body that is not a request: Ollama's question about a model.
Verdict Gateway::decode_name(Exchange& exchange) const {
  wire::Decoded<std::string> name = wire::decode_ollama_show(exchange.http().body);
  if (!name) return refuse(exchange, name.error());
  exchange.target.id = std::move(*name);
  return Verdict::kProceed;
}

Names Gateway::names() const {
  Names names = names_of(*ground_.models.list(), ground_.models.default_name(), options_.aliases);
  names.remotes = ground_.remote.cards();
  return names;
}

Verdict Gateway::decode(const std::shared_ptr<Exchange>& exchange) {
  const Task task = exchange->target.endpoint->task;
  if (task == Task::kShowModel && exchange->target.endpoint->method == "POST") return decode_name(*exchange);
  if (task != Task::kAnswer && task != Task::kCountTokens) return Verdict::kProceed;
  const wire::Codec& codec = *exchange->target.endpoint->codec;
  const std::string& body = exchange->http().body;
  if (body.size() <= options_.loop_body_bytes_max) return take_decoded(*exchange, codec.decode_request(body));
  // The porter reads the body where it lies: nobody writes to it. The exchange travels there and back in a
  // box, so that its last owner is never the porter.
  auto box = std::make_shared<std::shared_ptr<Exchange>>(exchange);
  const Status posted =
      ground_.porter.post([&codec, &body, box, self = weak_from_this(), &schedule = ground_.schedule] {
        auto decoded = std::make_shared<wire::Decoded<chat::Request>>(codec.decode_request(body));
        schedule.post([held = std::move(*box), decoded, self] {
          const auto gateway = self.lock();
          if (!gateway || held->is_done) return;
          if (gateway->take_decoded(*held, std::move(*decoded)) == Verdict::kReply) {
            gateway->reply(held);
            return;
          }
          held->stage = next(held->stage);
          gateway->advance(held);
        });
      });
  if (!posted) return refuse(*exchange, wire::to_fault(posted.error()));
  return Verdict::kHold;
}

Verdict Gateway::take_decoded(Exchange& exchange, wire::Decoded<chat::Request> decoded) {
  if (!decoded) return refuse(exchange, decoded.error());
  exchange.request = std::move(*decoded);
  exchange.request.tenant = exchange.principal->name;
  exchange.request.priority = exchange.principal->priority;
  const Endpoint& endpoint = *exchange.target.endpoint;
  if (!exchange.target.id.empty()) {  // of a dialect that says so in the address
    exchange.request.model = exchange.target.id;
    exchange.request.stream = endpoint.streams;
  }
  // What a client of a provider's own dialect asks for in headers goes along to it.
  if (endpoint.codec->dialect() == chat::Dialect::kAnthropic) {
    const std::string_view beta = net::find_header(exchange.http().headers, "anthropic-beta");
    if (!beta.empty()) exchange.request.headers.emplace_back("anthropic-beta", beta);
  }
  return Verdict::kProceed;
}

Verdict Gateway::route(Exchange& exchange) {
  const Task task = exchange.target.endpoint->task;
  if (task != Task::kAnswer && task != Task::kShowModel && task != Task::kCountTokens)
    return Verdict::kProceed;
  const std::string& model = task == Task::kShowModel ? exchange.target.id : exchange.request.model;
  const Names known = names();
  exchange.plan = make_plan(known, *exchange.principal, model, exchange.is_labelled);
  if (exchange.plan.candidates.empty()) {
    return refuse(exchange,
                  no_candidate(exchange.plan, model, !known.installed.empty() || !known.remotes.empty()));
  }
  return Verdict::kProceed;
}

Verdict Gateway::list(Exchange& exchange) {
  const auto installed = ground_.models.list();
  const std::vector<ListedModel> models = list_models(*installed, names(), *exchange.principal);
  return reply_json(exchange, encode_model_list(spoken_codec(exchange), models));
}

Verdict Gateway::show(Exchange& exchange) {
  const auto model = show_model(*ground_.models.list(), exchange.plan);
  if (!model) return refuse(exchange, no_candidate({}, exchange.target.id));
  return reply_json(exchange, encode_model(spoken_codec(exchange), *model));
}

// How long a prompt is for the own engine. A provider's count is its own affair: it is not guessed.
Verdict Gateway::count(const std::shared_ptr<Exchange>& exchange) {
  const wire::Codec& codec = *exchange->target.endpoint->codec;
  if (!exchange->plan.candidates[0].is_local()) {
    wire::Fault fault =
        wire::unsupported_parameter("model", "is a provider's, whose tokens this server cannot count.");
    fault.status = 501;
    return refuse(*exchange, fault);
  }
  if (wire::Checked ok = codec.check_own(exchange->request); !ok) return refuse(*exchange, ok.error());
  ground_.local.count(exchange->plan.candidates[0].model, exchange->request,
                      [self = weak_from_this(), exchange, &codec](Result<int> tokens) {
                        const auto gateway = self.lock();
                        if (!gateway || exchange->is_done) return;
                        if (!tokens) {
                          refuse(*exchange, wire::to_fault(tokens.error()));
                        } else if (codec.dialect() == chat::Dialect::kGemini) {
                          reply_json(*exchange, Json::object({{"totalTokens", *tokens}}).write());
                        } else {
                          reply_json(*exchange, Json::object({{"input_tokens", *tokens}}).write());
                        }
                        gateway->reply(exchange);
                      });
  return Verdict::kHold;
}

Verdict Gateway::answer(const std::shared_ptr<Exchange>& exchange) {
  switch (exchange->target.endpoint->task) {
    case Task::kAnswer:
      return dispatch_.start(exchange);
    case Task::kCountTokens:
      return count(exchange);
    case Task::kHealth:
      return reply_json(*exchange, R"({"status":"ok"})");
    case Task::kRoot:
      return reply_json(*exchange, R"({"name":"cresset"})");
    case Task::kReady:
      return answer_ready(*exchange);
    case Task::kListModels:
      return list(*exchange);
    case Task::kShowModel:
      return show(*exchange);
    case Task::kVersion:
      return reply_json(*exchange, wire::encode_ollama_version(options_.version));
    case Task::kLoaded: {
      std::vector<wire::OllamaModel> loaded;
      for (const provider::LoadedModel& model : ground_.local.loaded()) {
        for (const provider::InstalledModel& known : *ground_.models.list()) {
          if (known.name == model.name) loaded.push_back(ollama_model(known));
        }
      }
      return reply_json(*exchange, wire::encode_ollama_ps(loaded));
    }
    case Task::kNotBuilt: {
      wire::Fault fault = wire::unsupported_parameter(std::string(exchange->target.endpoint->path),
                                                      "is not built: this server has no embeddings yet.");
      fault.status = 501;
      return refuse(*exchange, fault);
    }
    case Task::kMetrics:
      break;
  }
  reply_json(*exchange, metrics_.write(ground_.local.loaded(), exchanges_.size()));
  exchange->response.headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}};
  return Verdict::kReply;
}

// Not ready while nothing could be answered soon: before the start is done, while the first model loads, and
// once the server drains. A server without models is ready: it answers, if only that there are none.
Verdict Gateway::answer_ready(Exchange& exchange) const {
  const bool is_loading = ground_.local.is_loading() && ground_.local.loaded().empty();
  const std::string state = is_draining_   ? "draining"
                            : !is_started_ ? "starting"
                            : is_loading   ? "loading"
                                           : "ready";
  reply_json(exchange, Json::object({{"status", state}}).write());
  if (state != "ready") {
    exchange.response.status = 503;
    exchange.response.headers.emplace_back("Retry-After", "1");
  }
  return Verdict::kReply;
}

void Gateway::reply(const std::shared_ptr<Exchange>& exchange) {
  add_common_headers(*exchange, exchange->response.headers);
  const int status = exchange->response.status;
  exchange->call->reply(std::move(exchange->response));
  exchange->response.status = status;
  settle(exchange, Ending::kReplied);
}

void Gateway::settle(const std::shared_ptr<Exchange>& exchange, Ending ending) {
  if (exchange->is_done) return;
  exchange->is_done = true;
  exchange->cancel.cancel();
  exchange->flow.reset();
  if (exchange->stop_pings) exchange->stop_pings();
  if (exchange->stop_clock) exchange->stop_clock();
  if (exchange->stop_patience) exchange->stop_patience();
  const Endpoint* endpoint = exchange->target.endpoint;
  const int status = ending == Ending::kClientLeft ? 499 : exchange->response.status;
  metrics_.count_request(endpoint != nullptr ? endpoint->path : "other", status);
  if (exchange->is_slow) metrics_.count_slow_client();
  if (exchange->attempt > 0) record_answer(*exchange, ending);
  exchanges_.erase(exchange);
}

void Gateway::record_answer(const Exchange& exchange, Ending ending) {
  AnswerRecord record;
  const Candidate& candidate = exchange.plan.candidates[exchange.candidate];
  record.model = candidate.counted_as();
  record.usage = exchange.answer->usage();
  record.duration_s = seconds(ground_.env.now() - exchange.arrived);
  const bool has_tokens = exchange.first_token.count() != 0;
  if (has_tokens && record.usage.completion_tokens > 1) {
    record.per_token_s =
        seconds(exchange.last_token - exchange.first_token) / (record.usage.completion_tokens - 1);
  }
  record.reason = "error";
  if (ending == Ending::kClientLeft) record.reason = "abort";
  if (exchange.answer->is_complete()) {
    record.reason = "stop";
    for (const wire::Choice& choice : exchange.answer->choices()) {
      if (choice.reason == chat::FinishReason::kLength) record.reason = "length";
    }
  }
  metrics_.add(record);
}

void Gateway::cut_all() {
  const auto cut = std::move(exchanges_);
  exchanges_.clear();
  for (const std::shared_ptr<Exchange>& exchange : cut) {
    exchange->call->abort();
    settle(exchange, Ending::kCut);
  }
}

}  // namespace cresset::gateway
