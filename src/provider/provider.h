// Provider: who answers. Local is the own engine's side: it may see a request as the client sent it. (A
// remote one will take only what the guard has cleaned, by type.)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/request.h"
#include "chat/stream.h"
#include "engine/engine.h"

namespace cresset::provider {

// What answers, known before the first event.
struct Origin {
  std::string fingerprint;  // changes when answers may
};

// Takes one answer: on_accepted once, then the events. Called on the provider's threads, one call at a time;
// returns at once. When nothing can answer, Failed comes without on_accepted.
class AnswerSink : public chat::EventSink {
 public:
  virtual void on_accepted(Origin origin) = 0;
};

struct Inquiry {
  std::string model;  // the installed name
  chat::Request request;
  std::shared_ptr<AnswerSink> sink;
  chat::CancelToken cancel;
};

struct LoadedModel {
  std::string name;
  engine::EngineStats stats;
};

class Local {
 public:
  virtual ~Local() = default;
  // All on the loop. Never blocks; every outcome arrives at the sink.
  virtual void answer(Inquiry inquiry) = 0;
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
