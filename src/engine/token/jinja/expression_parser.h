// ExpressionParser: Jinja2's expressions by recursive descent, with its precedences (jinja2/parser.py). The
// base of the statement parser.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token/jinja/lexer.h"
#include "engine/token/jinja/parser.h"
#include "engine/token/jinja/syntax.h"

namespace cresset::engine::jinja {

class ExpressionParser {
 protected:
  ExpressionParser(std::vector<LexToken> tokens, ParseLimits limits)
      : tokens_(std::move(tokens)), limits_(limits) {}

  // Counts how deep the parser is in itself, while it lives.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser);
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

  [[noreturn]] void fail(std::string what) const;
  int line() const { return peek().line; }
  const LexToken& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool peek_is(TokenType type) const { return peek().type == type; }
  const LexToken& next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  const LexToken& expect(TokenType type, std::string_view what);
  bool is_operator(std::string_view op) const { return peek_is(TokenType::kOperator) && peek().text == op; }
  bool is_name(std::string_view name) const { return peek_is(TokenType::kName) && peek().text == name; }
  bool take_operator(std::string_view op);
  bool take_name(std::string_view name);
  void expect_operator(std::string_view op);
  void expect_name(std::string_view name);

  size_t slot_of(const std::string& name);
  size_t new_slot();  // of a variable without a name
  ExprPtr slot_reference(size_t slot);
  std::vector<std::string> take_names() { return std::move(names_); }
  std::vector<std::unique_ptr<Text>> take_literals() { return std::move(literals_); }
  static bool is_reserved(std::string_view name);

  ExprPtr parse_tuple();  // a, b or a single expression
  ExprPtr parse_expression();
  ExprPtr parse_for_items();
  ExprPtr parse_or();
  ExprPtr parse_filters(ExprPtr left);  // | a | b, is c
  ExprPtr parse_filter(ExprPtr left);   // a(...), after the bar

 private:
  ExprPtr make(ExprKind kind) const;
  ExprPtr add(ExprPtr parent, ExprPtr kid) const;
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_chain(int level);
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_number();
  ExprPtr parse_text();
  ExprPtr parse_parentheses();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr left);
  ExprPtr parse_subscript(ExprPtr left);
  ExprPtr parse_test(ExprPtr left);
  ExprPtr parse_test_argument(ExprPtr test);
  ExprPtr parse_arguments(ExprPtr call);
  ExprPtr literal(Value v) const;
  ExprPtr text_literal(std::string text);

  std::vector<LexToken> tokens_;
  ParseLimits limits_;
  size_t at_ = 0;
  int depth_ = 0;
  std::vector<std::string> names_;
  std::map<std::string, size_t, std::less<>> slots_;
  std::vector<std::unique_ptr<Text>> literals_;
};

}  // namespace cresset::engine::jinja
