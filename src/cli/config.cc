#include "cli/config.h"

#include <algorithm>
#include <set>

#include "cli/args.h"
#include "cli/config_table.h"

namespace cresset::cli {
namespace {

constexpr uint64_t kSecretBytesMax = 4096;

std::string directory_of(const std::string& file) {
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "" : file.substr(0, slash + 1);
}

std::string trim(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

// What may stand in a header's value: a key with a line break would be a header of its own.
bool is_header_text(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

bool Listen::is_loopback() const {
  if (host == "localhost" || host == "::1") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos &&
         std::count(host.begin(), host.end(), '.') == 3;
}

std::string Listen::text() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Listen> parse_listen(std::string_view text, std::string_view where) {
  const size_t colon = text.rfind(':');
  std::string host(text.substr(0, colon));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool bad_host = host.empty() || (!bracketed && host.find_first_of(":[]") != std::string::npos) ||
                        host.find_first_of(" /@\t\n") != std::string::npos;
  if (colon == std::string_view::npos || bad_host) {
    return fail(Code::kInvalid, "needs HOST:PORT, as in 127.0.0.1:7171 or [::1]:7171", std::string(where));
  }
  CRESSET_TRY(port, parse_number(text.substr(colon + 1), 0, 65535, std::string(where) + " (port)"));
  return Listen{std::move(host), static_cast<uint16_t>(port)};
}

LoadedConfig load_config(const ConfigSources& sources, const Environment& environment) {
  LoadedConfig out;
  out.config.file = sources.file;
  std::map<std::string, std::string> origins;
  if (!sources.file.empty()) read_toml(sources, directory_of(sources.file), out, origins);
  for (const ScalarSpec& spec : scalar_specs()) {
    const auto take = [&](const std::string& text, const std::string& origin) {
      const auto value = value_from_text(spec.kind, text, origin);
      const Status set = value ? spec.set(out.config, *value, origin) : Status(tl::unexpected(value.error()));
      if (set) {
        origins[spec.key] = origin;
      } else {
        out.errors.push_back(set.error());
      }
    };
    if (const auto variable = environment(environment_name(spec.key)))
      take(*variable, environment_name(spec.key));
    if (const auto flag = sources.flags.find(spec.key); flag != sources.flags.end()) {
      take(flag->second, sources.flag_names.at(spec.key));
    }
    const auto origin = origins.find(spec.key);
    out.config.settings.push_back(
        {spec.key, spec.show(out.config), origin == origins.end() ? "default" : origin->second});
  }
  for (const KeyEntry& key : out.config.keys) {
    Json shown = Json::object({{"name", key.name}, {"models", Json::array()}});
    for (const std::string& model : key.models) shown.find("models")->push(model);
    shown.set("priority", key.priority);
    key.secret_env.empty() ? shown.set("secret_file", key.secret_file)
                           : shown.set("secret_env", key.secret_env);
    out.config.settings.push_back({"key", std::move(shown), key.where});
  }
  for (const ProviderEntry& provider : out.config.providers) {
    Json shown = Json::object(
        {{"name", provider.name}, {"dialect", provider.dialect}, {"base_url", provider.base_url}});
    if (!provider.key_env.empty()) shown.set("key_env", provider.key_env);
    if (!provider.key_file.empty()) shown.set("key_file", provider.key_file);
    if (!provider.region.empty()) shown.set("region", provider.region);
    if (!provider.clearance.empty()) shown.set("clearance", provider.clearance);
    out.config.settings.push_back(
        {provider.is_engine ? "engine" : "provider", std::move(shown), provider.where});
  }
  for (const AliasEntry& alias : out.config.aliases) {
    Json shown =
        Json::object({{"name", alias.name}, {"candidates", Json::array()}, {"strategy", alias.strategy}});
    for (const std::string& candidate : alias.candidates) shown.find("candidates")->push(candidate);
    out.config.settings.push_back({"alias", std::move(shown), alias.where});
  }
  return out;
}

std::string find_config_file(sys::Env& env, const Environment& environment, const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const auto set = environment("CRESSET_CONFIG"); set && !set->empty()) return *set;
  std::string base;
  if (const auto xdg = environment("XDG_CONFIG_HOME"); xdg && xdg->starts_with('/')) {
    base = *xdg;
  } else if (const auto home = environment("HOME"); home && !home->empty()) {
    base = *home + "/.config";
  } else {
    return "";
  }
  const std::string path = base + "/cresset/cresset.toml";
  return env.exists(path) ? path : "";
}

std::string find_data_directory(const Environment& environment, const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const auto set = environment("CRESSET_DATA"); set && !set->empty()) return *set;
  // The XDG base directory specification: a path that is not absolute is to be ignored.
  if (const auto xdg = environment("XDG_DATA_HOME"); xdg && xdg->starts_with('/')) return *xdg + "/cresset";
  if (const auto home = environment("HOME"); home && !home->empty()) return *home + "/.local/share/cresset";
  return "cresset-data";
}

Result<Secret> read_provider_secret(const ProviderEntry& provider, sys::Env& env,
                                    const Environment& environment) {
  if (!provider.key_env.empty()) {
    const auto value = environment(provider.key_env);
    if (value && is_header_text(*value) && !value->empty()) return Secret(*value);
    return fail(
        Code::kInvalid,
        "the provider \"" + provider.name + "\" takes its key from $" + provider.key_env +
            (value && !value->empty() ? ", which holds characters that no key has" : ", which is not set"),
        provider.where);
  }
  if (provider.key_file.empty()) return Secret();
  auto text = env.read_file(provider.key_file, kSecretBytesMax);
  if (!text)
    return fail(text.error().code,
                "the key of the provider \"" + provider.name + "\": " + text.error().message(),
                provider.where);
  std::string secret = trim(std::move(*text));
  if (secret.empty() || !is_header_text(secret))
    return fail(Code::kInvalid, "the key of the provider \"" + provider.name + "\" is empty or not a key",
                provider.where);
  return Secret(std::move(secret));
}

Result<Secret> read_key_secret(const KeyEntry& key, sys::Env& env, const Environment& environment) {
  if (!key.secret_env.empty()) {
    const auto value = environment(key.secret_env);
    if (value && !value->empty()) return Secret(*value);
    return fail(Code::kInvalid,
                "the key \"" + key.name + "\" takes its secret from $" + key.secret_env +
                    ", which is not set; set it or remove the [[key]]",
                key.where);
  }
  auto text = env.read_file(key.secret_file, kSecretBytesMax);
  if (!text) {
    return fail(text.error().code, "the secret of the key \"" + key.name + "\": " + text.error().message(),
                key.where);
  }
  std::string secret = trim(std::move(*text));
  if (secret.empty())
    return fail(Code::kInvalid, "the secret of the key \"" + key.name + "\" is empty", key.where);
  return Secret(std::move(secret));
}

std::vector<Error> check_serving(const Config& config, sys::Env& env, const Environment& environment) {
  std::vector<Error> errors;
  const bool has_tls = !config.tls_cert.empty() && !config.tls_key.empty();
  if (config.tls_cert.empty() != config.tls_key.empty()) {
    errors.push_back({Code::kInvalid, "tls_cert and tls_key go together; set both or none", "server"});
  }
  for (const std::string& file : {config.tls_cert, config.tls_key}) {
    if (!file.empty() && !env.exists(file)) errors.push_back({Code::kNotFound, "no such file", file});
  }
  if (!config.listen.is_loopback() && !config.insecure && (config.keys.empty() || !has_tls)) {
    const char* missing = config.keys.empty() && !has_tls ? "a [[key]] and TLS (tls_cert, tls_key)"
                          : has_tls                       ? "a [[key]]"
                                                          : "TLS (tls_cert, tls_key)";
    errors.push_back({Code::kRefused,
                      "others could reach this address, so it needs " + std::string(missing) +
                          "; configure that, listen on 127.0.0.1, or state server.insecure = true",
                      config.listen.text()});
  }
  for (const KeyEntry& key : config.keys) {
    if (const auto secret = read_key_secret(key, env, environment); !secret) errors.push_back(secret.error());
  }
  return errors;
}

std::vector<std::string> serving_warnings(const Config& config) {
  std::vector<std::string> out;
  if (!config.insecure || config.listen.is_loopback()) return out;
  if (config.keys.empty()) {
    out.push_back(config.listen.text() +
                  " is open without a key: anyone who reaches it can use the models and read "
                  "what they are told (server.insecure = true)");
  }
  if (config.tls_cert.empty()) {
    out.push_back(config.listen.text() +
                  " is served without TLS: prompts, answers and keys can be read and changed "
                  "on the way (server.insecure = true)");
  }
  return out;
}

}  // namespace cresset::cli
