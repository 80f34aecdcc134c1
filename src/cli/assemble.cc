#include "cli/assemble.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "cli/self_check.h"
#include "cli/store_models.h"
#include "gateway/gateway.h"
#include "gateway/loop_schedule.h"
#include "net/client.h"
#include "net/loop.h"
#include "net/server.h"
#include "policy/principal.h"
#include "provider/catalogue.h"
#include "provider/local.h"
#include "provider/remote.h"

namespace cresset::cli {
namespace {

constexpr size_t kPorterQueueMax = 1024;
constexpr std::chrono::milliseconds kDrainTimeMax{30'000};
constexpr std::chrono::milliseconds kSelfCheckDelay{250};
// Of keys and values: what a burst of a dozen short chats takes with a small model.
constexpr uint64_t kReadyKvBytes = 48u << 20;

chat::Priority priority_of(const std::string& word) {
  if (word == "interactive") return chat::Priority::kInteractive;
  return word == "batch" ? chat::Priority::kBatch : chat::Priority::kNormal;
}

Result<policy::Keys> open_keys(Context& context) {
  std::vector<policy::KeyEntry> entries;
  for (const KeyEntry& key : context.config.keys) {
    CRESSET_TRY(secret, read_key_secret(key, context.env, context.environment));
    entries.push_back({key.name, std::move(secret), key.models, priority_of(key.priority)});
  }
  return policy::Keys::open(std::move(entries));
}

gateway::GatewayOptions gateway_options(const Config& config) {
  gateway::GatewayOptions options;
  options.hosts = config.hosts;
  options.version = CRESSET_VERSION;
  // An address that means "every one" is no name to be addressed by.
  const std::string& host = config.listen.host;
  if (host != "0.0.0.0" && host != "::")
    options.hosts.push_back(host.find(':') == std::string::npos ? host : "[" + host + "]");
  for (const AliasEntry& alias : config.aliases) options.aliases.push_back({alias.name, alias.candidates});
  return options;
}

provider::LocalOptions local_options(const Context& context) {
  const Config& config = context.config;
  const uint64_t total = context.parts.read_memory().total;
  provider::LocalOptions options;
  options.loaded_max = static_cast<size_t>(config.models_max);
  options.memory_max = config.memory_max > 0 ? static_cast<uint64_t>(config.memory_max) : total - total / 10;
  options.kv_bytes_max = engine::kv_budget(config.own_engine, total);
  options.keep_alive = std::chrono::seconds(config.keep_alive_s);
  for (const std::string& name : config.pinned)
    options.pinned.push_back(name.starts_with("local/") ? name.substr(6) : name);
  return options;
}

// The providers whose keys are there, with what the catalogue knows of their models.
Result<std::vector<provider::RemoteOptions>> remote_options(Context& context) {
  std::string text(provider::built_in_catalogue());
  if (!context.config.catalogue_file.empty()) {
    CRESSET_TRY(given, context.env.read_file(context.config.catalogue_file, provider::kCatalogueBytesMax));
    text = std::move(given);
  }
  CRESSET_TRY(catalogue, provider::parse_catalogue(text));
  std::vector<provider::RemoteOptions> out;
  for (const ProviderEntry& entry : context.config.providers) {
    Result<Secret> secret = read_provider_secret(entry, context.env, context.environment);
    if (!secret) {
      context.terminal.err("cresset: warning: " + printable(secret.error().message()) + "; it is not used\n");
      continue;
    }
    provider::RemoteOptions options;
    options.name = entry.name;
    for (const chat::Dialect dialect : {chat::Dialect::kOpenAiChat, chat::Dialect::kOpenAiResponses,
                                        chat::Dialect::kAnthropic, chat::Dialect::kGemini}) {
      if (to_string(dialect) == entry.dialect) options.dialect = dialect;
    }
    options.base_url = entry.base_url;
    if (!secret->empty()) options.secret = std::make_shared<const Secret>(std::move(*secret));
    options.is_engine = entry.is_engine;
    options.allow_plain = entry.allow_plain;
    options.ca_file = entry.ca_file;
    options.proxy = entry.proxy;
    options.connect_time_max = std::chrono::seconds(entry.connect_time_max_s);
    options.first_token_time_max = std::chrono::seconds(entry.first_token_time_max_s);
    options.stall_time_max = std::chrono::seconds(entry.stall_time_max_s);
    const auto models = catalogue.providers.find(entry.catalogue.empty() ? entry.name : entry.catalogue);
    if (models != catalogue.providers.end()) options.models = models->second;
    out.push_back(std::move(options));
  }
  return out;
}

std::string speed(double tok_s) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", tok_s);
  return text;
}

// Everything that serves, in the order in which it is made; it goes in the reverse one.
class House {
 public:
  House(Context& context, store::ModelStore& store)
      : context_(context),
        schedule_(loop_),
        models_(store, context.config.model_default),
        engines_(
            context.env, schedule_, *loader_, models_,
            [&context](const std::string& path) { return open_engine(context, path, kReadyKvBytes); },
            local_options(context),
            [&context](const std::string& line) { context.terminal.err(printable(line) + "\n"); }) {}

