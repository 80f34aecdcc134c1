#include "provider/local.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>

#include "testing/fake_engine.h"
#include "testing/gateway_bench.h"
#include "testing/hand_clock.h"

namespace cresset::provider {
namespace {

using testing::FakeEngine;
using testing::FakeEngineState;

struct RecordingSink final : AnswerSink {
  void on_accepted(Origin o) override { origin = o.fingerprint; }
  void on_event(chat::Event event) override { events.push_back(std::move(event)); }
  Code code() const {
    return events.empty() || !std::holds_alternative<chat::Failed>(events.back())
               ? Code::kExists
               : std::get<chat::Failed>(events.back()).error.code;
  }
  std::string origin;
  std::vector<chat::Event> events;
};

// Engines by path, on a hand clock; `loads` counts opens.
class LocalBench {
 public:
  explicit LocalBench(LocalOptions options) {
    engines = std::make_unique<LocalEngines>(
        env, schedule, porter, models,
        [this](const std::string& path) -> Result<std::unique_ptr<engine::Engine>> {
          ++loads;
          most_open = std::max(most_open, count_open() + 1);
          if (path == "/models/broken") return fail(Code::kCorrupt, "tensor 7 overlaps tensor 8", path);
          states[path] = std::make_shared<FakeEngineState>();
          return std::make_unique<FakeEngine>(states[path], "fp " + path);
        },
        options, [this](const std::string& line) { log.push_back(line); });
  }

  std::shared_ptr<RecordingSink> ask(const std::string& model, chat::CancelToken cancel = {}) {
    auto sink = std::make_shared<RecordingSink>();
    engines->answer({model, {}, sink, std::move(cancel)});
    return sink;
  }
  // Installed models with files of so many GiB.
  void install(const std::vector<std::pair<std::string, double>>& sizes) {
    std::vector<InstalledModel> installed;
    for (const auto& [name, gib] : sizes) {
      InstalledModel model;
      model.name = name;
      model.card.file_bytes = static_cast<uint64_t>(gib * (1u << 30));
      installed.push_back(std::move(model));
    }
    models.models = std::make_shared<const std::vector<InstalledModel>>(std::move(installed));
  }
  bool has(const std::string& model) const {
    for (const LoadedModel& loaded : engines->loaded()) {
      if (loaded.name == model) return true;
    }
    return false;
  }
  void settle() {
    while (schedule.run() + porter.run() > 0) {
    }
  }
  FakeEngineState& state(const std::string& model) { return *states.at("/models/" + model); }
  // The engine lets go of all its jobs.
  void end_jobs(const std::string& model) { state(model).jobs.clear(); }
  int count_open() const {
    return static_cast<int>(
        std::count_if(states.begin(), states.end(), [](const auto& s) { return !s.second->is_closed; }));
  }

  testing::HandEnv env;
  testing::HandSchedule schedule{env};
  testing::HandPorter porter;
  testing::FakeModels models;
  std::map<std::string, std::shared_ptr<FakeEngineState>> states;
  std::vector<std::string> log;
  int loads = 0, most_open = 0;
  std::unique_ptr<LocalEngines> engines;
};

TEST(LocalEngines, LoadsOnceForAllWhoWait) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 8});
  auto a = bench.ask("m"), b = bench.ask("m");
  EXPECT_TRUE(bench.engines->is_loading());
  bench.settle();
  EXPECT_FALSE(bench.engines->is_loading());
  EXPECT_EQ(bench.loads, 1);
  EXPECT_EQ(bench.state("m").jobs.size(), 2u);
  EXPECT_EQ(a->origin, "fp /models/m");
  bench.ask("m");
  EXPECT_EQ(bench.state("m").jobs.size(), 3u) << "a loaded model answers at once";
  EXPECT_EQ(bench.engines->loaded().at(0).name, "m");
}

TEST(LocalEngines, UnloadsTheLeastRecentlyUsedIdleModel) {
  LocalBench bench({.loaded_max = 2, .waiting_max = 8});
  bench.ask("a");
  bench.settle();
  bench.ask("b");
  bench.settle();
  bench.end_jobs("a");
  bench.end_jobs("b");
  bench.ask("a");
  bench.end_jobs("a");
  bench.ask("c");
  bench.settle();
  EXPECT_TRUE(bench.state("b").is_closed);
  EXPECT_FALSE(bench.state("a").is_closed);
  EXPECT_FALSE(bench.state("c").is_closed);
  EXPECT_EQ(bench.most_open, 2) << "one is closed before the next is opened";
}

