// LocalEngines: the installed models behind Local. Loads a model on first use on the porter, lets requests
// for it wait meanwhile, keeps what is loaded, and unloads the least recently used idle model when another
// needs the room, or any that has been idle for keep_alive. A pinned model stays.
//
// Memory, by plan. A model needs its file's bytes for weights and a budget for keys and values; all that are
// loaded fit into memory_max together. One that does not fit waits while others that may be unloaded are
// busy; where it would not fit beside the pinned ones alone, it is refused with the numbers: nothing swaps.
//
// Lives on the loop; engines are opened and closed on the porter, never on the loop and never on their own
// threads. Does not decide who may use what, nor what a name means.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "provider/provider.h"
#include "provider/threads.h"
#include "sys/env.h"

namespace cresset::provider {

struct LocalOptions {
  size_t loaded_max = 1;                    // models in memory at once
  size_t waiting_max = 512;                 // requests that wait for a model; more are kUnavailable
  uint64_t memory_max = 0;                  // that all need together; 0: no limit
  uint64_t kv_bytes_max = 0;                // that each needs for keys and values
  std::chrono::milliseconds keep_alive{0};  // 0: idle models are unloaded only for others
  std::vector<std::string> pinned{};        // installed names, ":latest" may be left out
};

class LocalEngines final : public Local {
 public:
  using Opener = std::function<Result<std::unique_ptr<engine::Engine>>(const std::string& path)>;
  using Log = std::function<void(const std::string& line)>;  // one line for the owner; never prompt text

  // All that is passed by reference outlives this. `porter` is this object's own: a load must not wait behind
  // others' work, nor theirs behind a load.
  LocalEngines(sys::Env& env, Schedule& schedule, Porter& porter, ModelSource& source, Opener opener,
               LocalOptions options, Log log);
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
  enum class Room { kThere, kBusy, kNever };
  Slot& slot_of(const std::string& model);
  void pump();
  Room make_room(const Slot& next);
  void unload(Slot& slot, std::string_view why);
  void on_job_over(const std::string& model);
  void watch_idleness(Slot& slot);
  void fail_all(std::deque<Waiting> waiting, const chat::Failed& failed);
  Error no_room(const Slot& slot) const;
  int load_seconds(const Slot& slot) const;
  void load(Slot& slot);
  void on_opened(const std::string& name, Result<std::unique_ptr<engine::Engine>> opened);
  void close(std::shared_ptr<engine::Engine> engine);

  sys::Env& env_;
  Schedule& schedule_;
  Porter& porter_;
  ModelSource& source_;
  const std::shared_ptr<const Opener> opener_;
  const LocalOptions options_;
  const Log log_;
  std::map<std::string, std::unique_ptr<Slot>> slots_;
  size_t waiting_ = 0;
  uint64_t uses_ = 0;
  double load_bytes_s_ = 0;  // of the last load; 0: there was none
  // Posted work holds this weakly: after the end of this object it does nothing.
  std::shared_ptr<LocalEngines*> self_;
};

}  // namespace cresset::provider
