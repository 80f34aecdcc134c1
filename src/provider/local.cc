#include "provider/local.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.h"

namespace cresset::provider {

namespace {

void fail_waiting(AnswerSink& sink, const Error& error) {
  sink.on_event(chat::Failed{error});
}

}  // namespace

// One model that is wanted, loading or loaded.
struct LocalEngines::Slot {
  enum class State { kWanted, kLoading, kLoaded };

  std::string name;
  State state = State::kWanted;
  std::shared_ptr<engine::Engine> engine;  // shared with counts that the porter still has to do
  std::deque<Waiting> waiting;
  uint64_t last_use = 0;
  // Jobs whose sinks the engine still holds: counted up on the loop, down where the engine lets go.
  std::shared_ptr<std::atomic<int>> jobs = std::make_shared<std::atomic<int>>(0);

  bool is_idle() const { return state == State::kLoaded && jobs->load(std::memory_order_acquire) == 0; }
};

// Passes events on and tells, when the engine has let go of it, that the job is over.
class LocalEngines::CountingSink final : public chat::EventSink {
 public:
  CountingSink(std::shared_ptr<AnswerSink> target, std::shared_ptr<std::atomic<int>> jobs,
               std::function<void()> over)
      : target_(std::move(target)), jobs_(std::move(jobs)), over_(std::move(over)) {
    jobs_->fetch_add(1, std::memory_order_relaxed);
  }
  ~CountingSink() override {
    if (jobs_->fetch_sub(1, std::memory_order_acq_rel) == 1) over_();
  }
  void on_event(chat::Event event) override { target_->on_event(std::move(event)); }