TEST(LocalEngines, ABusyModelIsNotUnloadedTheOtherWaits) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 8});
  bench.ask("a");
  bench.settle();
  auto waiting = bench.ask("b");
  bench.settle();
  EXPECT_FALSE(bench.state("a").is_closed);
  EXPECT_EQ(bench.loads, 1);
  bench.end_jobs("a");
  bench.settle();
  EXPECT_TRUE(bench.state("a").is_closed);
  EXPECT_EQ(bench.state("b").jobs.size(), 1u);
  EXPECT_EQ(waiting->origin, "fp /models/b");
}

TEST(LocalEngines, ABrokenModelFailsItsRequestsAndIsTriedAgain) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 8});
  auto a = bench.ask("broken"), b = bench.ask("broken");
  bench.settle();
  EXPECT_EQ(a->code(), Code::kCorrupt);
  EXPECT_EQ(b->code(), Code::kCorrupt);
  EXPECT_EQ(bench.loads, 1);
  bench.ask("broken");
  bench.settle();
  EXPECT_EQ(bench.loads, 2);
  EXPECT_NE(bench.log.back().find("tensor 7"), std::string::npos) << "the owner is told";
  bench.ask("good");
  bench.settle();
  EXPECT_EQ(bench.state("good").jobs.size(), 1u);
}

constexpr uint64_t kGiB = 1u << 30;

TEST(LocalEngines, ModelsAreLoadedBesideEachOtherAsMemoryAllows) {
  LocalBench bench({.loaded_max = 8, .memory_max = 4 * kGiB, .kv_bytes_max = kGiB / 2});
  bench.install({{"a", 1.0}, {"b", 1.0}, {"c", 1.5}});
  for (const char* name : {"a", "b"}) {
    bench.ask(name);
    bench.settle();
    bench.end_jobs(name);
    bench.settle();
  }
  EXPECT_TRUE(bench.has("a") && bench.has("b"));
  bench.ask("c");  // two of 1.5 GiB and one of 2 are too many
  bench.settle();
  EXPECT_FALSE(bench.has("a")) << "the least recently used";
  EXPECT_TRUE(bench.has("b") && bench.has("c"));
}

TEST(LocalEngines, WhatDoesNotFitBesidePinnedModelsIsRefusedWithTheNumbers) {
  LocalBench bench({.loaded_max = 8, .memory_max = 4 * kGiB, .kv_bytes_max = kGiB / 2, .pinned = {"p"}});
  bench.install({{"p:latest", 1.5}, {"a", 0.5}, {"big", 1.9}});
  for (const char* name : {"p:latest", "a"}) {
    bench.ask(name);
    bench.settle();
    bench.end_jobs(name);
    bench.settle();
  }
  const auto refused = bench.ask("big");
  bench.settle();
  ASSERT_EQ(refused->code(), Code::kUnavailable);
  EXPECT_EQ(
      std::get<chat::Failed>(refused->events.back()).error.what,
      "big needs 1.9 GiB for weights and 0.5 GiB for keys and values; 1.0 GiB of 4.0 GiB is free; loaded: a "
      "(1.0 GiB), p:latest (2.0 GiB, pinned); lower own_engine.kv_bytes_max or raise own_engine.memory_max");
  EXPECT_TRUE(bench.has("a")) << "nothing was unloaded for it in vain";
  EXPECT_EQ(bench.loads, 2);
  bench.ask("a");
  EXPECT_EQ(bench.state("a").jobs.size(), 1u);
}

TEST(LocalEngines, AModelThatFitsAloneWaitsForABusyOne) {
  LocalBench bench({.loaded_max = 8, .memory_max = 2 * kGiB});
  bench.install({{"a", 1.5}, {"b", 1.5}});
  bench.ask("a");
  bench.settle();
  const auto waits = bench.ask("b");
  bench.settle();
  EXPECT_TRUE(waits->events.empty());
  bench.end_jobs("a");
  bench.settle();
  EXPECT_EQ(bench.state("b").jobs.size(), 1u);
}

TEST(LocalEngines, AnIdleModelIsUnloadedAfterItsTimeAndAPinnedOneStays) {
  using std::chrono::seconds;
  LocalBench bench({.loaded_max = 8, .keep_alive = seconds(60), .pinned = {"p"}});
  for (const char* name : {"a", "p"}) {
    bench.ask(name);
    bench.settle();
    bench.end_jobs(name);
    bench.settle();
  }
  bench.schedule.advance(seconds(50));
  bench.ask("a");
  bench.schedule.advance(seconds(200));
  EXPECT_TRUE(bench.has("a")) << "it is busy";
  bench.end_jobs("a");
  bench.settle();
  bench.schedule.advance(seconds(59));
  EXPECT_TRUE(bench.has("a"));
  bench.engines->count("a", {}, [](Result<int>) {});
  bench.settle();
  bench.schedule.advance(seconds(2));
  EXPECT_TRUE(bench.has("a")) << "it was used a moment ago";
  bench.schedule.advance(seconds(60));
  bench.settle();
  EXPECT_FALSE(bench.has("a"));
  EXPECT_TRUE(bench.state("a").is_closed);
  EXPECT_TRUE(bench.has("p"));
}

