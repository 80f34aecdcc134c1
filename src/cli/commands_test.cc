#include "cli/commands.h"

#include <gtest/gtest.h>

#include <sstream>

#include "cli/command_pull.h"
#include "cli/model_card.h"
#include "cli/progress.h"
#include "sys/crypto.h"
#include "testing/fake_cli.h"

namespace cresset::cli {
namespace {

using testing::Bottle;
using testing::CannedFile;

Json json_of(const Bottle& bottle) {
  const auto json = parse_json(bottle.terminal.out_text);
  EXPECT_TRUE(json) << bottle.terminal.out_text << bottle.terminal.err_text;
  return json ? *json : Json();
}

struct Installed : ::testing::Test {
  Installed() {
    bottle.put_model("/in/Smol.Q4_1.gguf", "chat");
    bottle.put_model("/in/base.gguf", "plain");
    EXPECT_EQ(bottle.run({"import", "/in/Smol.Q4_1.gguf", "--name", "smol"}), 0) << bottle.terminal.err_text;
    bottle.env.advance(std::chrono::seconds(1));
    EXPECT_EQ(bottle.run({"import", "/in/base.gguf"}), 0) << bottle.terminal.err_text;
  }
  Bottle bottle;
};

TEST(Commands, WithoutACommandTheHelpIsOnStderrAndTheUsageCodeSaysSo) {
  Bottle bottle;
  EXPECT_EQ(bottle.run({}), 2);
  EXPECT_TRUE(bottle.terminal.out_text.empty());
  EXPECT_EQ(bottle.run({"--help"}), 0);
  EXPECT_NE(bottle.terminal.out_text.find("Exit codes"), std::string::npos);
  EXPECT_EQ(bottle.run({"rm", "--help"}), 0);
  EXPECT_NE(bottle.terminal.out_text.find("cresset rm smollm2"), std::string::npos);
}

TEST(Commands, AnErrorIsOneLineAndItsKindIsTheExitCode) {
  Bottle bottle;
  bottle.env.put_file("/in/bad.gguf", "not a model\n");
  const std::vector<std::pair<std::vector<std::string>, int>> cases{{{"frobnicate"}, 2},
                                                                    {{"show", "absent"}, 3},
                                                                    {{"import", "/absent.gguf"}, 3},
                                                                    {{"import", "/in/bad.gguf"}, 5},
                                                                    {{"bench", "x", "--only", "serve"}, 4},
                                                                    {{"bench", "x", "--only", "speed"}, 2},
                                                                    {{"bench", "x", "--batches", "1,0"}, 2},
                                                                    {{"run", "anthropic/x", "hello"}, 3}};
  for (const auto& [words, code] : cases) {
    EXPECT_EQ(bottle.run(words), code) << words.back();
    EXPECT_TRUE(bottle.terminal.err_text.starts_with("cresset: ")) << bottle.terminal.err_text;
    EXPECT_EQ(std::count(bottle.terminal.err_text.begin(), bottle.terminal.err_text.end(), '\n'), 1);
    EXPECT_TRUE(bottle.terminal.out_text.empty());
  }
}

TEST(Commands, EveryConfigurationFaultIsPrintedBeforeTheCommandIsRefused) {
  Bottle bottle;
  bottle.env.put_file("/c.toml", "[server]\nlisten = 3\nport = 4\n");
  EXPECT_EQ(bottle.run({"serve", "--config", "/c.toml"}), 2);
  EXPECT_FALSE(bottle.serves);
  EXPECT_NE(bottle.terminal.err_text.find("cresset: /c.toml:2: server.listen needs a text in quotes\n"),
            std::string::npos);
  EXPECT_NE(bottle.terminal.err_text.find("cresset: /c.toml:3: unknown key \"server.port\""),
            std::string::npos);
  EXPECT_EQ(bottle.run({"--config", "/absent.toml", "ls"}), 3);
}

TEST(Commands, ConfigurationComesFromStdinToo) {
  Bottle bottle;
  bottle.terminal.in_text = "[own_engine]\nthreads = 2\n";
  EXPECT_EQ(bottle.run({"config", "show", "--config", "-", "--json"}), 0);
  const Json threads = *json_of(bottle).find("values")->find("own_engine.threads");
  EXPECT_EQ(threads.write(), R"({"value":2,"from":"stdin:2"})");
}

TEST(Commands, AServerThatOthersCouldReachIsRefused) {
  Bottle bottle;
  EXPECT_EQ(bottle.run({"serve", "--listen", "0.0.0.0:7171"}), 4);
  EXPECT_FALSE(bottle.serves);
  EXPECT_EQ(bottle.run({"--listen=127.0.0.1:0", "serve"}), 0);
  EXPECT_TRUE(bottle.serves);
}

TEST_F(Installed, LsMarksTheDefaultAndTakesJsonOnEitherSide) {
  EXPECT_EQ(bottle.run({"ls"}), 0);
  EXPECT_NE(bottle.terminal.out_text.find("* smol "), std::string::npos) << bottle.terminal.out_text;
  EXPECT_NE(bottle.terminal.out_text.find("  base "), std::string::npos);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--json", "ls"}, {"ls", "--json"}}) {
    EXPECT_EQ(bottle.run(words), 0);
    const Json list = json_of(bottle);
    ASSERT_EQ(list.as_array().size(), 2u);
    EXPECT_EQ(list.as_array()[1].find("default")->as_bool(), true);
  }
}

TEST_F(Installed, ShowNamesTheLicenceAndTheTemplate) {
  EXPECT_EQ(bottle.run({"show", "smol"}), 0);
  EXPECT_NE(bottle.terminal.out_text.find("licence       not stated in the file"), std::string::npos)
      << bottle.terminal.out_text;
  EXPECT_EQ(bottle.run({"show", "smol", "--template"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "{{ messages }}");
  EXPECT_EQ(bottle.run({"show", "/in/base.gguf", "--json"}), 0);
  EXPECT_EQ(json_of(bottle).find("card")->find("architecture")->as_string(), "llama");
}

TEST_F(Installed, RmFreesAndASecondRmSaysNotFound) {
  EXPECT_EQ(bottle.run({"rm", "smol", "--json"}), 0);
  EXPECT_EQ(json_of(bottle).find("bytes_freed")->as_integer(), 8);
  EXPECT_EQ(bottle.run({"rm", "smol"}), 3);
}

TEST_F(Installed, RunAnswersAndAPipeFollowsThePrompt) {
  EXPECT_EQ(bottle.run({"run", "why is", "the sky blue"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "why is the sky blue\n");
  bottle.terminal.in_terminal = false;
  bottle.terminal.in_text = "from the pipe\n";
  EXPECT_EQ(bottle.run({"run", "smol", "sum up:"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "sum up:\n\nfrom the pipe\n");
  bottle.terminal.in_text = "only the pipe";
  EXPECT_EQ(bottle.run({"run"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "only the pipe\n");
  EXPECT_EQ(bottle.run({"run"}), 2);
}

TEST_F(Installed, RunTakesTheFirstWordAsAModelOnlyWhenItIsOne) {
  EXPECT_EQ(bottle.run({"run", "smol", "hello", "--json"}), 0);
  EXPECT_EQ(json_of(bottle).find("model")->as_string(), "smol");
  EXPECT_EQ(json_of(bottle).find("text")->as_string(), "hello");
  EXPECT_EQ(bottle.run({"run", "hello", "smol"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "hello smol\n");
  EXPECT_EQ(bottle.run({"run", "smol"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "smol\n");
  EXPECT_EQ(bottle.run({"run", "/absent.gguf", "hello"}), 3);
  EXPECT_EQ(bottle.run({"run", "local/base", "complete me"}), 0);
}

TEST_F(Installed, AnAliasAndTheConfiguredDefaultLeadToTheirModel) {
  bottle.env.put_file(
      "/c.toml",
      "[model]\ndefault='base'\n[[alias]]\nname='auto'\ncandidates=['local/absent','local/smol']\n");
  EXPECT_EQ(bottle.run({"run", "x y", "--json", "--config=/c.toml"}), 0);
  EXPECT_EQ(json_of(bottle).find("model")->as_string(), "base");
  EXPECT_EQ(bottle.run({"run", "auto", "x", "--json", "--config=/c.toml"}), 0);
  EXPECT_EQ(json_of(bottle).find("model")->as_string(), "smol");
}

TEST_F(Installed, AModelCannotSteerThePersonsTerminal) {
  bottle.terminal.out_terminal = true;
  EXPECT_EQ(bottle.run({"run", "a\x1b[2Jb\xc2\x9b"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "a\xef\xbf\xbd[2Jb\xef\xbf\xbd\n");
}

TEST_F(Installed, ARefusedAnswerIsAnErrorWithItsReason) {
  EXPECT_EQ(bottle.run({"run", "fail"}), 4);
  EXPECT_NE(bottle.terminal.err_text.find("the context holds 8"), std::string::npos);
}

TEST_F(Installed, AnAnswerThatEndsWithoutAnEndDoesNotHang) {
  EXPECT_EQ(bottle.run({"run", "vanish"}), 130);
}

TEST_F(Installed, ChatKeepsTheConversationAndObeysItsCommands) {
  bottle.terminal.in_terminal = false;
  bottle.terminal.in_text =
      "/system be brief\nhello\n\"\"\"two\nlines\"\"\"\n/save /out.jsonl\n/clear\n/save /cleared.jsonl\n";
  EXPECT_EQ(bottle.run({"chat"}), 0) << bottle.terminal.err_text;
  EXPECT_EQ(bottle.terminal.out_text, "hello\ntwo\nlines\n");
  EXPECT_EQ(
      *bottle.env.read_file("/out.jsonl", 1000),
      "{\"role\":\"system\",\"content\":\"be brief\"}\n{\"role\":\"user\",\"content\":\"hello\"}\n"
      "{\"role\":\"assistant\",\"content\":\"hello\"}\n{\"role\":\"user\",\"content\":\"two\\nlines\"}\n"
      "{\"role\":\"assistant\",\"content\":\"two\\nlines\"}\n");
  EXPECT_EQ(*bottle.env.read_file("/cleared.jsonl", 1000),
            "{\"role\":\"system\",\"content\":\"be brief\"}\n");
  EXPECT_EQ(bottle.run({"chat", "base"}), 4);
}

TEST_F(Installed, LogitsAreTheContractsLines) {
  bottle.terminal.in_text = "{\"tokens\":[1]}\n{\"tokens\":[2,3]}\n";
  EXPECT_EQ(bottle.run({"logits", "smol", "--top", "2", "--batch", "8"}), 0) << bottle.terminal.err_text;
  std::istringstream lines(bottle.terminal.out_text);
  std::string first;
  std::getline(lines, first);
  const auto json = parse_json(first);
  ASSERT_TRUE(json);
  const auto& top = json->find("top")->as_array();
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].as_array()[0].as_integer(), 1);
  EXPECT_NEAR(top[0].as_array()[1].as_number(), std::log(0.5), 1e-6);
  EXPECT_EQ(top[1].as_array()[0].as_integer(), 0);
  const float values[4] = {0, std::log(3.0F), 0, 0};
  EXPECT_EQ(json->find("logits_sha256")->as_string(),
            sys::to_hex(sys::sha256(std::as_bytes(std::span(values)))));
  bottle.terminal.in_text = "{\"tokens\":[2,3]}";
  EXPECT_EQ(bottle.run({"logits", "smol", "--all"}), 0);
  EXPECT_EQ(json_of(bottle).as_array().size(), 2u);
  for (const char* bad : {"{\"tokens\":[]}", "{\"tokens\":[-1]}", "{\"tokens\":[1],\"x\":1}", "[1]", "x"}) {
    bottle.terminal.in_text = std::string("\n") + bad;
    EXPECT_EQ(bottle.run({"logits", "smol"}), 2) << bad;
    EXPECT_NE(bottle.terminal.err_text.find("stdin:2: "), std::string::npos);
  }
}

TEST_F(Installed, TokenizeTakesTextAndBytes) {
  bottle.terminal.in_text = "{\"text\":\"ab\"}\n{\"base64\":\"/w==\"}\n";
  EXPECT_EQ(bottle.run({"tokenize", "smol"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "{\"tokens\":[97,98]}\n{\"tokens\":[255]}\n");
  bottle.terminal.in_text = "{\"text\":\"a\"}\n";
  EXPECT_EQ(bottle.run({"tokenize", "smol", "--special"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "{\"tokens\":[1000,97]}\n");
  for (const char* bad : {"{\"base64\":\"/w=\"}", "{\"base64\":\"/=w=\"}", "{\"text\":1}", "{}"}) {
    bottle.terminal.in_text = bad;
    EXPECT_EQ(bottle.run({"tokenize", "smol"}), 2) << bad;
  }
}

TEST_F(Installed, BenchPrintsALineForEachPoint) {
  EXPECT_EQ(bottle.run({"bench", "smol", "--lengths", "100,200", "--depths", "0,50", "--gen", "10"}), 0);
  EXPECT_EQ(std::count(bottle.terminal.out_text.begin(), bottle.terminal.out_text.end(), '\n'), 6);
  EXPECT_TRUE(bottle.terminal.out_text.starts_with(
                  "{\"bench\":\"prefill\",\"tokens\":100,\"depth\":0,\"tok_s\":1000.0") ||
              bottle.terminal.out_text.starts_with(
                  "{\"bench\":\"prefill\",\"tokens\":100,\"depth\":0,\"tok_s\":1000,") ||
              bottle.terminal.out_text.starts_with(
                  "{\"bench\":\"prefill\",\"tokens\":100,\"depth\":0,\"tok_s\":1E3,"))
      << bottle.terminal.out_text;
}

std::vector<Json> lines_of(const Bottle& bottle) {
  std::vector<Json> lines;
  std::istringstream text(bottle.terminal.out_text);
  for (std::string line; std::getline(text, line);) lines.push_back(parse_json(line).value());
  return lines;
}

TEST_F(Installed, BenchSaysWhatShareOfTheMachineIsReached) {
  EXPECT_EQ(bottle.run({"bench", "smol", "--only", "prefill,decode,batch", "--lengths", "100", "--gen", "10",
                        "--batches", "1,16"}),
            0);
  const std::vector<Json> lines = lines_of(bottle);
  ASSERT_EQ(lines.size(), 4u);
  // 100 tokens in 0.1 s: 1e11 operations of the 2e11 that the machine can do in that time.
  EXPECT_EQ(lines[0].find("peak_share")->as_number(), 0.5);
  EXPECT_EQ(lines[0].find("bandwidth_share"), nullptr);
  // 10 tokens in 0.1 s: 1e9 bytes of 2e9.
  EXPECT_EQ(lines[1].find("bandwidth_share")->as_number(), 0.5);
  EXPECT_EQ(lines[1].find("peak_share"), nullptr);
  EXPECT_EQ(
      lines[3].write(),
      R"({"bench":"batch","sequences":16,"tokens":10,"depth":0,"tok_s":1600.0,"min":1600.0,"max":1600.0,)"
      R"("n":3,"peak_share":0.8,"bandwidth_share":0.5,"kernels":"scalar"})");
}

TEST_F(Installed, BenchPrintsTheRooflineAndThePartsOfAPass) {
  EXPECT_EQ(bottle.run({"bench", "smol", "--only", "roofline,kernels", "--lengths", "100", "--depths", "7",
                        "--prefill-depths", "0", "--gen", "10"}),
            0);
  const std::vector<Json> lines = lines_of(bottle);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].find("vpdpbusd_TOPS")->as_number(), 2);
  EXPECT_EQ(lines[0].find("read_1GiB_GBps")->as_number(), 20);
  EXPECT_EQ(lines[0].find("vdpbf16_TFLOPS"), nullptr);  // the machine has none
  EXPECT_EQ(lines[1].find("phase")->as_string(), "prefill");
  EXPECT_EQ(lines[1].find("depth")->as_integer(), 0);
  EXPECT_EQ(lines[2].find("phase")->as_string(), "decode");
  EXPECT_EQ(lines[2].find("depth")->as_integer(), 7);
  EXPECT_EQ(lines[2].find("shares")->find("attention")->as_number(), 0.75);
  EXPECT_EQ(lines[2].find("shares")->as_object().size(), engine::kPartCount);
}

TEST_F(Installed, DoctorSaysWhatWouldBeRefused) {
  EXPECT_EQ(bottle.run({"doctor", "--json"}), 0);
  EXPECT_TRUE(json_of(bottle).find("refused")->as_array().empty());
  bottle.env.put_file("/c.toml", "[server]\nlisten='0.0.0.0:1'\nprot=1\n[own_engine]\nkernels='avx512'\n");
  EXPECT_EQ(bottle.run({"doctor", "--json", "--config", "/c.toml"}), 1);
  EXPECT_EQ(json_of(bottle).find("refused")->as_array().size(), 3u) << bottle.terminal.out_text;
  EXPECT_EQ(bottle.run({"doctor"}), 0);
  EXPECT_NE(bottle.terminal.out_text.find("nothing would be refused"), std::string::npos);
}

TEST(Pull, ReferencesBecomeUrls) {
  EXPECT_EQ(*pull_url("hf://o/r/f.gguf", "https://hub.test/"), "https://hub.test/o/r/resolve/main/f.gguf");
  EXPECT_EQ(*pull_url("hf://o/r/d/f.gguf", "https://hub.test"), "https://hub.test/o/r/resolve/main/d/f.gguf");
  EXPECT_EQ(*pull_url("file:///a.gguf", ""), "file:///a.gguf");
  for (const char* bad : {"", "a.gguf", "hf://o/f.gguf", "hf:///r/f", "hf://o//f", "hf://o/r/",
                          "hf://o/r/../x", "ftp://x/y", "https://x/a b", "hf://o/r/f?x", "https://x/\n"}) {
    EXPECT_FALSE(pull_url(bad, "https://hub.test")) << bad;
  }
}

TEST(Pull, ACutTransferContinuesWhereItStopped) {
  Bottle bottle;
  bottle.network["https://m.test/smol.gguf"] = {"GGUF chat 0123456789", "\"v1\"", 7};
  EXPECT_EQ(bottle.run({"pull", "https://m.test/smol.gguf"}), 0) << bottle.terminal.err_text;
  ASSERT_EQ(bottle.fetched.size(), 3u);
  EXPECT_EQ(bottle.fetched[1].from, 7u);
  EXPECT_EQ(bottle.fetched[1].if_range, "\"v1\"");
  EXPECT_EQ(bottle.run({"pull", "https://m.test/smol.gguf"}), 0);
  EXPECT_EQ(bottle.fetched.size(), 3u) << "an installed model is not fetched again";
}

TEST(Pull, WithoutAStrongETagBytesOfTwoTransfersAreNotMixed) {
  for (const char* etag : {"", "W/\"v1\""}) {
    Bottle bottle;
    CannedFile& file = bottle.network["https://m.test/smol.gguf"] = {"GGUF chat 0123456789", etag, 7};
    EXPECT_EQ(bottle.run({"pull", "https://m.test/smol.gguf"}), 5);
    file = {"GGUF chat and another file", etag, 0};
    EXPECT_EQ(bottle.run({"pull", "https://m.test/smol.gguf"}), 0) << bottle.terminal.err_text;
    EXPECT_EQ(bottle.fetched.back().from, 0u);
  }
}

TEST(Pull, AChangedSourceStartsAgain) {
  Bottle bottle;
  CannedFile& file = bottle.network["https://m.test/smol.gguf"] = {"GGUF chat 0123456789", "\"v1\"", 1};
  EXPECT_EQ(bottle.run({"pull", "https://m.test/smol.gguf"}), 5);
  file = {"GGUF chat new", "\"v2\"", 0};
  EXPECT_EQ(
      bottle.run({"pull", "https://m.test/smol.gguf", "--sha256", sys::to_hex(sys::sha256("GGUF chat new"))}),
      0)
      << bottle.terminal.err_text;
  EXPECT_NE(bottle.terminal.err_text.find("the source has changed"), std::string::npos);
}

TEST(Pull, AWrongDigestOrNoModelInstallsNothing) {
  Bottle bottle;
  bottle.network["https://m.test/smol.gguf"] = {"GGUF chat", "\"v1\"", 0};
  bottle.network["https://m.test/page.gguf"] = {"<html>", "\"v1\"", 0};
  EXPECT_EQ(bottle.run({"pull", "https://m.test/smol.gguf", "--sha256", std::string(64, 'a')}), 5);
  EXPECT_EQ(bottle.run({"pull", "https://m.test/smol.gguf", "--sha256", "abc"}), 2);
  EXPECT_EQ(bottle.run({"pull", "https://m.test/page.gguf"}), 5);
  EXPECT_EQ(bottle.run({"pull", "https://m.test/absent.gguf"}), 3);
  EXPECT_EQ(bottle.run({"ls", "--quiet"}), 0);
  EXPECT_EQ(bottle.terminal.out_text, "");
}

TEST(Progress, ShowsSpeedAndTimeLeft) {
  EXPECT_EQ(progress_text("pulling", 50'000'000, 200'000'000, 0, 5),
            "pulling 25 % of 200 MB, 10.0 MB/s, 15 s left");
  EXPECT_EQ(progress_text("pulling", 50'000'000, 200'000'000, 50'000'000, 5), "pulling 25 % of 200 MB");
  EXPECT_EQ(progress_text("pulling", 50'000'000, 0, 0, 5), "pulling 50.0 MB, 10.0 MB/s");
}

TEST(Progress, IsSilentWhenStderrIsNoTerminal) {
  Bottle bottle;
  bottle.put_model("/in/a.gguf", "chat");
  EXPECT_EQ(bottle.run({"import", "/in/a.gguf"}), 0);
  EXPECT_EQ(bottle.terminal.err_text, "");
  bottle.terminal.err_terminal = true;
  EXPECT_EQ(bottle.run({"import", "/in/a.gguf", "--name", "b"}), 0);
  EXPECT_NE(bottle.terminal.err_text, "");
}

TEST(Names, ComeFromFileNames) {
  EXPECT_EQ(name_from_path("/a/SmolLM2-135M.Q4_1.gguf"), "smollm2-135m.q4_1");
  EXPECT_EQ(name_from_path("_My Model (1).gguf"), "my-model--1-");
}

TEST(Ps, SaysWhenNoServerRunsAndWhatOneServes) {
  Bottle bottle;
  bottle.network["http://127.0.0.1:7171/v1/models"] = {R"({"data":[{"id":"smol"}]})", "", 0};
  EXPECT_EQ(bottle.run({"ps", "--json"}), 0);
  EXPECT_EQ(json_of(bottle).find("models")->write(), R"(["smol"])");
  bottle.parts.fetch = [](const net::FetchOptions&, const auto&, const auto&,
                          const auto&) -> Result<net::FetchResult> {
    return fail(Code::kUnavailable, "connection refused");
  };
  EXPECT_EQ(bottle.run({"ps"}), 6);
  EXPECT_NE(bottle.terminal.err_text.find("no server runs there"), std::string::npos);
}

TEST(Completion, NamesEveryCommand) {
  Bottle bottle;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(bottle.run({"completion", shell}), 0);
    for (const Command& command : commands()) {
      const std::string first(command.spec.name.substr(0, command.spec.name.find(' ')));
      EXPECT_NE(bottle.terminal.out_text.find(first), std::string::npos) << shell << " " << first;
    }
  }
  EXPECT_EQ(bottle.run({"completion", "tcsh"}), 2);
}

}  // namespace
}  // namespace cresset::cli
