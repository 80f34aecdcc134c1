#include "engine/token/jinja/expression_parser.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/token/jinja/builtins.h"
#include "engine/token/jinja/fault.h"

namespace cresset::engine::jinja {

ExpressionParser::Nesting::Nesting(ExpressionParser& parser) : parser_(parser) {
  if (parser_.depth_ >= parser_.limits_.depth_max) {
    fault(Code::kLimit, "nested deeper than " + std::to_string(parser_.limits_.depth_max), parser_.line());
  }
  ++parser_.depth_;
}

void ExpressionParser::fail(std::string what) const {
  fault(Code::kInvalid, std::move(what), line());
}

const LexToken& ExpressionParser::expect(TokenType type, std::string_view what) {
  if (!peek_is(type)) fail("expected " + std::string(what));
  return next();
}

bool ExpressionParser::take_operator(std::string_view op) {
  if (!is_operator(op)) return false;
  next();
  return true;
}
bool ExpressionParser::take_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}
void ExpressionParser::expect_operator(std::string_view op) {
  if (!take_operator(op)) fail("expected \"" + std::string(op) + "\"");
}
void ExpressionParser::expect_name(std::string_view name) {
  if (!take_name(name)) fail("expected \"" + std::string(name) + "\"");
}

size_t ExpressionParser::slot_of(const std::string& name) {
  const auto [it, is_new] = slots_.try_emplace(name, names_.size());
  if (is_new) names_.push_back(name);
  return it->second;
}

size_t ExpressionParser::new_slot() {
  names_.emplace_back();
  return names_.size() - 1;
}

ExprPtr ExpressionParser::slot_reference(size_t slot) {
  ExprPtr out = make(ExprKind::kName);
  out->slot = slot;
  return out;
}

bool ExpressionParser::is_reserved(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kReserved{
      "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if"};
  return std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end();
}

ExprPtr ExpressionParser::make(ExprKind kind) const {
  auto out = std::make_unique<Expr>();
  out->kind = kind;
  out->line = line();
  return out;
}

// Hangs `kid` (may be null) under `parent`.
ExprPtr ExpressionParser::add(ExprPtr parent, ExprPtr kid) const {
  if (kid) parent->height = std::max(parent->height, kid->height + 1);
  if (parent->height > limits_.height_max) {
    fault(Code::kLimit, "an expression nested deeper than " + std::to_string(limits_.height_max), line());
  }
  parent->kids.push_back(std::move(kid));
  return parent;
}

ExprPtr ExpressionParser::parse_tuple() {
  ExprPtr first = parse_expression();
  if (!is_operator(",")) return first;
  ExprPtr out = add(make(ExprKind::kTuple), std::move(first));
  while (take_operator(",")) {
    if (peek_is(TokenType::kBlockEnd) || peek_is(TokenType::kOutputEnd) || is_operator(")")) break;
    out = add(std::move(out), parse_expression());
  }
  return out;
}

ExprPtr ExpressionParser::parse_for_items() {
  ExprPtr first = parse_or();
  if (!is_operator(",")) return first;
  ExprPtr out = add(make(ExprKind::kTuple), std::move(first));
  while (take_operator(",")) out = add(std::move(out), parse_or());
  return out;
}

ExprPtr ExpressionParser::parse_expression() {
  const Nesting nesting(*this);
  ExprPtr out = parse_or();
  while (take_name("if")) {
    ExprPtr choose = add(add(make(ExprKind::kChoose), std::move(out)), parse_or());
    out = add(std::move(choose), take_name("else") ? parse_expression() : nullptr);
  }
  return out;
}

ExprPtr ExpressionParser::parse_or() {
  ExprPtr out = parse_and();
  if (!is_name("or")) return out;
  out = add(make(ExprKind::kOr), std::move(out));
  while (take_name("or")) out = add(std::move(out), parse_and());
  return out;
}

ExprPtr ExpressionParser::parse_and() {
  ExprPtr out = parse_not();
  if (!is_name("and")) return out;
  out = add(make(ExprKind::kAnd), std::move(out));
  while (take_name("and")) out = add(std::move(out), parse_not());
  return out;
}