 private:
  const std::shared_ptr<AnswerSink> target_;
  const std::shared_ptr<std::atomic<int>> jobs_;
  const std::function<void()> over_;
};

LocalEngines::LocalEngines(Schedule& schedule, Porter& porter, ModelSource& source, Opener opener,
                           LocalOptions options, Log log)
    : schedule_(schedule),
      porter_(porter),
      source_(source),
      opener_(std::make_shared<const Opener>(std::move(opener))),
      options_(options),
      log_(std::move(log)),
      self_(std::make_shared<LocalEngines*>(this)) {}

LocalEngines::~LocalEngines() = default;

void LocalEngines::answer(Inquiry inquiry) {
  std::unique_ptr<Slot>& slot = slots_[inquiry.model];
  if (!slot) {
    slot = std::make_unique<Slot>();
    slot->name = inquiry.model;
  }
  start(*slot, Waiting{std::move(inquiry), nullptr});
}

void LocalEngines::preload(const std::string& name, std::function<void(Status)> done) {
  std::unique_ptr<Slot>& slot = slots_[name];
  if (!slot) {
    slot = std::make_unique<Slot>();
    slot->name = name;
  }
  start(*slot, Waiting{std::nullopt, std::move(done)});
}

void LocalEngines::count(const std::string& model, chat::Request request, Counted done) {
  auto asked = std::make_shared<const chat::Request>(std::move(request));
  preload(model, [this, model, asked, done = std::move(done)](const Status& loaded) {
    if (!loaded) return done(tl::unexpected(loaded.error()));
    const Status posted = porter_.post([engine = slots_[model]->engine, asked, done, &schedule = schedule_] {
      Result<std::vector<int32_t>> tokens = engine->prompt_tokens(*asked);
      schedule.post([done, tokens = std::move(tokens)] {
        tokens ? done(static_cast<int>(tokens->size())) : done(tl::unexpected(tokens.error()));
      });
    });
    if (!posted) done(tl::unexpected(posted.error()));
  });
}

void LocalEngines::start(Slot& slot, Waiting waiting) {
  slot.last_use = ++uses_;
  if (slot.state == Slot::State::kLoaded) {
    if (waiting.inquiry) {
      submit(slot, std::move(*waiting.inquiry));
    } else {
      waiting.done({});
    }
    return;
  }
  if (waiting_ >= options_.waiting_max) {
    const Error error{Code::kUnavailable, "Too many requests wait for a model to load; try again.", {}};
    if (slot.state == Slot::State::kWanted && slot.waiting.empty()) slots_.erase(std::string(slot.name));
    if (waiting.inquiry) {
      fail_waiting(*waiting.inquiry->sink, error);
    } else {
      waiting.done(tl::unexpected<Error>(error));
    }
    return;
  }
  slot.waiting.push_back(std::move(waiting));
  ++waiting_;
  pump();
}

void LocalEngines::submit(Slot& slot, Inquiry inquiry) {
  if (inquiry.cancel.is_cancelled()) {
    fail_waiting(*inquiry.sink, Error{Code::kCancelled, "The client left.", {}});
    return;
  }
  auto over = [&schedule = schedule_, weak = std::weak_ptr(self_)] {
    schedule.post([weak] {
      if (const auto self = weak.lock()) (*self)->pump();
    });
  };
  auto sink = std::make_shared<CountingSink>(inquiry.sink, slot.jobs, std::move(over));
  inquiry.sink->on_accepted(Origin{slot.engine->fingerprint()});
  const Status submitted = slot.engine->submit(engine::Job{
      std::move(inquiry.request), std::move(sink), std::move(inquiry.cancel), std::move(inquiry.hold)});
  if (!submitted) fail_waiting(*inquiry.sink, submitted.error());
}

// Starts the loads that there is room for: of the wanted models the one asked for first.
void LocalEngines::pump() {
  while (true) {
    Slot* next = nullptr;
    for (auto& [name, slot] : slots_) {
      if (slot->state != Slot::State::kWanted) continue;
      if (next == nullptr || slot->last_use < next->last_use) next = slot.get();
    }
    if (next == nullptr || !make_room()) return;
    load(*next);
  }
}

// True when one more model may be loaded, after unloading an idle one if need be.
bool LocalEngines::make_room() {
  size_t held = 0;
  Slot* oldest = nullptr;
  for (auto& [name, slot] : slots_) {
    if (slot->state == Slot::State::kWanted) continue;
    ++held;
    if (slot->is_idle() && (oldest == nullptr || slot->last_use < oldest->last_use)) oldest = slot.get();
  }
  if (held < std::max<size_t>(options_.loaded_max, 1)) return true;
  if (oldest == nullptr) return false;
  log_("unloading " + oldest->name + " to make room");
  std::shared_ptr<engine::Engine> engine = std::move(oldest->engine);
  slots_.erase(std::string(oldest->name));
  close(std::move(engine));
  return true;
}

// An engine's end joins its threads, so it happens on the porter; ahead of the next load, so that both never
// need memory at once.
void LocalEngines::close(std::shared_ptr<engine::Engine> engine) {
  // A full queue ends the engine here: slow, and still correct, since it is idle.
  static_cast<void>(porter_.post([engine = std::move(engine)]() mutable { engine.reset(); }));
}

void LocalEngines::load(Slot& slot) {
  slot.state = Slot::State::kLoading;
  log_("loading " + slot.name);
  auto work = [&schedule = schedule_, &source = source_, opener = opener_, name = slot.name,
               weak = std::weak_ptr(self_)] {
    Result<std::string> path = source.path_of(name);
    auto opened = std::make_shared<Result<std::unique_ptr<engine::Engine>>>(
        path ? (*opener)(*path) : tl::unexpected<Error>(std::move(path.error())));
    schedule.post([weak, name, opened] {
      if (const auto self = weak.lock()) (*self)->on_opened(name, std::move(*opened));
    });
  };
  if (Status posted = porter_.post(std::move(work)); !posted) {
    on_opened(slot.name, tl::unexpected<Error>(std::move(posted.error())));
  }
}

void LocalEngines::on_opened(const std::string& name, Result<std::unique_ptr<engine::Engine>> opened) {
  const auto found = slots_.find(name);
  CHECK(found != slots_.end());  // a slot that loads stays
  std::deque<Waiting> waiting = std::move(found->second->waiting);
  waiting_ -= waiting.size();
  if (!opened) {
    log_("cannot load " + name + ": " + opened.error().message());
    slots_.erase(found);  // the next request tries again
    for (Waiting& w : waiting) {
      if (w.inquiry) {
        fail_waiting(*w.inquiry->sink, opened.error());
      } else {
        w.done(tl::unexpected<Error>(opened.error()));
      }
    }
    pump();
    return;
  }
  Slot& slot = *found->second;
  slot.waiting.clear();
  slot.engine = std::move(*opened);
  slot.state = Slot::State::kLoaded;
  log_("loaded " + name);
  for (Waiting& w : waiting) {
    if (w.inquiry) {
      submit(slot, std::move(*w.inquiry));
    } else {
      w.done({});
    }
  }
  pump();
}

bool LocalEngines::is_loading() const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const auto& entry) { return entry.second->state != Slot::State::kLoaded; });
}

std::vector<LoadedModel> LocalEngines::loaded() const {
  std::vector<LoadedModel> out;
  for (const auto& [name, slot] : slots_) {
    if (slot->state == Slot::State::kLoaded) out.push_back({name, slot->engine->stats()});
  }
  return out;
}

}  // namespace cresset::provider
