// GatewayBench: a whole Gateway on a bench: hand clock, fake engines, no sockets, no threads. Installed are
// "small:latest" (the default) and "other:latest"; aliases are "auto" (a remote model that is not there, then
// small), "pair" (small, then other) and "up" (small, then the provider lab's big-1).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/gateway.h"
#include "provider/local.h"
#include "testing/fake_call.h"
#include "testing/fake_engine.h"
#include "testing/hand_clock.h"

namespace cresset::testing {

class FakeModels final : public provider::ModelSource {
 public:
  std::shared_ptr<const std::vector<provider::InstalledModel>> list() override { return models; }
  std::string default_name() override { return default_model; }
  Result<std::string> path_of(const std::string& name) override { return "/models/" + name; }

  std::shared_ptr<const std::vector<provider::InstalledModel>> models =
      std::make_shared<const std::vector<provider::InstalledModel>>();
  std::string default_model;
};

// Providers that answer nothing by themselves: the test plays them.
class FakeRemote final : public provider::Remote {
 public:
  struct Asked {
    std::string provider, model;
    chat::Request request;
    std::shared_ptr<provider::AnswerSink> sink;
    std::weak_ptr<provider::Flow> flow;
    int pauses = 0, resumes = 0;
  };
  provider::RemoteStart answer(const provider::RemoteInquiry& inquiry) override;
  const std::vector<provider::RemoteCard>& cards() const override { return cards_; }

  std::vector<std::shared_ptr<Asked>> asked;

 private:
  const std::vector<provider::RemoteCard> cards_{
      {"lab",
       false,
       chat::Dialect::kAnthropic,
       1,
       {{"big-1", Json::object({{"price", 3}}), 512, 9000, false}}},
      {"gpu", true, chat::Dialect::kOpenAiChat, 8, {}}};
};

class GatewayBench {
 public:
  explicit GatewayBench(bool is_started = true, std::vector<policy::KeyEntry> keys = {});

  std::shared_ptr<FakeCall> send(std::string method, std::string target, std::string body = {},
                                 net::Headers headers = {});
  std::shared_ptr<FakeCall> post(std::string target, std::string body, net::Headers headers = {});
  std::shared_ptr<FakeCall> get(std::string target, net::Headers headers = {});
  std::shared_ptr<FakeCall> head(std::string target);

  // Runs loop and porters until nothing is left to do.
  void settle();
  const std::vector<std::shared_ptr<engine::Job>>& jobs() const { return state->jobs; }
  std::shared_ptr<engine::Job> job(size_t index) const { return state->jobs.at(index); }
  void say(size_t index, chat::Event event) { job(index)->sink->on_event(std::move(event)); }
  void say_last(chat::Event event) { say(jobs().size() - 1, std::move(event)); }

  bool open_with(gateway::GatewayOptions options);

  HandEnv env;
  HandSchedule schedule{env};
  HandPorter decoder, loader;
  FakeModels models;
  FakeRemote remote;
  std::shared_ptr<FakeEngineState> state = std::make_shared<FakeEngineState>();
  std::vector<std::string> log;
  std::unique_ptr<provider::LocalEngines> engines;
  std::shared_ptr<gateway::Gateway> gateway;
};

}  // namespace cresset::testing
