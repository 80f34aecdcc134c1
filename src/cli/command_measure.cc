// logits, tokenize: the engine's numbers as JSON lines, in the shapes that scripts compare.
#include <algorithm>
#include <cmath>

#include "cli/base64.h"
#include "cli/commands.h"
#include "sys/crypto.h"

namespace cresset::cli {
namespace {

constexpr size_t kLineBytesMax = 32u << 20;

// --- logits

std::string line_place(int line) {
  return "stdin:" + std::to_string(line);
}

Result<std::vector<int32_t>> read_tokens(const std::string& line, int number) {
  auto json = parse_json(line);
  const Json* tokens = json ? json->find("tokens") : nullptr;
  if (tokens == nullptr || !tokens->is_array() || json->as_object().size() != 1) {
    return fail(Code::kInvalid, "needs {\"tokens\":[…]}", line_place(number));
  }
  std::vector<int32_t> out;
  for (const Json& token : tokens->as_array()) {
    if (!token.is_integer() || token.as_integer() < 0 || token.as_integer() > INT32_MAX) {
      return fail(Code::kInvalid, "a token is a whole number from 0", line_place(number));
    }
    out.push_back(static_cast<int32_t>(token.as_integer()));
  }
  if (out.empty()) return fail(Code::kInvalid, "needs at least one token", line_place(number));
  return out;
}

// The top log-probabilities (natural, over the whole vocabulary; ties by the smaller id) and the hash of the
// logits.
Json report_logits(const std::vector<float>& logits, size_t top) {
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  top = std::min(top, order.size());
  const auto higher = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x > y || (x == y && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(), higher);
  double high = -INFINITY, sum = 0;
  for (const float value : logits) high = std::max<double>(high, value);
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - high);
  const double norm = high + std::log(sum);
  Json list = Json::array();
  for (size_t i = 0; i < top; ++i) {
    list.push(Json::array({order[i], static_cast<double>(logits[static_cast<size_t>(order[i])]) - norm}));
  }
  // x86-64 and AArch64 hold float32 little-endian in memory, as the contract hashes them.
  const auto digest = sys::sha256(std::as_bytes(std::span(logits)));
  return Json::object({{"top", std::move(list)}, {"logits_sha256", sys::to_hex(digest)}});
}

Status evaluate_batch(Context& context, engine::Engine& engine,
                      const std::vector<std::vector<int32_t>>& batch, bool all, size_t top) {
  CRESSET_TRY(results, engine.evaluate(batch, all));
  for (const auto& positions : results) {
    Json list = Json::array();
    for (const engine::Logits& logits : positions) list.push(report_logits(logits.values, top));
    if (!all && list.as_array().empty()) return fail(Code::kInternal, "the engine gave no logits");
    context.print_json(all ? list : list.as_array().back());
  }
  return {};
}

Result<int> run_logits(Context& context) {
  CRESSET_TRY(top, parse_number(context.args.get("--top", "20"), 1, 1 << 20, "--top"));
  CRESSET_TRY(batch_max, parse_number(context.args.get("--batch", "1"), 1, 4096, "--batch"));
  CRESSET_TRY(file, find_model(context, context.args.arguments[0]));
  CRESSET_TRY(engine, open_engine(context, file.path));
  const bool all = context.args.has("--all");
  std::vector<std::vector<int32_t>> batch;
  for (int number = 1;; ++number) {
    CRESSET_TRY(line, context.terminal.read_line(kLineBytesMax));
    if (line && line->empty()) continue;
    if (line) {
      CRESSET_TRY(tokens, read_tokens(*line, number));
      batch.push_back(tokens);
    }
    if (!batch.empty() && (!line || batch.size() == static_cast<size_t>(batch_max))) {
      Status done = evaluate_batch(context, *engine, batch, all, static_cast<size_t>(top));
      if (!done && done.error().where.empty()) done.error().where = line_place(line ? number : number - 1);
      CRESSET_TRY_STATUS(done);
      batch.clear();
    }
    if (!line) return 0;
  }
}

// --- tokenize

Result<std::string> read_text(const std::string& line, int number) {
  auto json = parse_json(line);
  if (!json) return fail(Code::kInvalid, json.error().what, line_place(number));
  const Json* text = json->find("text");
  const Json* coded = json->find("base64");
  if (json->is_object() && json->as_object().size() == 1) {
    if (text != nullptr && text->is_string()) return text->as_string();
    if (coded != nullptr && coded->is_string()) {
      auto bytes = decode_base64(coded->as_string());
      if (bytes) return bytes;
      return fail(Code::kInvalid, bytes.error().what, line_place(number));
    }
  }
  return fail(Code::kInvalid, "needs {\"text\":\"…\"} or {\"base64\":\"…\"}", line_place(number));
}

Result<int> run_tokenize(Context& context) {
  CRESSET_TRY(file, find_model(context, context.args.arguments[0]));
  CRESSET_TRY(engine, open_engine(context, file.path));
  const bool special = context.args.has("--special");
  for (int number = 1;; ++number) {
    CRESSET_TRY(line, context.terminal.read_line(kLineBytesMax));
    if (!line) return 0;
    if (line->empty()) continue;
    CRESSET_TRY(text, read_text(*line, number));
    Json tokens = Json::array();
    for (const int32_t token : engine->tokenize(text, special)) tokens.push(token);
    context.print_json(Json::object({{"tokens", std::move(tokens)}}));
  }
}

}  // namespace

std::vector<Command> measure_commands() {
  return {
      {{"logits", "MODEL", "Log-probabilities of the next token for token lists on stdin; JSON lines",
        "stdin: {\"tokens\":[…]} a line; stdout: {\"top\":[[token, logprob], …], \"logits_sha256\":\"…\"} a "
        "line.",
        "echo '{\"tokens\":[1,2,3]}' | cresset logits smollm2 --top 5",
        with_engine_flags({{"--top", "N", "tokens to print (default 20)"},
                           {"--all", "", "every position, as a list"},
                           {"--batch", "N", "lines computed together (default 1)"}}),
        1, 1},
       run_logits},
      {{"tokenize",
        "MODEL",
        "Token ids of texts on stdin; JSON lines",
        "stdin: {\"text\":\"…\"} or {\"base64\":\"…\"} a line; stdout: {\"tokens\":[…]}. No "
        "begin-of-sequence is added.",
        "echo '{\"text\":\"hello\"}' | cresset tokenize smollm2",
        {{"--special", "", "text that looks like a special token becomes that token"}},
        1,
        1},
       run_tokenize},
  };
}

}  // namespace cresset::cli
