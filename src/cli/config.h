// Configuration: one TOML file, every key optional. Values come from the default, then the file, then the
// environment (CRESSET_SERVER_LISTEN for server.listen, and so on), then a flag; each remembers from where.
//
// Nothing is silently ignored: an unknown key, a wrong type and a section of a later version are errors, and
// all of them are reported together with their line. Secrets are never shown.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/secret.h"
#include "engine/engine.h"
#include "sys/env.h"

namespace cresset::cli {

// A variable of the process environment; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

struct Listen {
  std::string host = "127.0.0.1";  // without brackets
  uint16_t port = 7171;
  bool is_loopback() const;
  std::string text() const;  // "[::1]:7171"
};
Result<Listen> parse_listen(std::string_view text, std::string_view where);

struct KeyEntry {
  std::string name;
  std::string secret_env, secret_file;  // exactly one
  std::vector<std::string> models{"*"};
  std::string priority = "normal";  // "interactive", "normal", "batch"
  std::string where;                // "cresset.toml:7"
};

struct AliasEntry {
  std::string name;
  std::vector<std::string> candidates;
  std::string strategy = "ordered";
  std::string where;
};

// Someone else's models: a provider, or an attached engine.
struct ProviderEntry {
  std::string name;
  std::string dialect;  // "openai_chat", "openai_responses", "anthropic", "gemini"
  std::string base_url;
  std::string key_env, key_file;  // one of them, or none
  std::string region;             // where it computes, as its owner says
  std::string clearance;          // the highest label that may be sent there
  std::string catalogue;          // the section of the catalogue that lists its models; empty: its name
  std::string ca_file, proxy;
  bool allow_plain = false;  // http to another machine
  int64_t connect_time_max_s = 10, first_token_time_max_s = 600, stall_time_max_s = 120;
  bool is_engine = false;
  std::string where;
};

// One effective value, for `config show`.
struct Setting {
  std::string key;  // "server.listen"
  Json value;
  std::string origin;  // "default", "cresset.toml:3", "CRESSET_SERVER_LISTEN", "--listen"
};

struct Config {
  Listen listen;
  std::string tls_cert, tls_key;  // PEM files, as paths that open from here
  bool insecure = false;
  std::vector<std::string> hosts;  // more names that Host and Origin may have
  std::vector<KeyEntry> keys;
  std::vector<AliasEntry> aliases;
  std::vector<ProviderEntry> providers;  // in the order of the file, engines among them
  std::string catalogue_file;            // instead of the built-in one; empty: none
  std::string model_default;             // empty: the first imported instruction model
  engine::EngineOptions own_engine;
  bool packed_cache = true;  // own_engine.packed_cache
  // Of own_engine too: models in memory at once, what they may need together (0: nine tenths of the
  // machine's), how long an idle one stays (0: until another needs its place), and those that always stay.
  int64_t models_max = 3, memory_max = 0, keep_alive_s = 0;
  std::vector<std::string> pinned;

  std::string file;  // that was read; empty: none
  std::vector<Setting> settings;
};

struct ConfigSources {
  std::string file;                               // empty: none
  std::string text;                               // its content
  std::map<std::string, std::string> flags;       // "server.listen" -> value
  std::map<std::string, std::string> flag_names;  // "server.listen" -> "--listen"
};

struct LoadedConfig {
  Config config;
  std::vector<Error> errors;  // empty: the configuration is good
};

LoadedConfig load_config(const ConfigSources& sources, const Environment& environment);

// The file that counts: `flag`, else CRESSET_CONFIG, else cresset/cresset.toml under the XDG configuration
// directory when it is there; empty: none.
std::string find_config_file(sys::Env& env, const Environment& environment, const std::string& flag);
std::string find_data_directory(const Environment& environment, const std::string& flag);

// Why this configuration would not be served: a non-loopback address without keys and TLS, half a
// certificate, a key whose secret cannot be read. Empty: it may.
std::vector<Error> check_serving(const Config& config, sys::Env& env, const Environment& environment);
// What was overridden and what it gives up.
std::vector<std::string> serving_warnings(const Config& config);
// The key that a provider is shown; an empty one where none is configured.
Result<Secret> read_provider_secret(const ProviderEntry& provider, sys::Env& env,
                                    const Environment& environment);
Result<Secret> read_key_secret(const KeyEntry& key, sys::Env& env, const Environment& environment);

}  // namespace cresset::cli
