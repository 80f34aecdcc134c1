// The command line in a bottle: a simulated disk, a captured terminal, an engine that answers by rule, and a
// "network" of canned files that can cut a transfer. For tests of src/cli.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "testing/sim_env.h"

namespace cresset::testing {

class CapturedTerminal final : public cli::Terminal {
 public:
  std::string out_text, err_text, in_text;
  bool in_terminal = true, out_terminal = false, err_terminal = false;

  void out(std::string_view text) override { out_text += text; }
  void err(std::string_view text) override { err_text += text; }
  bool in_is_terminal() const override { return in_terminal; }
  bool out_is_terminal() const override { return out_terminal; }
  bool err_is_terminal() const override { return err_terminal; }
  bool has_colour() const override { return false; }
  bool out_is_good() const override { return true; }
  Result<std::string> read_all(size_t bytes_max) override;
  Result<std::optional<std::string>> read_line(size_t bytes_max) override;
};

// Says back the last message or prompt, word by word; tokens are bytes.
class EchoEngine final : public engine::Engine {
 public:
  explicit EchoEngine(engine::ModelCard card) : card_(std::move(card)) {}
  const engine::ModelCard& card() const override { return card_; }
  engine::EngineStats stats() const override { return {}; }
  std::string_view kernel_name() const override { return "scalar"; }
  const std::string& fingerprint() const override { return fingerprint_; }
  Status submit(engine::Job job) override;
  std::vector<int32_t> tokenize(std::string_view text, bool parse_special) const override;
  std::string detokenize(int32_t token) const override { return std::string(1, static_cast<char>(token)); }
  Result<std::vector<int32_t>> prompt_tokens(const chat::Request& request) const override;
  Result<std::vector<std::vector<engine::Logits>>> evaluate(
      const std::vector<std::vector<int32_t>>& sequences, bool all_positions) override;
  // 1,000 tokens a second in prefill and 100 in decode, on a machine of which that is half.
  Result<engine::Timing> time_prefill(int tokens, int) override {
    return engine::Timing{tokens / 1000.0, tokens * 1e9, 1e9};
  }
  Result<engine::Timing> time_decode(int tokens, int depth) override { return time_batch(1, tokens, depth); }
  Result<engine::Timing> time_batch(int sequences, int tokens, int) override {
    return engine::Timing{tokens / 100.0, sequences * tokens * 1e9, tokens * 1e8};
  }
  Result<engine::PartSeconds> time_parts(bool, int, int) override {
    engine::PartSeconds parts{};
    parts[static_cast<size_t>(engine::Part::kAttention)] = 3;
    parts[static_cast<size_t>(engine::Part::kWaiting)] = 1;
    return parts;
  }
  Result<engine::Roofline> measure_roofline() override {
    return engine::Roofline{.threads = 2,
                            .int8_instruction = "vpdpbusd",
                            .dram_bytes_s = 2e10,
                            .l3_bytes_s = 1e11,
                            .l2_bytes_s = 2e11,
                            .int8_operations_s = 2e12,
                            .float32_operations_s = 5e11};
  }

 private:
  engine::ModelCard card_;
  std::string fingerprint_ = "fp_echo";
};

// What a server has under a URL.
struct CannedFile {
  std::string bytes, etag;
  uint64_t cut_after = 0;  // bytes that one transfer brings before it breaks; 0: all
};

class Bottle {
 public:
  Bottle();
  // The exit code. What it wrote is in `terminal`, which is emptied before.
  int run(std::vector<std::string> words);
  // A file whose content begins with "GGUF" is a model to the fake loader; with "chat" in it, an instruction
  // model.
  void put_model(const std::string& path, const std::string& text) { env.put_file(path, "GGUF" + text); }

  SimEnv env{7};
  CapturedTerminal terminal;
  std::map<std::string, std::string> variables{{"HOME", "/home/ada"}};
  std::map<std::string, CannedFile> network;
  std::vector<net::FetchOptions> fetched;
  cli::Parts parts;
  bool serves = false;
};

}  // namespace cresset::testing
