#include "engine/token/jinja/parser.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "engine/token/jinja/builtins.h"
#include "engine/token/jinja/expression_parser.h"
#include "engine/token/jinja/fault.h"

namespace cresset::engine::jinja {
namespace {

// Statements; expressions are in expression_parser.cc.
class Parser : private ExpressionParser {
 public:
  Parser(std::string_view source, ParseLimits limits) : ExpressionParser(lex(source), limits) {}

  Syntax run() {
    Syntax out;
    out.body = parse_body();
    if (!peek_is(TokenType::kEnd)) fail("\"" + peek(1).text + "\" does not close anything here");
    out.names = take_names();
    out.literals = take_literals();
    return out;
  }

 private:
  std::unique_ptr<Node> make(NodeKind kind) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = line();
    return node;
  }

  // Nodes up to a tag that ends or continues the block (left in place), or up to the end.
  Body parse_body() {
    const Nesting nesting(*this);
    Body out;
    for (;;) {
      if (peek_is(TokenType::kEnd)) return out;
      if (peek_is(TokenType::kData)) {
        out.push_back(make(NodeKind::kText));
        out.back()->text = next().text;
      } else if (peek_is(TokenType::kOutputBegin)) {
        next();
        out.push_back(make(NodeKind::kOutput));
        out.back()->exprs.push_back(parse_tuple());
        expect(TokenType::kOutputEnd, "}}");
      } else {
        const std::string& name = peek(1).text;
        if (name.starts_with("end") || name == "else" || name == "elif") return out;
        if (auto node = parse_statement()) out.push_back(std::move(node));
      }
    }
  }

  std::string open_tag() {
    expect(TokenType::kBlockBegin, "{%");
    return expect(TokenType::kName, "a statement's name").text;
  }
  void end_tag() { expect(TokenType::kBlockEnd, "%}"); }
  void close(std::string_view name) {
    if (peek_is(TokenType::kEnd)) fail(std::string(name) + " is missing");
    if (open_tag() != name) fail(std::string(name) + " is missing");
    end_tag();
  }

  std::unique_ptr<Node> parse_statement() {
    const std::string name = open_tag();
    if (name == "if") return parse_if();
    if (name == "for") return parse_for();
    if (name == "set") return parse_set();
    if (name == "macro") return parse_macro();
    if (name == "filter") return parse_filter_block();
    if (name == "with") return parse_with();
    if (name == "generation") return parse_generation();
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fail(name + " outside of a loop");
      auto node = make(name == "break" ? NodeKind::kBreak : NodeKind::kContinue);
      end_tag();
      return node;
    }
    fault(Code::kUnsupported, "the statement \"" + name.substr(0, 40) + "\" is not supported", line());
  }

  std::unique_ptr<Node> parse_if() {
    auto node = make(NodeKind::kIf);
    for (;;) {
      node->exprs.push_back(parse_or());
      end_tag();
      node->bodies.push_back(parse_body());
      if (peek_is(TokenType::kEnd)) fail("endif is missing");
      const std::string name = open_tag();
      if (name == "elif") continue;
      if (name == "else") {
        end_tag();
        node->bodies.push_back(parse_body());
        close("endif");
      } else if (name == "endif") {
        end_tag();
      } else {
        fail("\"" + name + "\" within if");
      }
      return node;
    }
  }

  Target parse_target_name(bool allows_attribute) {
    Target out;
    if (take_operator("(")) {
      out = parse_target(allows_attribute);
      expect_operator(")");
      return out;
    }
    out.name = expect(TokenType::kName, "a variable's name").text;
    if (is_reserved(out.name)) fail("\"" + out.name + "\" cannot be set");
    out.slot = slot_of(out.name);
    if (allows_attribute && take_operator("."))
      out.attribute = expect(TokenType::kName, "an attribute's name").text;
    return out;
  }

