#include "engine/token/jinja/interpreter.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/token/jinja/builtins.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/operators.h"
#include "engine/token/jinja/print.h"

namespace cresset::engine::jinja {
namespace {

// Of evaluate() and run_body() in themselves: bounds the C++ stack to well under a megabyte.
constexpr int kStackDepthMax = 512;

}  // namespace

class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& in) : in_(in) {
    in_.heap_.charge_steps(1);
    if (in_.depth_ >= kStackDepthMax) fault(Code::kLimit, "the template runs too deep in itself");
    ++in_.depth_;
  }
  ~Depth() { --in_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  Interpreter& in_;
};

// Variables bound while it lives are gone afterwards.
class Interpreter::Scope {
 public:
  explicit Scope(Interpreter& in) : in_(in) { in_.frames_.emplace_back(); }
  ~Scope() {
    for (const size_t slot : in_.frames_.back()) in_.slots_[slot].pop_back();
    in_.frames_.pop_back();
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Interpreter& in_;
};

Interpreter::Interpreter(const Syntax& syntax, Heap& heap, RunLimits limits, int64_t unix_time_s)
    : syntax_(syntax), heap_(heap), limits_(limits), unix_time_s_(unix_time_s), slots_(syntax.names.size()) {
  frames_.emplace_back();
  for (size_t slot = 0; slot < syntax.names.size(); ++slot) {
    if (const auto function = find_function(syntax.names[slot])) bind(slot, Value::of(*function));
  }
}

void Interpreter::set_global(std::string_view name, Value value) {
  for (size_t slot = 0; slot < syntax_.names.size(); ++slot) {
    if (syntax_.names[slot] == name) bind(slot, value);
  }
}

Text Interpreter::run() {
  return capture(syntax_.body);
}

Text Interpreter::capture(const Body& body) {
  Text text;
  Text* const outer = std::exchange(out_, &text);
  run_body(body);
  out_ = outer;
  return text;
}

void Interpreter::write(std::string_view bytes) {
  heap_.charge_bytes(bytes.size());
  if (out_->size() + bytes.size() > limits_.output_bytes_max)
    fault(Code::kLimit, "the output is longer than it may be");
  out_->append(bytes, false);
}

void Interpreter::write(const Value& v) {
  const Value printed = to_text(v, heap_);
  const Text& text = printed.text();
  heap_.charge_bytes(text.size());
  if (out_->size() + text.size() > limits_.output_bytes_max)
    fault(Code::kLimit, "the output is longer than it may be");
  out_->append(text);
}

void Interpreter::bind(size_t slot, const Value& value) {
  auto& bindings = slots_[slot];
  const int frame = static_cast<int>(frames_.size()) - 1;
  if (!bindings.empty() && bindings.back().frame == frame) {
    bindings.back().value = value;
    return;
  }
  bindings.push_back({frame, value});
  frames_.back().push_back(slot);
}

Value Interpreter::look_up(size_t slot, const std::string& name) const {
  const auto& bindings = slots_[slot];
  if (bindings.empty()) return Value::undefined(&name);
  if (bindings.back().frame >= base_) return bindings.back().value;
  return bindings.front().frame == 0 ? bindings.front().value : Value::undefined(&name);
}

Interpreter::Flow Interpreter::run_body(const Body& body) {
  const Depth depth(*this);
  for (const auto& node : body) {
    try {
      const Flow flow = run_node(*node);
      if (flow != Flow::kNext) return flow;
    } catch (Fault& f) {
      if (f.line == 0) f.line = node->line;
      throw;
    }
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_node(const Node& node) {
  heap_.charge_steps(1);
  switch (node.kind) {
    case NodeKind::kText:
      write(node.text);
      break;
    case NodeKind::kOutput:
      write(evaluate(*node.exprs[0]));
      break;
    case NodeKind::kIf:
      return run_if(node);
    case NodeKind::kFor:
      return run_for(node);
    case NodeKind::kSet:
      run_set(node);
      break;
    case NodeKind::kBlockSet:
      assign(node.target, run_captured(node));
      break;
    case NodeKind::kFilter:
      write(run_captured(node));
      break;
    case NodeKind::kMacro:
      bind(node.slot, Value::of(node.macro.get()));
      break;
    case NodeKind::kScope:
      return run_scope(node);
    case NodeKind::kBreak:
      return Flow::kBreak;
    case NodeKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_if(const Node& node) {
  for (size_t i = 0; i < node.exprs.size(); ++i) {
    if (is_true(evaluate(*node.exprs[i]))) return run_body(node.bodies[i]);
  }
  return node.bodies.size() > node.exprs.size() ? run_body(node.bodies.back()) : Flow::kNext;
}

Interpreter::Flow Interpreter::run_for(const Node& node) {
  const Value over = evaluate(*node.exprs[0]);
  std::vector<Value> items = items_of(over, heap_);
  if (node.exprs[1]) {
    std::vector<Value> kept;
    for (const Value& item : items) {
      const Scope scope(*this);
      assign(node.target, item);
      if (is_true(evaluate(*node.exprs[1]))) kept.push_back(item);
    }
    items = std::move(kept);
  }
  if (items.empty()) return node.bodies.size() > 1 ? run_body(node.bodies[1]) : Flow::kNext;
  Loop& loop = heap_.loop(std::move(items));
  for (; loop.index0 < loop.items.size(); ++loop.index0) {
    if (run_iteration(node, loop) == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_iteration(const Node& node, Loop& loop) {
  const Scope scope(*this);
  assign(node.target, loop.items[loop.index0]);
  bind(node.slot, Value::of(&loop));
  return run_body(node.bodies[0]);
}

Interpreter::Flow Interpreter::run_scope(const Node& node) {
  std::vector<Value> values;
  for (const auto& e : node.exprs) values.push_back(evaluate(*e));
  if (node.targets.empty()) return run_body(node.bodies[0]);
  const Scope scope(*this);
  for (size_t i = 0; i < values.size(); ++i) assign(node.targets[i], values[i]);
  return run_body(node.bodies[0]);
}

void Interpreter::run_set(const Node& node) {
  assign(node.target, evaluate(*node.exprs[0]));
}

// The text that a block prints, through the block's filters.
Value Interpreter::run_captured(const Node& node) {
  const Scope scope(*this);
  const Value text = heap_.text(capture(node.bodies[0]));
  if (!node.exprs[0]) return text;
  bind(node.slot, text);
  return evaluate(*node.exprs[0]);
}

void Interpreter::assign(const Target& target, const Value& value) {
  if (!target.parts.empty()) {
    const std::vector<Value> items = items_of(value, heap_);
    if (items.size() != target.parts.size()) {
      type_fault("cannot unpack " + std::to_string(items.size()) + " values into " +
                 std::to_string(target.parts.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    return;
  }
  if (target.attribute.empty()) return bind(target.slot, value);
  const Value space = look_up(target.slot, target.name);
  if (!space.is(Kind::kNamespace)) type_fault("only attributes of a namespace can be set");
  space.dict().set(heap_.text(target.attribute, false), value, heap_);
}

Value Interpreter::evaluate(const Expr& e) {
  const Depth depth(*this);
  switch (e.kind) {
    case ExprKind::kLiteral:
      return e.value;
    case ExprKind::kName:
      return look_up(e.slot, e.text);
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kDict:
      return evaluate_container(e);
    case ExprKind::kAttribute:
      return attribute(evaluate(*e.kids[0]), e.text, &e.text);
    case ExprKind::kIndex:
      return evaluate_index(e);
    case ExprKind::kSlice:
      return slice(evaluate(*e.kids[0]), evaluate_kid(e, 1), evaluate_kid(e, 2), evaluate_kid(e, 3), heap_);
    case ExprKind::kCall:
      return evaluate_call(e);
    case ExprKind::kFilter: {
      const Value self = evaluate(*e.kids[0]);
      return e.filter(*this, self, evaluate_arguments(e));
    }
    case ExprKind::kTest: {
      const Value self = evaluate(*e.kids[0]);
      return Value::of(e.test(*this, self, evaluate_arguments(e)));
    }
    case ExprKind::kNot:
      return Value::of(!is_true(evaluate(*e.kids[0])));
    case ExprKind::kNegative:
      return negate(evaluate(*e.kids[0]));
    case ExprKind::kPositive:
      return evaluate(*e.kids[0]);
    case ExprKind::kChain:
      return evaluate_chain(e);
    case ExprKind::kCompare:
      return evaluate_compare(e);
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return evaluate_and_or(e);
    case ExprKind::kChoose:
      return is_true(evaluate(*e.kids[1])) ? evaluate(*e.kids[0]) : evaluate_kid(e, 2);
  }
  return Value();
}

Value Interpreter::evaluate_container(const Expr& e) {
  if (e.kind == ExprKind::kDict) {
    Dict& out = heap_.dict();
    for (size_t i = 0; i + 1 < e.kids.size(); i += 2) {
      const Value key = evaluate(*e.kids[i]);
      out.set(key, evaluate(*e.kids[i + 1]), heap_);
    }
    return Value::of(&out);
  }
  std::vector<Value> items;
  for (const auto& kid : e.kids) items.push_back(evaluate(*kid));
  return heap_.list(std::move(items), e.kind == ExprKind::kTuple);
}

// Texts joined by + or ~ grow one buffer instead of making one for every operator.
Value Interpreter::evaluate_chain(const Expr& e) {
  Value left = evaluate(*e.kids[0]);
  Text joined;
  bool is_joining = false;
  for (size_t i = 0; i < e.ops.size(); ++i) {
    Value right = evaluate(*e.kids[i + 1]);
    const Op op = e.ops[i];
    const bool left_is_text = is_joining || left.is(Kind::kText);
    if ((op == Op::kAdd && left_is_text && right.is(Kind::kText)) || op == Op::kConcat) {
      if (!is_joining) joined = to_text(left, heap_).text();
      is_joining = true;
      right = to_text(right, heap_);
      heap_.charge_bytes(right.text().size());
      joined.append(right.text());
      continue;
    }
    if (is_joining) left = heap_.text(std::exchange(joined, Text()));
    is_joining = false;
    left = apply(op, left, right, heap_);
  }
  return is_joining ? heap_.text(std::move(joined)) : left;
}

Value Interpreter::evaluate_compare(const Expr& e) {
  Value left = evaluate(*e.kids[0]);
  for (size_t i = 0; i < e.ops.size(); ++i) {
    const Value right = evaluate(*e.kids[i + 1]);
    if (!holds(e.ops[i], left, right, heap_)) return Value::of(false);
    left = right;
  }
  return Value::of(true);
}

// As in Python: the value that decided, not its truth.
Value Interpreter::evaluate_and_or(const Expr& e) {
  Value v;
  for (const auto& kid : e.kids) {
    v = evaluate(*kid);
    if (is_true(v) == (e.kind == ExprKind::kOr)) break;
  }
  return v;
}

Value Interpreter::evaluate_index(const Expr& e) {
  const Value container = evaluate(*e.kids[0]);
  const Value key = evaluate(*e.kids[1]);
  if (container.is(Kind::kUndefined)) {
    type_fault(container.name() == nullptr ? "cannot index an undefined value"
                                           : "\"" + *container.name() + "\" is undefined");
  }
  const Value found = index(container, key, heap_);
  if (!found.is(Kind::kUndefined) || !key.is(Kind::kText)) return found;
  if (container.is(Kind::kLoop)) return loop_attribute(container.loop(), key.text().bytes());
  return Value();
}

Value Interpreter::attribute(const Value& of, std::string_view name, const std::string* where) {
  if (of.is(Kind::kUndefined)) {
    type_fault(of.name() == nullptr ? "an undefined value has no attribute \"" + std::string(name) + "\""
                                    : "\"" + *of.name() + "\" is undefined");
  }
  if (of.is(Kind::kLoop)) {
    const Value v = loop_attribute(of.loop(), name);
    return v.is(Kind::kUndefined) && has_method(of, name) ? heap_.method(of, name) : v;
  }
  if (has_method(of, name)) return heap_.method(of, name);
  if (of.is(Kind::kDict) || of.is(Kind::kNamespace)) {
    const Value* found = of.dict().find(name);
    if (found != nullptr) return *found;
  }
  return Value::undefined(where);
}

Value Interpreter::loop_attribute(const Loop& loop, std::string_view name) {
  const auto i = static_cast<int64_t>(loop.index0), n = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value::of(i + 1);
  if (name == "index0") return Value::of(i);
  if (name == "revindex") return Value::of(n - i);
  if (name == "revindex0") return Value::of(n - i - 1);
  if (name == "first") return Value::of(i == 0);
  if (name == "last") return Value::of(i + 1 == n);
  if (name == "length") return Value::of(n);
  if (name == "previtem") return i > 0 ? loop.items[loop.index0 - 1] : Value();
  if (name == "nextitem") return i + 1 < n ? loop.items[loop.index0 + 1] : Value();
  return Value();
}

Arguments Interpreter::evaluate_arguments(const Expr& e) {
  Arguments out;
  const size_t first_named = e.kids.size() - e.names.size();
  for (size_t i = 1; i < e.kids.size(); ++i) {
    const Value v = evaluate(*e.kids[i]);
    if (i < first_named) {
      out.positional.push_back(v);
    } else {
      out.named.emplace_back(e.names[i - first_named], v);
    }
  }
  return out;
}

Value Interpreter::evaluate_call(const Expr& e) {
  const Value callee = evaluate(*e.kids[0]);
  const Arguments arguments = evaluate_arguments(e);
  if (callee.is(Kind::kUndefined) && callee.name() != nullptr) {
    type_fault("\"" + callee.name()->substr(0, 40) + "\" is not a function that templates have");
  }
  return call(callee, arguments);
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  switch (callee.kind()) {
    case Kind::kMacro:
      return call_macro(callee.macro(), arguments);
    case Kind::kMethod:
      return call_method(*this, callee.method().self, callee.method().name, arguments);
    case Kind::kFunction:
      return call_function(*this, callee.function(), arguments);
    default:
      type_fault("a " + std::string(type_name(callee)) + " cannot be called");
  }
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& arguments) {
  if (arguments.positional.size() > macro.parameters.size())
    type_fault("too many arguments for " + macro.name);
  for (const auto& [name, value] : arguments.named) {
    const auto it = std::find_if(macro.parameters.begin(), macro.parameters.end(),
                                 [&](const auto& p) { return p.name == name; });
    if (it == macro.parameters.end())
      type_fault(macro.name + " has no parameter \"" + std::string(name) + "\"");
  }
  if (macro_depth_ >= limits_.depth_max) fault(Code::kLimit, "macros call themselves too deep");
  ++macro_depth_;
  const int outer_base = std::exchange(base_, static_cast<int>(frames_.size()));
  Value result;
  {
    const Scope scope(*this);
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
      const auto& p = macro.parameters[i];
      const Value* given = arguments.find(i, p.name);
      bind(p.slot, given != nullptr ? *given
                   : p.otherwise    ? evaluate(*p.otherwise)
                                    : Value::undefined(&p.name));
    }
    result = heap_.text(capture(macro.body));
  }
  base_ = outer_base;
  --macro_depth_;
  return result;
}

}  // namespace cresset::engine::jinja
