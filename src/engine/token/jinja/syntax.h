// Syntax: a template as trees. Built by the parser, then never changed: renderings on several threads share
// one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/token/jinja/value.h"

namespace cresset::engine::jinja {

class Interpreter;
struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// Arguments of a filter, test, method or macro.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;

  // The argument at `position` (from 0) or by `name`; nullptr where it was not given.
  const Value* find(size_t position, std::string_view name) const {
    if (position < positional.size()) return &positional[position];
    for (const auto& [known, value] : named) {
      if (known == name) return &value;
    }
    return nullptr;
  }
};
// Filters get their left side as `self` and give a value; tests give a truth.
using FilterFunction = Value (*)(Interpreter&, const Value& self, const Arguments&);
using TestFunction = bool (*)(Interpreter&, const Value& self, const Arguments&);

enum class ExprKind : uint8_t {
  kLiteral,  // value
  kName,     // slot, text
  kList,
  kTuple,
  kDict,       // kids: key, value, key, value
  kAttribute,  // kids[0].text
  kIndex,      // kids[0][kids[1]]
  kSlice,      // kids[0][kids[1]:kids[2]:kids[3]], each may be null
  kCall,       // kids[0](kids[1..]); the last names.size() of them by name
  kFilter,     // kids[0] | filter(kids[1..])
  kTest,       // kids[0] is test(kids[1..])
  kNot,
  kNegative,
  kPositive,
  kChain,    // kids[0] ops[0] kids[1] ops[1] kids[2]: + - or * / // % or ** or ~, left to right
  kCompare,  // the same for == != < <= > >= in, not in: each neighbour pair must hold
  kAnd,
  kOr,      // any number of kids
  kChoose,  // kids[0] if kids[1] else kids[2] (may be null)
};

enum class Op : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcat,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct Expr {
  ExprKind kind;
  int line = 0;
  int height = 1;  // of the tree below: bounds every recursion
  size_t slot = 0;
  std::string text;
  Value value;
  std::vector<ExprPtr> kids;
  std::vector<std::string> names;
  std::vector<Op> ops;
  FilterFunction filter = nullptr;
  TestFunction test = nullptr;
};

struct Node;
using Body = std::vector<std::unique_ptr<Node>>;

// Where `for` and `set` put a value: a variable, an attribute of a namespace, or several.
struct Target {
  size_t slot = 0;
  std::string name, attribute;  // attribute: set ns.attribute
  std::vector<Target> parts;    // a, b
};

struct Macro {
  struct Parameter {
    size_t slot;
    std::string name;
    ExprPtr otherwise;
  };
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
};

enum class NodeKind : uint8_t {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kBlockSet,
  kMacro,
  kFilter,
  kScope,
  kBreak,
  kContinue
};

struct Node {
  NodeKind kind;
  int line = 0;
  std::string text;
  Target target;
  // kOutput, kSet: exprs[0]. kIf: a condition for each body but a last `else`. kFor: the items, then a
  // condition (may be null). kBlockSet, kFilter: exprs[0], a filter chain over `value_slot`, may be null.
  // kScope: values of `targets`.
  std::vector<ExprPtr> exprs;
  std::vector<Target> targets;
  std::vector<Body> bodies;  // kFor: the body, then `else`
  size_t slot = 0;
  std::unique_ptr<Macro> macro;
};

struct Syntax {
  Body body;
  std::vector<std::string> names;  // of the variable slots
  std::vector<std::unique_ptr<Text>> literals;
};

}  // namespace cresset::engine::jinja
