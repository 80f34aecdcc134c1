#include "engine/token/pre_tokenizer.h"

#include <array>
#include <utility>

namespace cresset::engine {
namespace {

// Words of one piece [begin, end) of the text; nothing outside the piece is looked at.
class Splitter {
 public:
  Splitter(const CodePoints& text, size_t begin, size_t end, std::vector<size_t>& ends)
      : text_(text), at_(begin), end_(end), ends_(ends) {}

  void split_gpt2() {
    while (at_ < end_) {
      if (take_contraction(false)) continue;
      // An optional space, then a run of one class.
      const size_t run = at_ + (is(at_, U' ') ? 1 : 0);
      if (run < end_ && text_.classes[run] != CharClass::kSpace) {
        take_to(end_of_run(run, text_.classes[run]));
      } else {
        take_spaces();
      }
    }
  }

  void split_llama3(size_t digits_max) {
    while (at_ < end_) {
      if (take_contraction(true) || take_letters() || take_digits(digits_max) || take_others()) continue;
      if (!take_line_ends()) take_spaces();
    }
  }

 private:
  bool is(size_t i, char32_t c) const { return i < end_ && text_.values[i] == c; }
  bool is(size_t i, CharClass c) const { return i < end_ && text_.classes[i] == c; }
  bool is_line_end(size_t i) const { return is(i, U'\r') || is(i, U'\n'); }
  size_t end_of_run(size_t i, CharClass c) const {
    while (is(i, c)) ++i;
    return i;
  }
  bool take_to(size_t end) {
    at_ = end;
    ends_.push_back(end);
    return true;
  }

  // 's 't 'm 'd 're 've 'll
  bool take_contraction(bool any_case) {
    if (!is(at_, U'\'') || at_ + 1 >= end_) return false;
    const auto letter = [&](size_t i) -> char32_t {
      if (i >= end_) return 0;
      return any_case ? to_lower(text_.values[i]) : text_.values[i];
    };
    const char32_t a = letter(at_ + 1), b = letter(at_ + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return take_to(at_ + 2);
    const bool is_long = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return is_long && take_to(at_ + 3);
  }

  // [^\r\n\p{L}\p{N}]?\p{L}+
  bool take_letters() {
    if (is_line_end(at_) || is(at_, CharClass::kNumber)) return false;
    if (!is(at_, CharClass::kLetter) && !is(at_ + 1, CharClass::kLetter)) return false;
    return take_to(end_of_run(at_ + 1, CharClass::kLetter));
  }

  // \p{N}{1,max}
  bool take_digits(size_t max) {
    size_t end = at_;
    while (end - at_ < max && is(end, CharClass::kNumber)) ++end;
    return end > at_ && take_to(end);
  }

  //  ?[^\s\p{L}\p{N}]+[\r\n]*
  bool take_others() {
    const size_t run = at_ + (is(at_, U' ') ? 1 : 0);
    if (!is(run, CharClass::kOther)) return false;
    size_t end = end_of_run(run, CharClass::kOther);
    while (is_line_end(end)) ++end;
    return take_to(end);
  }

  // \s*[\r\n]+
  bool take_line_ends() {
    size_t end = at_;
    for (size_t i = at_; is(i, CharClass::kSpace); ++i) {
      if (is_line_end(i)) end = i + 1;
    }
    return end > at_ && take_to(end);
  }

  // \s+(?!\S)|\s+ : a run of spaces leaves its last one to the word that follows.
  void take_spaces() {
    const size_t end = end_of_run(at_, CharClass::kSpace);
    take_to(end - at_ > 1 && end < end_ ? end - 1 : end);
  }

  const CodePoints& text_;
  size_t at_, end_;
  std::vector<size_t>& ends_;
};

void split_smollm(const CodePoints& text, std::vector<size_t>& ends) {
  const size_t size = text.values.size();
  size_t begin = 0;
  for (size_t i = 0; i <= size; ++i) {
    if (i < size && text.classes[i] != CharClass::kNumber) continue;
    Splitter(text, begin, i, ends).split_gpt2();
    if (i < size) ends.push_back(i + 1);
    begin = i + 1;
  }
}

}  // namespace

std::optional<PreType> find_pre_type(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, PreType>, 7> kNames{{
      {"gpt-2", PreType::kGpt2},
      {"smollm", PreType::kSmolLm},
      {"llama-bpe", PreType::kLlama3},
      {"llama3", PreType::kLlama3},
      {"llama-v3", PreType::kLlama3},
      {"qwen2", PreType::kQwen2},
      {"deepseek-r1-qwen", PreType::kQwen2},
  }};
  for (const auto& [known, type] : kNames) {
    if (known == name) return type;
  }
  return std::nullopt;
}

CodePoints::CodePoints(std::string_view text) {
  values.reserve(text.size());
  classes.reserve(text.size());
  offsets.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size();) {
    const LooseCodePoint c = next_loose_code_point(text.substr(at));
    values.push_back(c.value);
    classes.push_back(class_of(c.value));
    offsets.push_back(at);
    at += c.length;
  }
  offsets.push_back(text.size());
}

void split_words(PreType type, const CodePoints& text, std::vector<size_t>& ends) {
  if (type == PreType::kSmolLm) return split_smollm(text, ends);
  Splitter splitter(text, 0, text.values.size(), ends);
  if (type == PreType::kGpt2) return splitter.split_gpt2();
  splitter.split_llama3(type == PreType::kLlama3 ? 3 : 1);
}

}  // namespace cresset::engine