  Status open() {
    CRESSET_TRY(keys, open_keys(context_));
    CRESSET_TRY(remotes, remote_options(context_));
    CRESSET_TRY(remote, provider::RemoteProviders::open(*client_, std::move(remotes)));
    remote_ = std::move(remote);
    CRESSET_TRY(gateway,
                gateway::Gateway::open({context_.env, schedule_, *porter_, engines_, models_, *remote_},
                                       std::move(keys), gateway_options(context_.config)));
    gateway_ = gateway;
    net::ServerOptions options;
    options.host = context_.config.listen.host;
    options.port = context_.config.listen.port;
    options.tls_certificate_file = context_.config.tls_cert;
    options.tls_key_file = context_.config.tls_key;
    options.env = &context_.env;
    CRESSET_TRY(server, net::Server::open(loop_, options, [this](std::shared_ptr<net::Call> call) {
                  gateway_->handle(std::move(call));
                }));
    server_ = std::move(server);
    return {};
  }

  void run() {
    loop_.on_signal([this](int) { on_signal(); });
    loop_.post([this] { greet(); });
    models_.watch(schedule_, *porter_);
    loop_.run();
  }

 private:
  void say(const std::string& line) { context_.terminal.out(printable(line) + "\n"); }

  // A model that always stays is there before it is asked for.
  void load_pinned() {
    for (const std::string& name : local_options(context_).pinned) {
      for (const provider::InstalledModel& model : *models_.list()) {
        if (model.name == name || model.name == name + ":latest")
          engines_.preload(model.name, [](const Status&) {});
      }
    }
  }

  // Loads the default model; then requests are answered, whatever came of it.
  void greet() {
    const std::string name = models_.default_name();
    for (const provider::InstalledModel& model : *models_.list()) {
      if (model.name != name) continue;
      engines_.preload(name, [this, model](Status loaded) {
        be_ready();
        if (!loaded) {
          context_.terminal.err("cresset: " + printable(loaded.error().message()) + "\n");
          return say_ready();
        }
        // Who waited for the server goes first, and is proof enough: with them the check would be in their
        // way, and its speeds would not be this machine's.
        schedule_.after(kSelfCheckDelay, [this, model] {
          if (is_answering()) return say_ready();
          ask_itself(context_.env, schedule_, engines_, model,
                     [this](Result<Answer> answer) { on_answer(answer); });
        });
      });
      return;
    }
    say("no instruction model is installed; `cresset import FILE.gguf` or `cresset pull REF` brings one");
    be_ready();
    say_ready();
  }

  bool is_answering() const {
    const std::vector<provider::LoadedModel> loaded = engines_.loaded();
    return std::any_of(loaded.begin(), loaded.end(), [](const provider::LoadedModel& model) {
      return model.stats.running + model.stats.waiting > 0;
    });
  }

  void on_answer(const Result<Answer>& answer) {
    if (answer) {
      say("> " + std::string(kSelfCheckPrompt));
      say(answer->text);
      say("(prefill " + speed(answer->prefill_tok_s()) + " tokens/s, decode " +
          speed(answer->decode_tok_s()) + " tokens/s)\n");
    } else {
      context_.terminal.err("cresset: the model does not answer: " + printable(answer.error().message()) +
                            "\n");
    }
    say_ready();
  }

  void be_ready() {
    if (!is_draining_) gateway_->set_ready();
  }

  void say_ready() {
    if (is_draining_) return;
    Listen listen = context_.config.listen;
    listen.port = server_->port();
    const std::string name = models_.default_name();
    load_pinned();
    say("ready");
    say("  API      " + std::string(context_.config.tls_cert.empty() ? "http://" : "https://") +
        listen.text() + "/v1");
    say("  model    " + (name.empty() ? "none" : "local/" + name + "  (also as \"default\")"));
    say("  keys     " + std::string(context_.config.keys.empty() ? "none needed" : "needed"));
    std::string outside;
    for (const ProviderEntry& entry : context_.config.providers) {
      for (const provider::RemoteCard& card : remote_->cards()) {
        if (card.name == entry.name)
          outside += (outside.empty() ? "" : ", ") + entry.name + " at " + entry.base_url;
      }
    }
    say("  outside  " + (outside.empty() ? "nothing is configured that could leave this machine" : outside));
  }

  void on_signal() {
    if (is_draining_) {
      gateway_->cut_all();
      loop_.stop();
      return;
    }
    is_draining_ = true;
    context_.terminal.err("stopping: answers in flight may end; once more cuts them\n");
    gateway_->begin_drain();
    server_->drain(kDrainTimeMax, [this] {
      gateway_->cut_all();
      loop_.stop();
    });
  }

  Context& context_;
  net::Loop loop_;
  gateway::LoopSchedule schedule_;
  StoreModels models_;
  // Loading a model must not wait behind bodies and listings, nor they behind it.
  std::unique_ptr<provider::Porter> loader_ = provider::make_porter_thread(kPorterQueueMax);
  provider::LocalEngines engines_;
  std::unique_ptr<provider::Porter> porter_ = provider::make_porter_thread(kPorterQueueMax);
  std::unique_ptr<net::Client> client_ = net::Client::open(loop_);
  std::unique_ptr<provider::RemoteProviders> remote_;
  std::shared_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<net::Server> server_;
  bool is_draining_ = false;
};

}  // namespace

Result<int> serve(Context& context) {
  std::signal(SIGPIPE, SIG_IGN);  // a client that has gone is an error of its socket
  if (!context.config.providers.empty()) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);  // a core dump would hold the providers' keys
  }
  CRESSET_TRY(store, context.open_store());
  House house(context, *store);
  CRESSET_TRY_STATUS(house.open());
  house.run();
  return 0;
}

}  // namespace cresset::cli
