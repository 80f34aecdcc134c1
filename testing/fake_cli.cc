#include "testing/fake_cli.h"

#include <cmath>

namespace cresset::testing {

Result<std::string> CapturedTerminal::read_all(size_t bytes_max) {
  if (in_text.size() > bytes_max) return fail(Code::kLimit, "too long", "stdin");
  return std::exchange(in_text, {});
}

Result<std::optional<std::string>> CapturedTerminal::read_line(size_t bytes_max) {
  if (in_text.empty()) return std::optional<std::string>();
  const size_t newline = std::min(in_text.find('\n'), in_text.size());
  if (newline > bytes_max) return fail(Code::kLimit, "too long", "stdin");
  std::string line = in_text.substr(0, newline);
  in_text.erase(0, newline + 1);
  return line;
}

Status EchoEngine::submit(engine::Job job) {
  std::string text;
  if (job.request.is_chat()) {
    text = job.request.messages.back().text();
  } else {
    text = std::get<std::string>(job.request.prompts.front());
  }
  const int prompt = static_cast<int>(text.size());
  if (text == "fail") {
    job.sink->on_event(chat::Failed{{Code::kLimit, "the prompt has 9 tokens and the context holds 8", ""}});
    return {};
  }
  if (text == "vanish") return {};  // as an engine does with a job that was cancelled
  job.sink->on_event(chat::Started{{prompt, 0, 0}});
  int count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    const size_t end = std::min(text.find(' ', at), text.size() - 1) + 1;
    job.sink->on_event(chat::TextDelta{0, text.substr(at, end - at), {}});
    at = end;
  }
  job.sink->on_event(chat::Finished{0, chat::FinishReason::kStop, {prompt, 0, count}});
  return {};
}

std::vector<int32_t> EchoEngine::tokenize(std::string_view text, bool parse_special) const {
  std::vector<int32_t> out;
  if (parse_special) out.push_back(1000);
  for (const char c : text) out.push_back(static_cast<unsigned char>(c));
  return out;
}

Result<std::vector<int32_t>> EchoEngine::prompt_tokens(const chat::Request&) const {
  return std::vector<int32_t>{};
}

Result<std::vector<std::vector<engine::Logits>>> EchoEngine::evaluate(
    const std::vector<std::vector<int32_t>>& sequences, bool all_positions) {
  std::vector<std::vector<engine::Logits>> out;
  for (const auto& sequence : sequences) {
    std::vector<engine::Logits> positions;
    for (const int32_t token : sequence) {
      engine::Logits logits{std::vector<float>(4, 0.0F)};
      logits.values[static_cast<size_t>(token) % 4] = std::log(3.0F);
      positions.push_back(logits);
    }
    if (!all_positions) positions.erase(positions.begin(), positions.end() - 1);
    out.push_back(positions);
  }
  return out;
}

Bottle::Bottle() {
  const auto read_card = [](sys::Env& disk, const std::string& path) -> Result<engine::ModelCard> {
    CRESSET_TRY(bytes, disk.read_file(path, 1u << 30));
    if (!bytes.starts_with("GGUF")) return fail(Code::kCorrupt, "not a GGUF file", path);
    engine::ModelCard card;
    card.architecture = "llama";
    card.quantisation = "Q4_1";
    card.parameters = 134'500'000;
    card.file_bytes = bytes.size();
    card.context_length = 8192;
    card.has_chat_template = bytes.find("chat") != std::string::npos;
    card.chat_template = card.has_chat_template ? "{{ messages }}" : "";
    return card;
  };
  parts.read_card = read_card;
  parts.open_engine = [read_card](sys::Env& disk, const std::string& path,
                                  const engine::EngineOptions&) -> Result<std::unique_ptr<engine::Engine>> {
    CRESSET_TRY(card, read_card(disk, path));
    return std::unique_ptr<engine::Engine>(new EchoEngine(card));
  };
  parts.kernel_name_for = [](engine::KernelKind kind) -> Result<std::string> {
    if (kind == engine::KernelKind::kAvx512)
      return fail(Code::kUnsupported, "this CPU has no AVX-512", "kernels");
    return std::string(kind == engine::KernelKind::kScalar ? "scalar" : "avx2");
  };
  parts.fetch = [this](const net::FetchOptions& options, const auto& on_start, const auto& on_bytes,
                       const auto& is_cancelled) -> Result<net::FetchResult> {
    fetched.push_back(options);
    const auto file = network.find(options.url);
    if (file == network.end()) return fail(Code::kNotFound, "404", options.url);
    const CannedFile& canned = file->second;
    const bool resumed = options.from > 0 && (options.if_range.empty() || options.if_range == canned.etag);
    net::FetchResult head{resumed ? 206 : 200, canned.bytes.size(), canned.etag, resumed};
    CRESSET_TRY_STATUS(on_start(head));
    const uint64_t from = resumed ? options.from : 0;
    const std::string rest = canned.bytes.substr(from);
    const std::string sent = canned.cut_after > 0 ? rest.substr(0, canned.cut_after) : rest;
    for (size_t at = 0; at < sent.size(); at += 3) {
      if (is_cancelled()) return fail(Code::kCancelled, "stopped", options.url);
      CRESSET_TRY_STATUS(on_bytes(std::string_view(sent).substr(at, 3)));
    }
    if (sent.size() < rest.size()) return fail(Code::kCorrupt, "the connection was cut", options.url);
    return head;
  };
  parts.serve = [this](cli::Context&) -> Result<int> {
    serves = true;
    return 0;
  };
  parts.on_interrupt = [](std::function<void()>) { return std::shared_ptr<void>(); };
  parts.cpu.name = "a CPU";
  parts.cpu.avx2 = true;
  parts.read_memory = [] { return sys::Memory{8'000'000'000, 4'000'000'000}; };
}

int Bottle::run(std::vector<std::string> words) {
  terminal.out_text.clear();
  terminal.err_text.clear();
  const cli::Environment environment = [this](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  };
  return cli::run_command_line(env, terminal, parts, environment, words);
}

}  // namespace cresset::testing