ExprPtr ExpressionParser::parse_not() {
  if (!is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  ExprPtr out = make(ExprKind::kNot);
  next();
  return add(std::move(out), parse_not());
}

ExprPtr ExpressionParser::parse_compare() {
  static constexpr std::array<std::pair<std::string_view, Op>, 6> kOps{{{"==", Op::kEqual},
                                                                        {"!=", Op::kNotEqual},
                                                                        {"<", Op::kLess},
                                                                        {"<=", Op::kLessEqual},
                                                                        {">", Op::kGreater},
                                                                        {">=", Op::kGreaterEqual}}};
  ExprPtr left = parse_chain(0);
  ExprPtr out;
  for (;;) {
    const auto* found =
        std::find_if(kOps.begin(), kOps.end(), [&](const auto& o) { return is_operator(o.first); });
    Op op{};
    if (found != kOps.end()) {
      next();
      op = found->second;
    } else if (take_name("in")) {
      op = Op::kIn;
    } else if (is_name("not") && peek(1).type == TokenType::kName && peek(1).text == "in") {
      next();
      next();
      op = Op::kNotIn;
    } else {
      return out ? std::move(out) : std::move(left);
    }
    if (!out) out = add(make(ExprKind::kCompare), std::move(left));
    out->ops.push_back(op);
    out = add(std::move(out), parse_chain(0));
  }
}

// Levels, loosest first: + - | ~ | * / // % | **
ExprPtr ExpressionParser::parse_chain(int level) {
  struct Entry {
    std::string_view text;
    Op op;
    int level;
  };
  static constexpr std::array<Entry, 8> kOps{{{"+", Op::kAdd, 0},
                                              {"-", Op::kSubtract, 0},
                                              {"~", Op::kConcat, 1},
                                              {"*", Op::kMultiply, 2},
                                              {"/", Op::kDivide, 2},
                                              {"//", Op::kFloorDivide, 2},
                                              {"%", Op::kModulo, 2},
                                              {"**", Op::kPower, 3}}};
  if (level == 4) return parse_unary(true);
  ExprPtr left = parse_chain(level + 1);
  ExprPtr out;
  for (;;) {
    const auto* found = std::find_if(kOps.begin(), kOps.end(),
                                     [&](const Entry& e) { return e.level == level && is_operator(e.text); });
    if (found == kOps.end()) return out ? std::move(out) : std::move(left);
    next();
    if (!out) out = add(make(ExprKind::kChain), std::move(left));
    out->ops.push_back(found->op);
    out = add(std::move(out), parse_chain(level + 1));
  }
}

ExprPtr ExpressionParser::parse_unary(bool with_filters) {
  ExprPtr out;
  if (is_operator("-") || is_operator("+")) {
    const Nesting nesting(*this);
    out = make(is_operator("-") ? ExprKind::kNegative : ExprKind::kPositive);
    next();
    out = add(std::move(out), parse_unary(false));
  } else {
    out = parse_primary();
  }
  out = parse_postfix(std::move(out));
  return with_filters ? parse_filters(std::move(out)) : std::move(out);
}

ExprPtr ExpressionParser::parse_primary() {
  switch (peek().type) {
    case TokenType::kName:
      return parse_name();
    case TokenType::kText:
      return parse_text();
    case TokenType::kInteger:
    case TokenType::kFloat:
      return parse_number();
    default:
      break;
  }
  if (is_operator("(")) return parse_parentheses();
  if (is_operator("[")) return parse_list();
  if (is_operator("{")) return parse_dict();
  fail("expected an expression");
}

ExprPtr ExpressionParser::literal(Value v) const {
  ExprPtr out = make(ExprKind::kLiteral);
  out->value = v;
  return out;
}

ExprPtr ExpressionParser::text_literal(std::string text) {
  literals_.push_back(std::make_unique<Text>(std::move(text), false));
  return literal(Value::of(literals_.back().get()));
}

ExprPtr ExpressionParser::parse_name() {
  const std::string name = next().text;
  if (name == "true" || name == "True") return literal(Value::of(true));
  if (name == "false" || name == "False") return literal(Value::of(false));
  if (name == "none" || name == "None") return literal(Value::none());
  if (is_reserved(name)) fail("unexpected \"" + name + "\"");
  ExprPtr out = make(ExprKind::kName);
  out->slot = slot_of(name);
  out->text = name;
  return out;
}

ExprPtr ExpressionParser::parse_number() {
  const LexToken& token = next();
  const char *begin = token.text.data(), *end = begin + token.text.size();
  if (token.type == TokenType::kInteger) {
    int64_t value = 0;
    std::from_chars(begin, end, value);
    return literal(Value::of(value));
  }
  double value = 0;
  if (std::from_chars(begin, end, value).ec != std::errc()) fail("a number out of range");
  return literal(Value::of(value));
}

ExprPtr ExpressionParser::parse_text() {
  std::string text = next().text;
  while (peek_is(TokenType::kText)) text += next().text;
  return text_literal(std::move(text));
}

ExprPtr ExpressionParser::parse_parentheses() {
  const Nesting nesting(*this);
  expect_operator("(");
  if (take_operator(")")) return make(ExprKind::kTuple);
  ExprPtr out = parse_tuple();
  expect_operator(")");
  return out;
}

ExprPtr ExpressionParser::parse_list() {
  ExprPtr out = make(ExprKind::kList);
  expect_operator("[");
  while (!take_operator("]")) {
    if (!out->kids.empty()) {
      expect_operator(",");
      if (take_operator("]")) break;
    }
    out = add(std::move(out), parse_expression());
  }
  return out;
}

ExprPtr ExpressionParser::parse_dict() {
  ExprPtr out = make(ExprKind::kDict);
  expect_operator("{");
  while (!take_operator("}")) {
    if (!out->kids.empty()) {
      expect_operator(",");
      if (take_operator("}")) break;
    }
    out = add(std::move(out), parse_expression());
    expect_operator(":");
    out = add(std::move(out), parse_expression());
  }
  return out;
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr left) {
  for (;;) {
    if (take_operator(".")) {
      ExprPtr out = make(ExprKind::kAttribute);
      if (peek_is(TokenType::kInteger)) {
        out->kind = ExprKind::kIndex;
        left = add(add(std::move(out), std::move(left)), parse_number());
        continue;
      }
      out->text = expect(TokenType::kName, "an attribute's name").text;
      left = add(std::move(out), std::move(left));
    } else if (is_operator("[")) {
      left = parse_subscript(std::move(left));
    } else if (is_operator("(")) {
      left = parse_arguments(add(make(ExprKind::kCall), std::move(left)));
    } else {
      return left;
    }
  }
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr left) {
  expect_operator("[");
  const auto at_part = [&] { return !is_operator(":") && !is_operator("]"); };
  ExprPtr first = at_part() ? parse_tuple() : nullptr;
  if (first && take_operator("]")) return add(add(make(ExprKind::kIndex), std::move(left)), std::move(first));
  ExprPtr out = add(add(make(ExprKind::kSlice), std::move(left)), std::move(first));
  expect_operator(":");
  out = add(std::move(out), at_part() ? parse_expression() : nullptr);
  const bool has_step = take_operator(":") && at_part();
  out = add(std::move(out), has_step ? parse_expression() : nullptr);
  expect_operator("]");
  return out;
}

// (a, b, name=c), added to `call`.
ExprPtr ExpressionParser::parse_arguments(ExprPtr call) {
  expect_operator("(");
  bool is_first = true;
  while (!take_operator(")")) {
    if (!is_first) {
      expect_operator(",");
      if (take_operator(")")) break;
    }
    is_first = false;
    if (is_operator("*") || is_operator("**"))
      fault(Code::kUnsupported, "* and ** arguments are not supported", line());
    if (peek_is(TokenType::kName) && peek(1).type == TokenType::kOperator && peek(1).text == "=") {
      call->names.push_back(next().text);
      next();
    } else if (!call->names.empty()) {
      fail("an argument without a name after one with a name");
    }
    call = add(std::move(call), parse_expression());
  }
  return call;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr left) {
  for (;;) {
    if (take_operator("|")) {
      left = parse_filter(std::move(left));
    } else if (is_name("is")) {
      left = parse_test(std::move(left));
    } else if (is_operator("(")) {
      left = parse_arguments(add(make(ExprKind::kCall), std::move(left)));
    } else {
      return left;
    }
  }
}

ExprPtr ExpressionParser::parse_filter(ExprPtr left) {
  ExprPtr out = make(ExprKind::kFilter);
  out->text = expect(TokenType::kName, "a filter's name").text;
  out->filter = find_filter(out->text);
  if (out->filter == nullptr) {
    fault(Code::kUnsupported, "the filter \"" + out->text.substr(0, 40) + "\" is not supported", line());
  }
  out = add(std::move(out), std::move(left));
  return is_operator("(") ? parse_arguments(std::move(out)) : std::move(out);
}

ExprPtr ExpressionParser::parse_test(ExprPtr left) {
  expect_name("is");
  const bool is_negated = take_name("not");
  ExprPtr out = make(ExprKind::kTest);
  out->text = expect(TokenType::kName, "a test's name").text;
  out->test = find_test(out->text);
  if (out->test == nullptr) {
    fault(Code::kUnsupported, "the test \"" + out->text.substr(0, 40) + "\" is not supported", line());
  }
  out = parse_test_argument(add(std::move(out), std::move(left)));
  return is_negated ? add(make(ExprKind::kNot), std::move(out)) : std::move(out);
}

// (a, b), or one argument without parentheses.
ExprPtr ExpressionParser::parse_test_argument(ExprPtr test) {
  if (is_operator("(")) return parse_arguments(std::move(test));
  const bool is_value = peek_is(TokenType::kText) || peek_is(TokenType::kInteger) ||
                        peek_is(TokenType::kFloat) || is_operator("[") || is_operator("{");
  const bool is_operand = peek_is(TokenType::kName) && !is_name("else") && !is_name("or") &&
                          !is_name("and") && !is_name("is") && !is_name("if") && !is_name("in") &&
                          !is_name("not");
  if (!is_value && !is_operand) return test;
  return add(std::move(test), parse_postfix(parse_primary()));
}

}  // namespace cresset::engine::jinja
