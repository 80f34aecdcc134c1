// Provider: who answers. Local is the own engine's side: it may see a request as the client sent it. Remote
// is everyone else's. (It will take only what the guard has cleaned, by type.)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "chat/request.h"
#include "chat/stream.h"
#include "engine/engine.h"

namespace cresset::provider {

// What answers, known before the first event.
struct Origin {
  std::string fingerprint;                       // changes when answers may
  chat::Dialect dialect = chat::Dialect::kNone;  // of a provider: whose extras the events carry
  std::string request_id{};                      // the provider's name for this call
  std::vector<std::pair<std::string, std::string>>
      rate_limits{};  // its headers about what may still be asked
};

// Takes one answer: on_accepted once, then the events. Called on the provider's threads, one call at a time;
// returns at once. When nothing can answer, Failed comes without on_accepted.
class AnswerSink : public chat::EventSink {
 public:
  virtual void on_accepted(Origin origin) = 0;
  // Whoever answers on the loop may put these around what it says in one go: at the end all of it is
  // delivered at once, and not in the loop's next turn. On the loop.
  virtual void begin_turn() {}
  virtual void end_turn() {}
};

struct Inquiry {
  std::string model;  // the installed name
  chat::Request request;
  std::shared_ptr<AnswerSink> sink;
  chat::CancelToken cancel;
  chat::HoldToken hold{};
};

struct LoadedModel {
  std::string name;
  engine::EngineStats stats;
};

// The way back to whoever makes an answer, on the loop. Its end cancels the answer.
class Flow {
 public:
  virtual ~Flow() = default;
  virtual void pause() = 0;
  virtual void resume() = 0;
};

struct RemoteInquiry {
  std::string_view provider;
  std::string_view model;  // as the provider names it
  const chat::Request& request;
  int choices = 1;  // of the request's that are asked for
  std::shared_ptr<AnswerSink> sink;
};

struct RemoteStart {
  std::shared_ptr<Flow> flow;  // null: Failed is at the sink already
  std::string dropped;         // what the provider's dialect cannot be told, by name
};

// A model of a provider or an attached engine, from the catalogue.
struct RemoteModel {
  std::string id;  // as the provider names it
  Json facts;      // what /v1/models shows: window, prices, capabilities
  int answer_tokens_max = 0, context_length = 0;
  bool has_adaptive_thinking = false;
};
struct RemoteCard {
  std::string name;
  bool is_engine = false;  // [[engine]]: attached, not a lighthouse
  chat::Dialect dialect = chat::Dialect::kNone;
  int choices_max = 1;
  std::vector<RemoteModel> models;  // that the catalogue lists
};

class Remote {
 public:
  virtual ~Remote() = default;
  // All on the loop. Never blocks; every outcome arrives at the sink.
  virtual RemoteStart answer(const RemoteInquiry& inquiry) = 0;
  // In the order of the configuration; does not change.
  virtual const std::vector<RemoteCard>& cards() const = 0;
};

// The prompt's tokens, or why they cannot be counted.
using Counted = std::function<void(Result<int>)>;

class Local {
 public:
  virtual ~Local() = default;
  // All on the loop. Never blocks; every outcome arrives at the sink.
  virtual void answer(Inquiry inquiry) = 0;
  virtual void count(const std::string& model, chat::Request request, Counted done) = 0;
  virtual bool is_loading() const = 0;
  virtual std::vector<LoadedModel> loaded() const = 0;
};

struct InstalledModel {
  std::string name;  // "smollm2-135m:latest"
  int64_t created_unix_s = 0;
  engine::ModelCard card;
};

// What is installed. list() and default_name() answer at once from a snapshot, on the loop; path_of() may
// read the disk, on the porter.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  virtual std::shared_ptr<const std::vector<InstalledModel>> list() = 0;
  virtual std::string default_name() = 0;  // empty: none
  virtual Result<std::string> path_of(const std::string& name) = 0;
};

}  // namespace cresset::provider
