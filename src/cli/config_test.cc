#include "cli/config.h"

#include <gtest/gtest.h>

#include "testing/sim_env.h"

namespace cresset::cli {
namespace {

Environment variables(std::map<std::string, std::string> values = {}) {
  return [values](const std::string& name) -> std::optional<std::string> {
    const auto it = values.find(name);
    return it == values.end() ? std::nullopt : std::optional(it->second);
  };
}

LoadedConfig load(const std::string& text, std::map<std::string, std::string> environment = {}) {
  ConfigSources sources;
  sources.file = "/etc/c.toml";
  sources.text = text;
  return load_config(sources, variables(std::move(environment)));
}

std::string origin_of(const Config& config, const std::string& key) {
  for (const Setting& setting : config.settings) {
    if (setting.key == key) return setting.origin;
  }
  return "absent";
}

TEST(Config, WithoutAFileEverythingIsItsDefaultAndLoopback) {
  const LoadedConfig loaded = load_config({}, variables());
  EXPECT_TRUE(loaded.errors.empty());
  EXPECT_EQ(loaded.config.listen.text(), "127.0.0.1:7171");
  EXPECT_EQ(origin_of(loaded.config, "server.listen"), "default");
}

TEST(Config, ReadsEveryKeyOfThisVersion) {
  const LoadedConfig loaded = load(R"(
[server]
listen = "[::1]:8080"
tls_cert = "cert.pem"
tls_key = "/keys/key.pem"
insecure = true
hosts = ["cresset.home.arpa"]
[model]
default = "smollm2"
[own_engine]
threads = 2
kernels = "avx2"
arithmetic = "float32"
context_max = 4096
kv_bytes_max = "512MiB"
kv_format = "q8_0"
[[key]]
name = "laptop"
secret_env = "CRESSET_KEY"
models = ["local/*"]
priority = "batch"
[[alias]]
name = "auto"
candidates = ["local/default"]
)");
  for (const Error& error : loaded.errors) ADD_FAILURE() << error.message();
  const Config& config = loaded.config;
  EXPECT_EQ(config.listen.host, "::1");
  EXPECT_EQ(config.listen.text(), "[::1]:8080");
  EXPECT_EQ(config.tls_cert, "/etc/cert.pem");
  EXPECT_EQ(config.tls_key, "/keys/key.pem");
  EXPECT_EQ(config.own_engine.kernels, engine::KernelKind::kAvx2);
  EXPECT_EQ(config.own_engine.kv_bytes_max, 512u << 20);
  EXPECT_EQ(config.own_engine.kv_format, engine::KvFormat::kQ8_0);
  ASSERT_EQ(config.keys.size(), 1u);
  EXPECT_EQ(config.keys[0].models, std::vector<std::string>{"local/*"});
  EXPECT_EQ(config.keys[0].priority, "batch");
  EXPECT_EQ(config.aliases.at(0).candidates.at(0), "local/default");
  EXPECT_EQ(origin_of(config, "own_engine.threads"), "/etc/c.toml:11");
}

TEST(Config, AllFaultsAreReportedTogetherWithTheirLines) {
  const LoadedConfig loaded = load(R"([server]
lisen = "127.0.0.1:1"
insecure = "yes"
[own_engine]
threads = 1000
kernels = "sse"
[[key]]
secret = "abc"
priority = "high"
[sever]
)");
  std::vector<std::string> lines;
  for (const Error& error : loaded.errors) lines.push_back(error.message());
  const std::vector<std::string> expected{
      "/etc/c.toml:2: unknown key \"server.lisen\"; did you mean \"listen\"?",
      "/etc/c.toml:3: server.insecure is true or false",
      "/etc/c.toml:5: own_engine.threads needs 0 to 256",
      "/etc/c.toml:6: own_engine.kernels is one of auto, scalar, avx2, avx512",
      "/etc/c.toml:7: a [[key]] needs a name",
      "/etc/c.toml:7: a [[key]] needs secret_env or secret_file, one of them (never the secret itself)",
      "/etc/c.toml:7: priority is one of interactive, normal, batch",
      "/etc/c.toml:8: unknown key \"secret\" in [[key]]",
      "/etc/c.toml:10: unknown section or key \"sever\"; did you mean \"server\"?",
  };
  EXPECT_EQ(lines, expected);
}

TEST(Config, SectionsOfLaterVersionsAreRefusedByName) {
  for (const char* text : {"[policy]\nfile='x'"}) {
    const LoadedConfig loaded = load(text);
    ASSERT_EQ(loaded.errors.size(), 1u) << text;
    EXPECT_EQ(loaded.errors[0].code, Code::kUnsupported);
    EXPECT_NE(loaded.errors[0].what.find("later version"), std::string::npos);
    EXPECT_EQ(loaded.errors[0].where, "/etc/c.toml:1");
  }
  EXPECT_EQ(load("[[alias]]\nname='a'\ncandidates=['anthropic/x']").errors.size(), 1u);
  EXPECT_EQ(load("[[alias]]\nname='a'\ncandidates=['local/x']\nstrategy='cheapest'").errors.size(), 1u);
}

TEST(Config, BrokenTomlNamesItsLine) {
  const LoadedConfig loaded = load("[server]\nlisten = \n");
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_EQ(loaded.errors[0].where, "/etc/c.toml:2");
  EXPECT_FALSE(load(std::string("\0\xff[", 3)).errors.empty());
  EXPECT_FALSE(load("server = 3").errors.empty());
  EXPECT_FALSE(load("key = 3").errors.empty());
  EXPECT_FALSE(load("[key]\nname='a'").errors.empty());
}

TEST(Config, AFlagWinsOverTheEnvironmentAndThatOverTheFile) {
  ConfigSources sources;
  sources.file = "c.toml";
  sources.text = "[own_engine]\nthreads = 1\nqueue_max = 1\nsequences_max = 1\n";
  sources.flags["own_engine.threads"] = "3";
  sources.flag_names["own_engine.threads"] = "--threads";
  const LoadedConfig loaded = load_config(
      sources, variables({{"CRESSET_OWN_ENGINE_THREADS", "2"}, {"CRESSET_OWN_ENGINE_QUEUE_MAX", "2"}}));
  EXPECT_TRUE(loaded.errors.empty());
  EXPECT_EQ(loaded.config.own_engine.threads, 3);
  EXPECT_EQ(loaded.config.own_engine.queue_max, 2);
  EXPECT_EQ(loaded.config.own_engine.sequences_max, 1);
  EXPECT_EQ(origin_of(loaded.config, "own_engine.threads"), "--threads");
  EXPECT_EQ(origin_of(loaded.config, "own_engine.queue_max"), "CRESSET_OWN_ENGINE_QUEUE_MAX");
  EXPECT_EQ(origin_of(loaded.config, "own_engine.sequences_max"), "c.toml:4");
}

TEST(Config, ABadVariableIsAnErrorThatNamesIt) {
  const LoadedConfig loaded = load("", {{"CRESSET_SERVER_LISTEN", "everywhere"}});
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_EQ(loaded.errors[0].where, "CRESSET_SERVER_LISTEN");
}

TEST(Config, SecretsAreNeverShown) {
  const LoadedConfig loaded = load("[[key]]\nname='a'\nsecret_env='K'", {{"K", "hunter2hunter2"}});
  for (const Setting& setting : loaded.config.settings) {
    EXPECT_EQ(setting.value.write().find("hunter2"), std::string::npos) << setting.key;
  }
}

TEST(Config, AnAddressThatOthersReachNeedsAKeyAndTls) {
  testing::SimEnv env(1);
  env.put_file("/etc/c.pem", "");
  const auto refusals = [&](const std::string& text) {
    const LoadedConfig loaded = load(text);
    EXPECT_TRUE(loaded.errors.empty()) << text;
    return check_serving(loaded.config, env, variables({{"K", "secret"}}));
  };
  const std::string key = "[[key]]\nname='a'\nsecret_env='K'\n";
  const std::string open = "[server]\nlisten='0.0.0.0:7171'\n";
  const std::string tls = "tls_cert='c.pem'\ntls_key='c.pem'\n";
  EXPECT_EQ(refusals(open).at(0).code, Code::kRefused);
  EXPECT_EQ(refusals(open + tls).at(0).code, Code::kRefused);
  EXPECT_EQ(refusals(open + key).at(0).code, Code::kRefused);
  EXPECT_TRUE(refusals(open + tls + key).empty());
  EXPECT_TRUE(refusals(open + "insecure=true\n").empty());
  EXPECT_TRUE(refusals("").empty());
  EXPECT_FALSE(refusals("[server]\nlisten='127.0.0.1.evil.test:7171'\n").empty());
  EXPECT_EQ(serving_warnings(load(open + "insecure=true\n").config).size(), 2u);
}

TEST(Config, AKeyWithoutItsSecretIsNotServed) {
  testing::SimEnv env(1);
  const LoadedConfig loaded =
      load("\n[[key]]\nname='a'\nsecret_env='K'\n[[key]]\nname='b'\nsecret_file='b.key'\n");
  const auto errors = check_serving(loaded.config, env, variables());
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].where, "/etc/c.toml:2");
  EXPECT_NE(errors[0].what.find("$K"), std::string::npos);
  env.put_file("/etc/b.key", "the secret\n");
  EXPECT_EQ(read_key_secret(loaded.config.keys[1], env, variables())->expose(), "the secret");
}

