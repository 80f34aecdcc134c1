#include "engine/token/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/text.h"

namespace cresset::engine::jinja {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_name_part(char c) {
  return is_name_start(c) || is_digit(c);
}

std::string normalise_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalise_newlines(source)), rest_(source_) {}

  std::vector<LexToken> run() {
    while (at_ < rest_.size()) lex_data();
    add(TokenType::kEnd, "");
    return std::move(out_);
  }

 private:
  bool starts(std::string_view prefix) const { return rest_.substr(at_).starts_with(prefix); }
  [[noreturn]] void fail_here(std::string what) { fault(Code::kInvalid, std::move(what), line_); }
  void add(TokenType type, std::string text) { out_.push_back({type, std::move(text), line_}); }
  void move_to(size_t to) {
    line_ += static_cast<int>(std::count(rest_.begin() + static_cast<ptrdiff_t>(at_),
                                         rest_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  void skip_spaces() { move_to(at_ + strip_spaces(rest_.substr(at_), true, false).begin); }

  // Text up to the next tag, and the tag.
  void lex_data() {
    size_t tag = at_;
    while ((tag = rest_.find('{', tag)) != std::string_view::npos) {
      if (tag + 1 < rest_.size() && std::string_view("{%#").find(rest_[tag + 1]) != std::string_view::npos)
        break;
      ++tag;
    }
    if (tag == std::string_view::npos) {
      add_data(rest_.substr(at_));
      return move_to(rest_.size());
    }
    const char kind = rest_[tag + 1];
    const char sign = tag + 2 < rest_.size() ? rest_[tag + 2] : ' ';
    add_data(before_tag(rest_.substr(at_, tag - at_), kind, sign));
    is_line_start_ = false;
    move_to(tag + 2 + (sign == '-' || sign == '+' ? 1 : 0));
    if (kind == '#') return skip_comment();
    if (kind == '%' && lex_raw()) return;
    add(kind == '%' ? TokenType::kBlockBegin : TokenType::kOutputBegin, "");
    lex_inside(kind == '%');
  }

  void add_data(std::string_view text) {
    if (!text.empty()) add(TokenType::kData, std::string(text));
  }

  // The text before a tag, without what the tag takes away from it.
  std::string_view before_tag(std::string_view text, char kind, char sign) const {
    if (sign == '-') return text.substr(0, strip_spaces(text, false, true).end);
    if (sign == '+' || kind == '{') return text;
    const size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !is_line_start_) return text;
    const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    const Span rest = strip_spaces(text.substr(line), true, false);
    return line + rest.begin == text.size() ? text.substr(0, line) : text;
  }

  // After a tag's end: `sign` is what stood before it.
  void after_tag(char sign, bool trims_newline) {
    if (sign == '-') {
      skip_spaces();
    } else if (sign != '+' && trims_newline && starts("\n")) {
      move_to(at_ + 1);
      is_line_start_ = true;
    }
  }

  void skip_comment() {
    const size_t end = rest_.find("#}", at_);
    if (end == std::string_view::npos) fail_here("comment without an end");
    const char sign = end > at_ ? rest_[end - 1] : ' ';
    move_to(end + 2);
    after_tag(sign, true);
  }

  // {% raw %} ... {% endraw %}, after the "{%".
  bool lex_raw() {
    size_t at = at_ + strip_spaces(rest_.substr(at_), true, false).begin;
    if (!rest_.substr(at).starts_with("raw")) return false;
    at += 3;
    at += strip_spaces(rest_.substr(at), true, false).begin;
    const bool trims = rest_.substr(at).starts_with("-%}");
    if (!trims && !rest_.substr(at).starts_with("%}")) return false;
    move_to(at + (trims ? 3 : 2));
    if (trims) skip_spaces();
    for (size_t tag = at_; (tag = rest_.find("{%", tag)) != std::string_view::npos; ++tag) {
      size_t end = tag + 2;
      const char sign = end < rest_.size() ? rest_[end] : ' ';
      if (sign == '-' || sign == '+') ++end;
      end += strip_spaces(rest_.substr(end), true, false).begin;
      if (!rest_.substr(end).starts_with("endraw")) continue;
      end += 6;
      end += strip_spaces(rest_.substr(end), true, false).begin;
      const char last = end < rest_.size() ? rest_[end] : ' ';
      if (last == '-' || last == '+') ++end;
      if (!rest_.substr(end).starts_with("%}")) continue;
      add_data(before_tag(rest_.substr(at_, tag - at_), '%', sign));
      move_to(end + 2);
      after_tag(last, true);
      return true;
    }
    fail_here("raw without endraw");
  }

  // Tokens up to the end of the tag.
  void lex_inside(bool is_block) {
    const std::string_view end = is_block ? "%}" : "}}";
    std::vector<char> open;
    for (;;) {
      skip_spaces();
      if (at_ >= rest_.size()) fail_here("a tag without an end");
      if (open.empty()) {
        const char sign = rest_[at_] == '-' || (is_block && rest_[at_] == '+') ? rest_[at_] : ' ';
        if (rest_.substr(at_ + (sign == ' ' ? 0 : 1)).starts_with(end)) {
          add(is_block ? TokenType::kBlockEnd : TokenType::kOutputEnd, "");
          move_to(at_ + (sign == ' ' ? 2 : 3));
          return after_tag(sign, is_block);
        }
      }
      const char c = rest_[at_];
      if (is_name_start(c)) {
        lex_name();
      } else if (is_digit(c)) {
        lex_number();
      } else if (c == '"' || c == '\'') {
        lex_string(c);
      } else {
        lex_operator(open);
      }
    }
  }

  void lex_name() {
    size_t end = at_;
    while (end < rest_.size() && is_name_part(rest_[end])) ++end;
    add(TokenType::kName, std::string(rest_.substr(at_, end - at_)));
    move_to(end);
  }

  void lex_number() {
    size_t end = at_;
    bool is_float = false;
    const auto digits = [&] {
      while (end < rest_.size() && (is_digit(rest_[end]) || rest_[end] == '_')) ++end;
    };
    const auto digit_at = [&](size_t i) { return i < rest_.size() && is_digit(rest_[i]); };
    digits();
    if (end < rest_.size() && rest_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      ++end;
      digits();
    }
    if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
      const size_t sign = end + 1 < rest_.size() && (rest_[end + 1] == '+' || rest_[end + 1] == '-') ? 1 : 0;
      if (digit_at(end + 1 + sign)) {
        is_float = true;
        end += 1 + sign;
        digits();
      }
    }
    std::string text(rest_.substr(at_, end - at_));
    std::erase(text, '_');
    if (!is_float && text.size() > 18) fail_here("a number over 18 digits");
    add(is_float ? TokenType::kFloat : TokenType::kInteger, std::move(text));
    move_to(end);
  }

  void lex_string(char quote) {
    std::string value;
    size_t i = at_ + 1;
    for (;;) {
      if (i >= rest_.size()) fail_here("a string without an end");
      const char c = rest_[i++];
      if (c == quote) break;
      if (c != '\\') {
        value += c;
      } else {
        lex_escape(i, value);
      }
    }
    add(TokenType::kText, std::move(value));
    move_to(i);
  }

  // After a backslash: Python's escapes; an unknown one stays as it is.
  void lex_escape(size_t& i, std::string& value) {
    if (i >= rest_.size()) fail_here("a string without an end");
    const char c = rest_[i++];
    constexpr std::string_view kFrom = "ntrabfv\\'\"0", kTo("\n\t\r\a\b\f\v\\'\"\0", 11);
    const size_t simple = kFrom.find(c);
    if (simple != std::string_view::npos) {
      value += kTo[simple];
      return;
    }
    if (c == '\n') return;
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
      value += '\\';
      value += c;
      return;
    }
    char32_t code = 0;
    for (size_t n = 0; n < digits; ++n, ++i) {
      const size_t d = i < rest_.size() ? std::string_view("0123456789abcdefABCDEF").find(rest_[i])
                                        : std::string_view::npos;
      if (d == std::string_view::npos) fail_here("a broken \\" + std::string(1, c) + " escape");
      code = code * 16 + static_cast<char32_t>(d > 15 ? d - 6 : d);
    }
    append_utf8(value, code);
  }

  void lex_operator(std::vector<char>& open) {
    static constexpr std::array<std::string_view, 25> kOperators{
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};
    for (const std::string_view op : kOperators) {
      if (!starts(op)) continue;
      const size_t closes = std::string_view(")]}").find(op[0]);
      if (std::string_view("([{").find(op[0]) != std::string_view::npos) {
        open.push_back(op[0]);
      } else if (closes != std::string_view::npos) {
        if (open.empty() || open.back() != "([{"[closes]) fail_here("unexpected \"" + std::string(op) + "\"");
        open.pop_back();
      }
      add(TokenType::kOperator, std::string(op));
      return move_to(at_ + op.size());
    }
    fail_here("unexpected character in a tag");
  }

  std::string source_;
  std::string_view rest_;
  size_t at_ = 0;
  int line_ = 1;
  bool is_line_start_ = true;  // the text that follows begins a line
  std::vector<LexToken> out_;
};

}  // namespace

std::vector<LexToken> lex(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace cresset::engine::jinja
