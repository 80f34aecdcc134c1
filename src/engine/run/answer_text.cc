#include "engine/run/answer_text.h"

#include <algorithm>

#include "base/text.h"

namespace cresset::engine {

AnswerText::AnswerText(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& s) { return s.empty(); });
}

bool AnswerText::add(std::string_view bytes, std::optional<chat::TokenReport> report) {
  const size_t begin = shown_ + held_.size();
  if (report) reports_.push_back({begin, begin + bytes.size(), std::move(*report)});
  const size_t before = held_.size();
  held_ += bytes;
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) {
    // A match must end in the new bytes: what was held before holds none.
    const size_t from = before >= stop.size() ? before - stop.size() + 1 : 0;
    cut = std::min(cut, held_.find(stop, from));
  }
  if (cut == std::string::npos) return false;
  held_.resize(cut);
  while (!reports_.empty() && reports_.back().begin >= shown_ + cut) reports_.pop_back();
  if (!reports_.empty()) reports_.back().end = std::min(reports_.back().end, shown_ + cut);
  return true;
}

size_t AnswerText::safe_bytes() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) longest = n;
    }
  }
  const std::string_view free(held_.data(), held_.size() - longest);
  return free.size() - incomplete_tail(free);
}

chat::TextDelta AnswerText::emit(size_t bytes, bool is_end) {
  chat::TextDelta delta;
  delta.text = to_valid_utf8(std::string_view(held_).substr(0, bytes));
  held_.erase(0, bytes);
  shown_ += bytes;
  while (!reports_.empty() && (is_end || reports_.front().end <= shown_)) {
    delta.tokens.push_back(std::move(reports_.front().report));
    reports_.pop_front();
  }
  return delta;
}

chat::TextDelta AnswerText::take() {
  return emit(safe_bytes(), false);
}

chat::TextDelta AnswerText::finish() {
  return emit(held_.size(), true);
}

}  // namespace cresset::engine
