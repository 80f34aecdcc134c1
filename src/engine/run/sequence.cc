#include "engine/run/sequence.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"

namespace cresset::engine {

Sequence::Sequence(std::shared_ptr<Answer> a, int c, std::vector<Token> prompt, uint64_t seed,
                   const Kernels& kernels)
    : answer(std::move(a)),
      choice(c),
      tokens(std::move(prompt)),
      prompt_size(tokens.size()),
      sampler(answer->job.request.sampling, seed, c, kernels),
      text(answer->job.request.stop) {
  sampler.see_prompt(tokens);
}

size_t Sequence::draft_room() const {
  const size_t end = kv.length + 1, promised = pages_promised * kPagePositions;
  if (tokens_max <= generated() || promised <= end) return 0;
  return std::min(tokens_max - generated() - 1, promised - end);
}

std::span<const Token> Sequence::next_page() const {
  const std::span<const Token> usable(tokens.data(), tokens.size() - 1);
  if (kv.length >= usable.size()) return {};
  return usable.subspan(kv.length, std::min<size_t>(kPagePositions, usable.size() - kv.length));
}

std::span<const Token> Sequence::page_tokens(size_t page) const {
  return std::span<const Token>(tokens).subspan(page * kPagePositions, kPagePositions);
}

size_t Sequence::count_cached(size_t rows) {
  const size_t from = std::min(counted, prompt_size), to = std::min(kv.length, prompt_size);
  counted = std::max(counted, kv.length + rows);
  if (to <= from) return 0;
  // A prompt is counted once, whatever number of choices was asked for.
  if (choice % std::max(1, request().choices) == 0) answer->cached_tokens += static_cast<int>(to - from);
  return to - from;
}

void Sequence::report_prompt(const Tokenizer& tokenizer, size_t first, std::span<float> logits, size_t rows,
                             size_t stride, size_t vocabulary) {
  const int top = request().top_logprobs;
  if (first == 0) {
    chat::TokenReport report;
    report.chosen = {tokens[0], tokenizer.decode(tokens[0], true), std::numeric_limits<double>::quiet_NaN()};
    prompt_reports.push_back(std::move(report));
  }
  for (size_t i = 0; i < rows && first + i + 1 < prompt_size; ++i) {
    chat::TokenReport report =
        sampler.report(logits.subspan(i * stride, vocabulary), tokens[first + i + 1], top);
    report.chosen.bytes = tokenizer.decode(report.chosen.token, true);
    for (auto& t : report.top) t.bytes = tokenizer.decode(t.token, true);
    prompt_reports.push_back(std::move(report));
  }
}

void Sequence::handle_logits(const Tokenizer& tokenizer, std::span<float> logits,
                             std::vector<chat::Event>& events) {
  if (request().echo && generated() == 0) {
    chat::TextDelta echo{choice, {}, std::move(prompt_reports)};
    std::string bytes;
    for (size_t i = 0; i < prompt_size; ++i) bytes += tokenizer.decode(tokens[i], false);
    echo.text = to_valid_utf8(bytes);  // a prompt of token ids may hold half a character
    events.push_back(std::move(echo));
  }
  if (tokens_max == 0) return finish(chat::FinishReason::kLength, events);
  std::vector<float> original;
  if (wants_reports()) original.assign(logits.begin(), logits.end());
  const bool ends_banned = request().ignore_eos || static_cast<int>(generated()) < request().tokens_min;
  const auto& ends = tokenizer.vocabulary().ends;
  const Token token =
      sampler.choose(logits, ends_banned ? std::span<const Token>(ends) : std::span<const Token>());
  if (tokenizer.is_end(token)) return finish(chat::FinishReason::kStop, events);
  sampler.accept(token);
  tokens.push_back(token);
  std::optional<chat::TokenReport> report;
  const std::string bytes = tokenizer.decode(token, false);
  if (wants_reports()) {
    report = sampler.report(original, token, request().top_logprobs);
    report->chosen.bytes = bytes;
    for (auto& t : report->top) t.bytes = tokenizer.decode(t.token, true);
  }
  if (text.add(bytes, std::move(report))) return finish(chat::FinishReason::kStop, events);
  if (generated() >= tokens_max) return finish(chat::FinishReason::kLength, events);
  chat::TextDelta delta = text.take();
  if (!delta.text.empty() || !delta.tokens.empty()) {
    delta.choice = choice;
    events.push_back(std::move(delta));
  }
}

void Sequence::finish(chat::FinishReason reason, std::vector<chat::Event>& events) {
  chat::TextDelta delta = text.finish();
  if (!delta.text.empty() || !delta.tokens.empty()) {
    delta.choice = choice;
    events.push_back(std::move(delta));
  }
  events.push_back(chat::Finished{
      choice, reason, {static_cast<int>(prompt_size), answer->cached_tokens, static_cast<int>(generated())}});
  is_done = true;
}

}  // namespace cresset::engine
