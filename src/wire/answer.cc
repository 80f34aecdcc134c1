#include "wire/answer.h"

#include <algorithm>

#include "base/check.h"

namespace cresset::wire {

void add_usage(chat::Usage& total, const chat::Usage& finished, bool is_only_choice) {
  if (is_only_choice && finished.prompt_tokens != 0) total.prompt_tokens = finished.prompt_tokens;
  total.prompt_tokens = std::max(total.prompt_tokens, finished.prompt_tokens);
  total.cached_tokens = std::max(total.cached_tokens, finished.cached_tokens);
  total.cache_write_tokens = std::max(total.cache_write_tokens, finished.cache_write_tokens);
  total.completion_tokens += finished.completion_tokens;
  total.reasoning_tokens += finished.reasoning_tokens;
}

Choice& Answer::at(int choice) {
  CHECK(choice >= 0 && static_cast<size_t>(choice) < choices_.size());
  return choices_[static_cast<size_t>(choice)];
}

template <class Body>
chat::Part& Answer::open_part(int choice) {
  Choice& c = at(choice);
  Open& open = open_[static_cast<size_t>(choice)];
  if (!open.is_open || c.parts.empty() || !std::holds_alternative<Body>(c.parts.back().body)) {
    c.parts.push_back({Body{}});
    open.is_open = true;
  }
  return c.parts.back();
}

void Answer::add(const chat::Event& event) {
  if (const auto* delta = std::get_if<chat::TextDelta>(&event)) {
    Choice& choice = at(delta->choice);
    if (!delta->text.empty())
      std::get<chat::Text>(open_part<chat::Text>(delta->choice).body).text += delta->text;
    choice.tokens.insert(choice.tokens.end(), delta->tokens.begin(), delta->tokens.end());
  } else if (const auto* started = std::get_if<chat::Started>(&event)) {
    head_ = *started;
    add_usage(usage_, {started->usage.prompt_tokens, started->usage.cached_tokens, 0,
                       started->usage.cache_write_tokens, 0});
  } else if (const auto* thought = std::get_if<chat::ReasoningDelta>(&event)) {
    auto& body = std::get<chat::Reasoning>(open_part<chat::Reasoning>(thought->choice).body);
    body.text += thought->text;
    body.is_summary = thought->is_summary;
  } else if (const auto* refusal = std::get_if<chat::RefusalDelta>(&event)) {
    std::get<chat::Refusal>(open_part<chat::Refusal>(refusal->choice).body).text += refusal->text;
  } else if (const auto* begin = std::get_if<chat::ToolBegin>(&event)) {
    Choice& choice = at(begin->choice);
    Open& open = open_[static_cast<size_t>(begin->choice)];
    open.calls.emplace_back(begin->call, choice.parts.size());
    open.is_open = true;
    choice.parts.push_back({chat::ToolCall{begin->id, begin->name, {}, begin->is_custom}});
  } else if (const auto* more = std::get_if<chat::ToolDelta>(&event)) {
    Choice& choice = at(more->choice);
    for (const auto& [call, part] : open_[static_cast<size_t>(more->choice)].calls) {
      if (call == more->call) std::get<chat::ToolCall>(choice.parts[part].body).arguments += more->arguments;
    }
  } else if (const auto* sign = std::get_if<chat::Signed>(&event)) {
    Choice& choice = at(sign->choice);
    if (choice.parts.empty()) open_part<chat::Text>(sign->choice);
    choice.parts.back().signature = sign->signature;
  } else if (const auto* cited = std::get_if<chat::Cited>(&event)) {
    std::get<chat::Text>(open_part<chat::Text>(cited->choice).body).citations.push(cited->citation);
  } else if (const auto* end = std::get_if<chat::PartEnd>(&event)) {
    at(end->choice);
    open_[static_cast<size_t>(end->choice)].is_open = false;
  } else if (const auto* whole = std::get_if<chat::PartWhole>(&event)) {
    at(whole->choice).parts.push_back(whole->part);
    open_[static_cast<size_t>(whole->choice)].is_open = false;
  } else if (const auto* finished = std::get_if<chat::Finished>(&event)) {
    Choice& choice = at(finished->choice);
    CHECK(!choice.reason);
    choice.reason = finished->reason;
    choice.stop_text = finished->stop_text;
    choice.extras = finished->extras;
    add_usage(usage_, finished->usage, choices_.size() == 1);
    ++finished_;
  }
}

}  // namespace cresset::wire