TEST(Listen, AddressesAreTakenApart) {
  EXPECT_EQ(parse_listen("localhost:0", "x")->port, 0);
  EXPECT_TRUE(parse_listen("[::1]:1", "x")->is_loopback());
  EXPECT_TRUE(parse_listen("127.0.0.2:1", "x")->is_loopback());
  EXPECT_FALSE(parse_listen("[::]:1", "x")->is_loopback());
  EXPECT_FALSE(parse_listen("localhost.evil.test:1", "x")->is_loopback());
  for (const char* bad :
       {"", "7171", ":7171", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:80", "a b:1", "h:-1"}) {
    EXPECT_FALSE(parse_listen(bad, "x")) << bad;
  }
}

TEST(Directories, FollowXdg) {
  EXPECT_EQ(find_data_directory(variables({{"HOME", "/h"}}), ""), "/h/.local/share/cresset");
  EXPECT_EQ(find_data_directory(variables({{"HOME", "/h"}, {"XDG_DATA_HOME", "/x"}}), ""), "/x/cresset");
  EXPECT_EQ(find_data_directory(variables({{"HOME", "/h"}, {"XDG_DATA_HOME", "relative"}}), ""),
            "/h/.local/share/cresset");
  EXPECT_EQ(find_data_directory(variables({{"HOME", "/h"}}), "/flag"), "/flag");
  testing::SimEnv env(1);
  EXPECT_EQ(find_config_file(env, variables({{"HOME", "/h"}}), ""), "");
  env.put_file("/h/.config/cresset/cresset.toml", "");
  EXPECT_EQ(find_config_file(env, variables({{"HOME", "/h"}}), ""), "/h/.config/cresset/cresset.toml");
}

}  // namespace
}  // namespace cresset::cli