TEST(LocalEngines, WhoFindsTheWaitingLineFullIsToldHowLongALoadTakes) {
  LocalBench bench({.loaded_max = 8, .waiting_max = 1});
  bench.install({{"a", 1.0}, {"b", 3.0}});
  bench.ask("a");
  bench.env.advance(std::chrono::seconds(2));
  bench.settle();
  const auto waits = bench.ask("b"), refused = bench.ask("b");
  ASSERT_EQ(refused->code(), Code::kUnavailable);
  EXPECT_EQ(std::get<chat::Failed>(refused->events.back()).retry_after_s, 6);
}

TEST(LocalEngines, WhoLeftWhileWaitingCostsNothing) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 8});
  chat::CancelToken cancel;
  auto gone = bench.ask("m", cancel);
  cancel.cancel();
  bench.settle();
  EXPECT_TRUE(bench.state("m").jobs.empty());
  EXPECT_EQ(gone->code(), Code::kCancelled);
}

TEST(LocalEngines, TheWaitingLineIsBounded) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 2});
  bench.ask("m");
  bench.ask("n");
  EXPECT_EQ(bench.ask("m")->code(), Code::kUnavailable);
  bench.settle();
  EXPECT_NE(bench.ask("m")->code(), Code::kUnavailable);
}

TEST(LocalEngines, ARefusedModelIsNotLoadedForNobody) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 1});
  bench.ask("m");
  EXPECT_EQ(bench.ask("other")->code(), Code::kUnavailable);
  bench.settle();
  bench.end_jobs("m");
  bench.settle();
  EXPECT_EQ(bench.loads, 1);
  EXPECT_FALSE(bench.engines->is_loading());
}

// Counting happens on the porter, whatever becomes of the engine before it is its turn.
TEST(LocalEngines, ACountKeepsItsEngine) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 2});
  std::vector<int> counted;
  const auto count = [&] {
    bench.engines->count("m", {}, [&](const Result<int>& tokens) { counted.push_back(tokens.value_or(-1)); });
  };
  count();
  bench.settle();
  count();
  EXPECT_EQ(counted.size(), 1u);
  bench.engines.reset();
  EXPECT_FALSE(bench.state("m").is_closed);
  bench.settle();
  EXPECT_EQ(counted.size(), 2u);
  EXPECT_TRUE(bench.state("m").is_closed);
}

TEST(LocalEngines, AnEngineThatRefusesAJobFailsIt) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 2});
  bench.ask("m");
  bench.settle();
  bench.state("m").submit_status = [] { return Status(fail(Code::kUnavailable, "the queue is full")); };
  EXPECT_EQ(bench.ask("m")->code(), Code::kUnavailable);
  bench.end_jobs("m");
  bench.ask("n");
  bench.settle();
  EXPECT_TRUE(bench.state("m").is_closed) << "a refused job does not keep a model busy";
}

TEST(LocalEngines, PreloadSaysHowItWent) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 2});
  std::vector<std::string> seen;
  const auto note = [&](Status s) { seen.push_back(s ? "ok" : s.error().what); };
  bench.engines->preload("broken", note);
  bench.settle();
  bench.engines->preload("m", note);
  bench.settle();
  bench.engines->preload("m", note);
  EXPECT_EQ(seen, (std::vector<std::string>{"tensor 7 overlaps tensor 8", "ok", "ok"}));
}

TEST(LocalEngines, WhatIsPostedAfterItsEndDoesNothing) {
  LocalBench bench({.loaded_max = 1, .waiting_max = 2});
  auto sink = bench.ask("m");
  bench.porter.run();
  bench.engines.reset();
  bench.schedule.run();
  EXPECT_TRUE(sink->events.empty());
  EXPECT_EQ(bench.count_open(), 0);
}

TEST(PorterThread, RunsInOrderOffTheCaller) {
  std::vector<int> order;
  std::promise<void> done;
  auto porter = make_porter_thread(16);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(porter->post([&order, i] { order.push_back(i); }));
  ASSERT_TRUE(porter->post([&done] { done.set_value(); }));
  done.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST(PorterThread, SaysWhenItsQueueIsFull) {
  std::promise<void> entered, release;
  auto porter = make_porter_thread(1);
  ASSERT_TRUE(porter->post([&] {
    entered.set_value();
    release.get_future().wait();
  }));
  entered.get_future().wait();
  EXPECT_TRUE(porter->post([] {}));
  EXPECT_EQ(porter->post([] {}).error().code, Code::kUnavailable);
  release.set_value();
}

}  // namespace
}  // namespace cresset::provider
