// What a command gets: the parts of the world it may touch, the arguments, and the configuration. Passed,
// never ambient, so that a test gives a command a simulated disk, a fake engine and a captured terminal.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/args.h"
#include "cli/config.h"
#include "cli/terminal.h"
#include "engine/engine.h"
#include "net/fetch.h"
#include "store/models.h"
#include "sys/cpu.h"

namespace cresset::cli {

struct Context;

// The heavy parts, as main wires them.
struct Parts {
  std::function<Result<std::unique_ptr<engine::Engine>>(sys::Env&, const std::string& path,
                                                        const engine::EngineOptions&)>
      open_engine;
  std::function<Status(sys::Env&, const std::string& path, const engine::EngineOptions&)> keep_packed;
  std::function<Result<engine::ModelCard>(sys::Env&, const std::string& path)> read_card;
  std::function<Result<std::string>(engine::KernelKind)> kernel_name_for;
  std::function<Result<net::FetchResult>(
      const net::FetchOptions&, const std::function<Status(const net::FetchResult&)>&,
      const std::function<Status(std::string_view)>&, const std::function<bool()>&)>
      fetch;
  std::function<Result<int>(Context&)> serve;
  // Calls `work` for each Ctrl-C, on a thread of its own, until the result dies. Only one at a time.
  std::function<std::shared_ptr<void>(std::function<void()> work)> on_interrupt;
  sys::CpuFeatures cpu;
  std::function<sys::Memory()> read_memory;
};

struct Context {
  sys::Env& env;
  Terminal& terminal;
  const Parts& parts;
  const Environment& environment;
  Args args;
  Config config;
  std::vector<Error> config_errors;  // only `doctor` runs with any
  std::string data_directory;

  bool json() const { return args.has("--json"); }
  // `value` on a line of stdout.
  void print_json(const Json& value) { terminal.out(value.write() + "\n"); }
  Result<std::unique_ptr<store::ModelStore>> open_store() {
    return store::ModelStore::open(env, data_directory);
  }
};

// A model as the command line names it: an id, an alias, "default" (or empty), "local/NAME", a path in .gguf.
struct ModelFile {
  std::string id;  // "smollm2-135m-instruct", or the path
  std::string path;
};
Result<ModelFile> find_model(Context& context, const std::string& name);
// Whether the name means an installed model or a file, for `run MODEL PROMPT`.
bool names_model(Context& context, const std::string& name);
// `kv_bytes_ready`: see EngineOptions.
Result<std::unique_ptr<engine::Engine>> open_engine(Context& context, const std::string& path,
                                                    uint64_t kv_bytes_ready = 0);
// Lets the engine prepare a model that has just been installed for a quick first start. Nothing is said where
// that does not work: it will start all the same.
void prepare_model(Context& context, const store::ModelStore& store, const store::ModelRecord& record);

}  // namespace cresset::cli
