#include "provider/remote.h"

#include <algorithm>
#include <set>
#include <utility>

#include "wire/event_gate.h"
#include "wire/rate_limit.h"

namespace cresset::provider {

namespace {

const RemoteModel* find_model(const RemoteOptions& provider, std::string_view model) {
  for (const RemoteModel& known : provider.models) {
    if (known.id == model) return &known;
  }
  return nullptr;
}

// One answer on its way in. The client calls it; the flow that the gateway holds ends it.
class Incoming final : public net::Receiver {
 public:
  Incoming(const RemoteOptions& provider, const wire::Codec& codec, const RemoteInquiry& inquiry)
      : name_(provider.name),
        codec_(codec),
        is_stream_(inquiry.request.stream),
        sink_(inquiry.sink),
        gate_(inquiry.choices) {
    // What the decoders need to know of the question.
    asked_.choices = inquiry.choices;
    asked_.logprobs = inquiry.request.logprobs;
    asked_.tools = inquiry.request.tools;
  }

  void on_head(int status, const net::Headers& headers) override {
    status_ = status;
    for (const char* name : {"x-request-id", "request-id", "x-goog-request-id"}) {
      if (request_id_.empty()) request_id_ = net::find_header(headers, name).substr(0, 128);
    }
    retry_after_s_ = wire::read_retry_after_s(headers);
    if (status != 200) return;
    sink_->on_accepted({{}, codec_.dialect(), request_id_, wire::pick_rate_limits(headers)});
    // Some servers ignore the wish for a stream.
    const bool is_json = net::find_header(headers, "Content-Type").starts_with("application/json");
    if (is_stream_ && !is_json) decoder_ = codec_.make_stream_decoder(asked_);
  }

  void on_bytes(std::string_view bytes) override {
    if (is_over_) return;
    if (decoder_ == nullptr) {
      if (body_.size() + bytes.size() > RemoteProviders::kAnswerBytesMax)
        return fail_with({Code::kLimit, "the provider's answer is too long", {}});
      body_ += bytes;
      return;
    }
    events_.clear();
    const Status read = decoder_->feed(bytes, events_);
    pass(events_);
    if (!read) fail_with(read.error());
  }

  void begin_turn() override { sink_->begin_turn(); }
  void end_turn() override { sink_->end_turn(); }

  void on_end(Status status) override {
    if (is_over_) return;
    if (!status) return fail_with(status.error());
    if (status_ != 200) return refuse();
    events_.clear();
    if (decoder_ != nullptr) {
      const Status ended = decoder_->end(events_);
      pass(events_);
      if (!ended) return fail_with(ended.error());
    } else {
      auto decoded = codec_.decode_answer(asked_, body_);
      if (!decoded) return fail_as({Code::kCorrupt, decoded.error().message, {}}, 502, "bad_gateway");
      pass(*decoded);
    }
    if (!is_over_) fail_with({Code::kUnavailable, "the provider's answer has no end", {}});
  }

 private:
  void pass(std::vector<chat::Event>& events) {
    for (chat::Event& event : events) {
      if (is_over_) return;
      if (auto* failed = std::get_if<chat::Failed>(&event)) return fail(std::move(*failed));
      if (const Status ok = gate_.check(event); !ok) return fail_with(ok.error());
      is_over_ = gate_.is_complete();
      sink_->on_event(std::move(event));
    }
  }

  // An answer with another status than 200.
  void refuse() {
    chat::Failed failed = codec_.decode_error(status_, body_);
    if (status_ >= 300 && status_ < 400)
      failed.error.what =
          "The provider redirects, and redirects are not followed: its base_url may be wrong.";
    fail(std::move(failed));
  }

  void fail_with(const Error& error) {
    const int status = error.code == Code::kTimeout ? 504 : error.code == Code::kUnavailable ? 503 : 502;
    fail_as(error, status, error.code == Code::kTimeout ? "timeout" : "bad_gateway");
  }
  void fail_as(const Error& error, int status, std::string kind) {
    chat::Failed failed;
    failed.error = error;
    failed.status = status;
    failed.kind = std::move(kind);
    failed.is_remote = true;
    fail(std::move(failed));
  }

  void fail(chat::Failed failed) {
    if (std::exchange(is_over_, true)) return;
    failed.error.what = name_ + ": " + failed.error.what;
    if (!request_id_.empty()) failed.error.what += " (request " + request_id_ + ")";
    if (failed.retry_after_s == 0) failed.retry_after_s = retry_after_s_;
    sink_->on_event(std::move(failed));
  }

  const std::string name_;
  const wire::Codec& codec_;
  const bool is_stream_;
  const std::shared_ptr<AnswerSink> sink_;
  chat::Request asked_;
  wire::EventGate gate_;
  std::unique_ptr<wire::StreamDecoder> decoder_;
  std::vector<chat::Event> events_;
  std::string body_, request_id_;
  int status_ = 0, retry_after_s_ = 0;
  bool is_over_ = false;
};

class ClientFlow final : public Flow {
 public:
  explicit ClientFlow(std::shared_ptr<net::ClientCall> call) : call_(std::move(call)) {}
  ~ClientFlow() override { call_->cancel(); }
  void pause() override { call_->pause(); }
  void resume() override { call_->resume(); }

