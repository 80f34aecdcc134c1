#include "provider/local.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/check.h"

namespace cresset::provider {

namespace {

void fail_waiting(AnswerSink& sink, const Error& error) {
  sink.on_event(chat::Failed{error});
}

std::string gib(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1u << 30));
  return text;
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
  uint64_t weights_bytes = 0, kv_bytes = 0;  // planned; of weights then what they are
  bool is_pinned = false;
  sys::Instant load_begun{};
  std::function<void()> stop_idling;  // of the timer that unloads it
  // Jobs whose sinks the engine still holds: counted up on the loop, down where the engine lets go.
  std::shared_ptr<std::atomic<int>> jobs = std::make_shared<std::atomic<int>>(0);

  uint64_t bytes() const { return weights_bytes + kv_bytes; }
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

LocalEngines::LocalEngines(sys::Env& env, Schedule& schedule, Porter& porter, ModelSource& source,
                           Opener opener, LocalOptions options, Log log)
    : env_(env),
      schedule_(schedule),
      porter_(porter),
      source_(source),
      opener_(std::make_shared<const Opener>(std::move(opener))),
      options_(std::move(options)),
      log_(std::move(log)),
      self_(std::make_shared<LocalEngines*>(this)) {}

LocalEngines::~LocalEngines() = default;

void LocalEngines::answer(Inquiry inquiry) {
  Slot& slot = slot_of(inquiry.model);
  start(slot, Waiting{std::move(inquiry), nullptr});
}

void LocalEngines::preload(const std::string& name, std::function<void(Status)> done) {
  start(slot_of(name), Waiting{std::nullopt, std::move(done)});
}

LocalEngines::Slot& LocalEngines::slot_of(const std::string& model) {
  std::unique_ptr<Slot>& slot = slots_[model];
  if (slot) return *slot;
  slot = std::make_unique<Slot>();
  slot->name = model;
  slot->kv_bytes = options_.kv_bytes_max;
  slot->is_pinned = std::any_of(options_.pinned.begin(), options_.pinned.end(), [&](const std::string& name) {
    return name == model || name + ":latest" == model;
  });
  for (const InstalledModel& installed : *source_.list()) {
    if (installed.name == model) slot->weights_bytes = installed.card.file_bytes;
  }
  return *slot;
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
    chat::Failed failed;
    failed.retry_after_s = load_seconds(slot);
    failed.error = {Code::kUnavailable,
                    std::to_string(waiting_) + " requests wait for models to load; try again in " +
                        std::to_string(failed.retry_after_s) + " s",
                    {}};
    if (slot.state == Slot::State::kWanted && slot.waiting.empty()) slots_.erase(std::string(slot.name));
    std::deque<Waiting> refused;
    refused.push_back(std::move(waiting));
    fail_all(std::move(refused), failed);
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
  auto over = [&schedule = schedule_, weak = std::weak_ptr(self_), name = slot.name] {
    schedule.post([weak, name] {
      if (const auto self = weak.lock()) (*self)->on_job_over(name);
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
    if (next == nullptr) return;
    switch (make_room(*next)) {
      case Room::kBusy:
        return;  // and no other overtakes it
      case Room::kThere:
        load(*next);
        break;
      case Room::kNever: {
        const Error error = no_room(*next);
        log_("cannot load " + error.message());
        std::deque<Waiting> waiting = std::move(next->waiting);
        waiting_ -= waiting.size();
        slots_.erase(std::string(next->name));
        fail_all(std::move(waiting), chat::Failed{error});
        break;
      }
    }
  }
}

// Unloads idle models, the least recently used first, until this one may be loaded.
LocalEngines::Room LocalEngines::make_room(const Slot& next) {
  uint64_t pinned_bytes = next.bytes();
  size_t pinned = 1;
  for (const auto& [name, slot] : slots_) {
    if (slot.get() == &next || slot->state == Slot::State::kWanted || !slot->is_pinned) continue;
    pinned_bytes += slot->bytes();
    ++pinned;
  }
  const size_t loaded_max = std::max<size_t>(options_.loaded_max, 1);
  const auto fits = [&](size_t count, uint64_t bytes) {
    return count <= loaded_max && (options_.memory_max == 0 || bytes <= options_.memory_max);
  };
  if (!fits(pinned, pinned_bytes)) return Room::kNever;
  while (true) {
    size_t held = 1;
    uint64_t bytes = next.bytes();
    Slot* oldest = nullptr;
    for (auto& [name, slot] : slots_) {
      if (slot->state == Slot::State::kWanted) continue;
      ++held;
      bytes += slot->bytes();
      if (slot->is_idle() && !slot->is_pinned && (oldest == nullptr || slot->last_use < oldest->last_use))
        oldest = slot.get();
    }
    if (fits(held, bytes)) return Room::kThere;
    if (oldest == nullptr) return Room::kBusy;
    unload(*oldest, "to make room");
  }
}

Error LocalEngines::no_room(const Slot& slot) const {
  std::string loaded;
  uint64_t bytes = 0;
  for (const auto& [name, other] : slots_) {
    if (other->state == Slot::State::kWanted) continue;
    bytes += other->bytes();
    loaded += (loaded.empty() ? "; loaded: " : ", ") + name + " (" + gib(other->bytes()) +
              (other->is_pinned ? ", pinned)" : ")");
  }
  std::string what = "needs " + gib(slot.weights_bytes) + " for weights and " + gib(slot.kv_bytes) +
                     " for keys and values; ";
  if (options_.memory_max > 0) {
    what += gib(options_.memory_max - std::min(options_.memory_max, bytes)) + " of " +
            gib(options_.memory_max) + " is free" + loaded +
            "; lower own_engine.kv_bytes_max or raise own_engine.memory_max";
  } else {
    what += "at most " + std::to_string(options_.loaded_max) + " models are loaded at once" + loaded;
  }
  return {Code::kUnavailable, slot.name + " " + what, {}};
}

// What a load takes, as the last one went.
int LocalEngines::load_seconds(const Slot& slot) const {
  constexpr double kLongest_s = 600;
  if (load_bytes_s_ <= 0) return 1;
  return static_cast<int>(
      std::clamp(std::ceil(static_cast<double>(slot.weights_bytes) / load_bytes_s_), 1.0, kLongest_s));
}

void LocalEngines::on_job_over(const std::string& model) {
  pump();
  if (const auto found = slots_.find(model); found != slots_.end() && found->second->is_idle())
    watch_idleness(*found->second);
}

// A model that nobody has asked for anything for keep_alive is unloaded.
void LocalEngines::watch_idleness(Slot& slot) {
  if (slot.stop_idling) slot.stop_idling();
  if (options_.keep_alive.count() == 0 || slot.is_pinned) return;
  auto look = [weak = std::weak_ptr(self_), model = slot.name, use = slot.last_use] {
    const auto self = weak.lock();
    if (!self) return;
    const auto found = (*self)->slots_.find(model);
    if (found == (*self)->slots_.end() || !found->second->is_idle()) return;
    Slot& idle = *found->second;
    if (idle.last_use == use) {
      (*self)->unload(idle, "after idleness");
    } else {
      (*self)->watch_idleness(idle);
    }
  };
  slot.stop_idling = schedule_.after(options_.keep_alive, std::move(look));
}

void LocalEngines::unload(Slot& slot, std::string_view why) {
  log_("unloading " + slot.name + " " + std::string(why));
  if (slot.stop_idling) slot.stop_idling();
  std::shared_ptr<engine::Engine> engine = std::move(slot.engine);
  slots_.erase(std::string(slot.name));
  close(std::move(engine));
}

void LocalEngines::fail_all(std::deque<Waiting> waiting, const chat::Failed& failed) {
  for (Waiting& w : waiting) {
    if (w.inquiry) {
      w.inquiry->sink->on_event(failed);
    } else {
      w.done(tl::unexpected<Error>(failed.error));
    }
  }
}

// An engine's end joins its threads, so it happens on the porter; ahead of the next load, so that both never
// need memory at once.
void LocalEngines::close(std::shared_ptr<engine::Engine> engine) {
  // A full queue ends the engine here: slow, and still correct, since it is idle.
  static_cast<void>(porter_.post([engine = std::move(engine)]() mutable { engine.reset(); }));
}

void LocalEngines::load(Slot& slot) {
  slot.state = Slot::State::kLoading;
  slot.load_begun = env_.now();
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
    fail_all(std::move(waiting), chat::Failed{opened.error()});
    pump();
    return;
  }
  Slot& slot = *found->second;
  slot.waiting.clear();
  slot.engine = std::move(*opened);
  slot.state = Slot::State::kLoaded;
  const double took_s = std::chrono::duration<double>(env_.now() - slot.load_begun).count();
  if (took_s > 0) load_bytes_s_ = static_cast<double>(slot.weights_bytes) / took_s;
  if (const uint64_t bytes = slot.engine->stats().weights_bytes; bytes > 0) slot.weights_bytes = bytes;
  log_("loaded " + name);
  for (Waiting& w : waiting) {
    if (w.inquiry) {
      submit(slot, std::move(*w.inquiry));
    } else {
      w.done({});
    }
  }
  if (slot.is_idle()) watch_idleness(slot);
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
