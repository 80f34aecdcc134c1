#include "testing/gateway_bench.h"

#include <utility>

#include "base/check.h"

namespace cresset::testing {

namespace {

provider::InstalledModel installed(std::string name) {
  provider::InstalledModel model;
  model.name = std::move(name);
  model.created_unix_s = 1'600'000'000;
  model.card.architecture = "llama";
  model.card.context_length = 2048;
  return model;
}

}  // namespace

provider::RemoteStart FakeRemote::answer(const provider::RemoteInquiry& inquiry) {
  struct FakeFlow final : provider::Flow {
    explicit FakeFlow(std::shared_ptr<Asked> a) : asked(std::move(a)) {}
    void pause() override { ++asked->pauses; }
    void resume() override { ++asked->resumes; }
    std::shared_ptr<Asked> asked;
  };
  auto one = std::make_shared<Asked>(
      Asked{std::string(inquiry.provider), std::string(inquiry.model), inquiry.request, inquiry.sink, {}});
  auto flow = std::make_shared<FakeFlow>(one);
  one->flow = flow;
  asked.push_back(std::move(one));
  return {std::move(flow), "lost"};
}

GatewayBench::GatewayBench(bool is_started, std::vector<policy::KeyEntry> keys) {
  models.models = std::make_shared<const std::vector<provider::InstalledModel>>(
      std::vector<provider::InstalledModel>{installed("small:latest"), installed("other:latest")});
  models.default_model = "small:latest";
  engines = std::make_unique<provider::LocalEngines>(
      env, schedule, loader, models,
      [state = state](const std::string&) -> Result<std::unique_ptr<engine::Engine>> {
        return std::make_unique<FakeEngine>(state);
      },
      provider::LocalOptions{.loaded_max = 2, .waiting_max = 512},
      [this](const std::string& line) { log.push_back(line); });
  auto opened_keys = policy::Keys::open(std::move(keys));
  CHECK(opened_keys.has_value());
  gateway::GatewayOptions options;
  options.hosts = {"Box.example", "fd00::7"};
  options.aliases = {{"auto", {"nobody/model", "small"}},
                     {"pair", {"local/small", "local/other"}},
                     {"up", {"local/small", "lab/big-1"}}};
  auto opened = gateway::Gateway::open({env, schedule, decoder, *engines, models, remote},
                                       std::move(*opened_keys), std::move(options));
  CHECK(opened.has_value());
  gateway = std::move(*opened);
  if (is_started) gateway->set_ready();
}

bool GatewayBench::open_with(gateway::GatewayOptions options) {
  return gateway::Gateway::open({env, schedule, decoder, *engines, models, remote}, policy::Keys(),
                                std::move(options))
      .has_value();
}

std::shared_ptr<FakeCall> GatewayBench::send(std::string method, std::string target, std::string body,
                                             net::Headers headers) {
  auto call = std::make_shared<FakeCall>(
      make_http(std::move(method), std::move(target), std::move(body), std::move(headers)));
  gateway->handle(call);
  return call;
}

std::shared_ptr<FakeCall> GatewayBench::post(std::string target, std::string body, net::Headers headers) {
  return send("POST", std::move(target), std::move(body), std::move(headers));
}

std::shared_ptr<FakeCall> GatewayBench::get(std::string target, net::Headers headers) {
  return send("GET", std::move(target), {}, std::move(headers));
}

std::shared_ptr<FakeCall> GatewayBench::head(std::string target) {
  return send("HEAD", std::move(target));
}

void GatewayBench::settle() {
  while (schedule.run() + decoder.run() + loader.run() > 0) {
  }
}

}  // namespace cresset::testing