 private:
  const std::shared_ptr<net::ClientCall> call_;
};

void add_secret(const RemoteOptions& provider, net::ClientRequest& request) {
  if (!provider.secret) return;
  request.secret = provider.secret;
  switch (provider.dialect) {
    case chat::Dialect::kAnthropic:
      request.secret_header = "x-api-key";
      return;
    case chat::Dialect::kGemini:
      request.secret_header = "x-goog-api-key";
      return;
    default:
      request.secret_header = "Authorization";
      request.secret_prefix = "Bearer ";
  }
}

}  // namespace

Result<std::unique_ptr<RemoteProviders>> RemoteProviders::open(net::Client& client,
                                                               std::vector<RemoteOptions> providers) {
  std::set<std::string> names;
  for (RemoteOptions& provider : providers) {
    const std::string where = "provider \"" + provider.name + "\"";
    if (provider.name.empty() || provider.name == "local" || provider.name.find('/') != std::string::npos)
      return fail(Code::kInvalid, "a provider needs a name, without '/' and not \"local\"", where);
    if (!names.insert(provider.name).second) return fail(Code::kInvalid, "this name appears twice", where);
    if (wire::find_provider_codec(provider.dialect) == nullptr)
      return fail(Code::kInvalid, "this dialect is not one of a provider's", where);
    while (provider.base_url.ends_with('/')) provider.base_url.pop_back();
    if (Status ok = net::check_client_url(provider.base_url, provider.allow_plain); !ok)
      return fail(ok.error().code, "base_url: " + ok.error().what, where);
  }
  return std::unique_ptr<RemoteProviders>(new RemoteProviders(client, std::move(providers)));
}

RemoteProviders::RemoteProviders(net::Client& client, std::vector<RemoteOptions> providers)
    : client_(client), providers_(std::move(providers)) {
  for (const RemoteOptions& p : providers_) {
    cards_.push_back(
        {p.name, p.is_engine, p.dialect, wire::find_provider_codec(p.dialect)->choices_max(), p.models});
  }
}

Outbound RemoteProviders::make_outbound(const RemoteOptions& provider, const RemoteInquiry& inquiry) {
  const wire::Codec& codec = *wire::find_provider_codec(provider.dialect);
  const chat::Request& request = inquiry.request;
  wire::Target target;
  target.model = inquiry.model;
  target.wants_usage = true;
  if (const RemoteModel* model = find_model(provider, inquiry.model)) {
    target.answer_tokens_max = model->answer_tokens_max;
    target.has_adaptive_thinking = model->has_adaptive_thinking;
  }
  wire::Dropped dropped;
  Outbound out;
  out.body = codec.encode_request(request, target, dropped);
  out.url = provider.base_url + codec.request_path(inquiry.model, request.stream);
  out.headers = {{"Content-Type", "application/json"},
                 {"Accept", request.stream ? "text/event-stream" : "application/json"}};
  if (provider.dialect == chat::Dialect::kAnthropic)
    out.headers.emplace_back("anthropic-version", "2023-06-01");
  for (const auto& [name, value] : request.headers) {
    if (request.dialect == provider.dialect) {
      out.headers.emplace_back(name, value);
    } else {
      dropped.add(name);
    }
  }
  out.dropped = dropped.text();
  return out;
}

RemoteStart RemoteProviders::answer(const RemoteInquiry& inquiry) {
  const auto found = std::find_if(providers_.begin(), providers_.end(),
                                  [&](const RemoteOptions& p) { return p.name == inquiry.provider; });
  const auto give_up = [&](Code code, std::string what) {
    chat::Failed failed;
    failed.error = {code, std::move(what), {}};
    inquiry.sink->on_event(std::move(failed));
    return RemoteStart{};
  };
  if (found == providers_.end()) return give_up(Code::kInternal, "no such provider");
  if (!inquiry.request.is_chat())
    return give_up(Code::kUnsupported, "Legacy completions are answered by this server's own models only.");
  const wire::Codec& codec = *wire::find_provider_codec(found->dialect);
  Outbound outbound = make_outbound(*found, inquiry);
  net::ClientRequest request;
  request.url = std::move(outbound.url);
  request.headers = std::move(outbound.headers);
  request.body = std::move(outbound.body);
  request.allow_plain = found->allow_plain;
  request.ca_file = found->ca_file;
  request.proxy = found->proxy;
  request.connect_time_max = found->connect_time_max;
  request.first_byte_time_max = found->first_token_time_max;
  request.stall_time_max = found->stall_time_max;
  add_secret(*found, request);
  auto call = client_.start(std::move(request), std::make_shared<Incoming>(*found, codec, inquiry));
  if (!call) return give_up(call.error().code, found->name + ": " + call.error().what);
  return {std::make_shared<ClientFlow>(std::move(*call)), std::move(outbound.dropped)};
}

}  // namespace cresset::provider