  Target parse_target(bool allows_attribute) {
    const Nesting nesting(*this);
    Target first = parse_target_name(allows_attribute);
    if (!is_operator(",")) return first;
    Target out;
    out.parts.push_back(std::move(first));
    while (take_operator(",")) out.parts.push_back(parse_target_name(allows_attribute));
    return out;
  }

  std::unique_ptr<Node> parse_for() {
    auto node = make(NodeKind::kFor);
    node->target = parse_target(false);
    node->slot = slot_of("loop");
    expect_name("in");
    node->exprs.push_back(parse_for_items());
    node->exprs.push_back(take_name("if") ? parse_expression() : nullptr);
    if (take_name("recursive")) fault(Code::kUnsupported, "recursive loops are not supported", line());
    end_tag();
    ++loops_;
    node->bodies.push_back(parse_body());
    --loops_;
    if (!peek_is(TokenType::kEnd) && peek(1).text == "else") {
      open_tag();
      end_tag();
      node->bodies.push_back(parse_body());
    }
    close("endfor");
    return node;
  }

  std::unique_ptr<Node> parse_set() {
    auto node = make(NodeKind::kSet);
    node->target = parse_target(true);
    if (take_operator("=")) {
      node->exprs.push_back(parse_tuple());
      end_tag();
      return node;
    }
    node->kind = NodeKind::kBlockSet;
    node->slot = new_slot();
    node->exprs.push_back(is_operator("|") ? parse_filters(slot_reference(node->slot)) : nullptr);
    end_tag();
    node->bodies.push_back(parse_isolated_body());
    close("endset");
    return node;
  }

  // A body from which `break` and `continue` may not leave.
  Body parse_isolated_body() {
    const int loops = std::exchange(loops_, 0);
    Body body = parse_body();
    loops_ = loops;
    return body;
  }

  std::unique_ptr<Node> parse_macro() {
    auto node = make(NodeKind::kMacro);
    node->macro = std::make_unique<Macro>();
    Macro& macro = *node->macro;
    macro.name = expect(TokenType::kName, "a macro's name").text;
    node->slot = slot_of(macro.name);
    expect_operator("(");
    while (!take_operator(")")) {
      if (!macro.parameters.empty()) {
        expect_operator(",");
        if (take_operator(")")) break;
      }
      Macro::Parameter p;
      p.name = expect(TokenType::kName, "a parameter's name").text;
      p.slot = slot_of(p.name);
      if (take_operator("=")) p.otherwise = parse_expression();
      macro.parameters.push_back(std::move(p));
    }
    end_tag();
    macro.body = parse_isolated_body();
    close("endmacro");
    return node;
  }

  std::unique_ptr<Node> parse_filter_block() {
    auto node = make(NodeKind::kFilter);
    node->slot = new_slot();
    node->exprs.push_back(parse_filter(slot_reference(node->slot)));
    node->exprs.back() = parse_filters(std::move(node->exprs.back()));
    end_tag();
    node->bodies.push_back(parse_isolated_body());
    close("endfilter");
    return node;
  }

  std::unique_ptr<Node> parse_with() {
    auto node = make(NodeKind::kScope);
    while (!peek_is(TokenType::kBlockEnd)) {
      if (!node->targets.empty()) expect_operator(",");
      node->targets.push_back(parse_target_name(false));
      expect_operator("=");
      node->exprs.push_back(parse_expression());
    }
    end_tag();
    node->bodies.push_back(parse_body());
    close("endwith");
    return node;
  }

  // {% generation %} marks what a model wrote, for training; it changes nothing here.
  std::unique_ptr<Node> parse_generation() {
    auto node = make(NodeKind::kScope);
    end_tag();
    node->bodies.push_back(parse_body());
    close("endgeneration");
    return node;
  }

  int loops_ = 0;
};

}  // namespace

Syntax parse(std::string_view source, ParseLimits limits) {
  return Parser(source, limits).run();
}

}  // namespace cresset::engine::jinja
