// LocalEngines: the installed models behind Local. Loads a model on first use on the porter, lets requests
// for it wait meanwhile, keeps what is loaded, and unloads the least recently used idle model when another
// needs the room.
//
// Lives on the loop; engines are opened and closed on the porter, never on the loop and never on their own
// threads. Does not decide who may use what, nor what a name means.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "provider/provider.h"
#include "provider/threads.h"

namespace cresset::provider {

struct LocalOptions {
  size_t loaded_max = 1;     // models in memory at once
  size_t waiting_max = 512;  // requests that wait for a model; more are kUnavailable
};

class LocalEngines final : public Local {
 public:
  using Opener = std::function<Result<std::unique_ptr<engine::Engine>>(const std::string& path)>;
  using Log = std::function<void(const std::string& line)>;  // one line for the owner; never prompt text

  // All that is passed by reference outlives this. `porter` is this object's own: a load must not wait behind
  // others' work, nor theirs behind a load.
  LocalEngines(Schedule& schedule, Porter& porter, ModelSource& source, Opener opener, LocalOptions options,
               Log log);
  ~LocalEngines() override;

  void answer(Inquiry inquiry) override;
  // Loads a model before anyone asks; `done` on the loop. An error says why it cannot answer.
  void preload(const std::string& name, std::function<void(Status)> done);
  // Loads the model if need be; the counting is done on the porter.
  void count(const std::string& model, chat::Request request, Counted done) override;

  // A model is on its way into memory, or waits for room.
  bool is_loading() const override;
  std::vector<LoadedModel> loaded() const override;

 private:
  struct Slot;
  struct Waiting {
    std::optional<Inquiry> inquiry;    // a request, or
    std::function<void(Status)> done;  // a preload
  };
  class CountingSink;

  void start(Slot& slot, Waiting waiting);
  void submit(Slot& slot, Inquiry inquiry);
  void pump();
  bool make_room();
  void load(Slot& slot);
  void on_opened(const std::string& name, Result<std::unique_ptr<engine::Engine>> opened);
  void close(std::shared_ptr<engine::Engine> engine);

  Schedule& schedule_;
  Porter& porter_;
  ModelSource& source_;
  const std::shared_ptr<const Opener> opener_;
  const LocalOptions options_;
  const Log log_;
  std::map<std::string, std::unique_ptr<Slot>> slots_;
  size_t waiting_ = 0;
  uint64_t uses_ = 0;
  // Posted work holds this weakly: after the end of this object it does nothing.
  std::shared_ptr<LocalEngines*> self_;
};

}  // namespace cresset::provider
