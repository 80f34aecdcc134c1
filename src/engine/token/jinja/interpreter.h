// Interpreter: runs one Syntax once. Belongs to one thread; made for one rendering.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/token/jinja/syntax.h"

namespace cresset::engine::jinja {

struct RunLimits {
  int depth_max;  // macros in macros
  size_t output_bytes_max;
};

class Interpreter {
 public:
  Interpreter(const Syntax& syntax, Heap& heap, RunLimits limits, int64_t unix_time_s);

  // Before run(). A name that the template never uses is dropped.
  void set_global(std::string_view name, Value value);
  // Throws Fault.
  Text run();

  // For filters, tests and methods.
  Heap& heap() { return heap_; }
  int64_t unix_time_s() const { return unix_time_s_; }
  Value attribute(const Value& of, std::string_view name, const std::string* where = nullptr);
  Value call(const Value& callee, const Arguments& arguments);

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };
  struct Binding {
    int frame;
    Value value;
  };
  class Scope;
  class Depth;

  Flow run_body(const Body& body);
  Flow run_node(const Node& node);
  Flow run_if(const Node& node);
  Flow run_for(const Node& node);
  Flow run_iteration(const Node& node, Loop& loop);
  Flow run_scope(const Node& node);
  void run_set(const Node& node);
  Value run_captured(const Node& node);
  Text capture(const Body& body);
  void write(const Value& v);
  void write(std::string_view bytes);
  void assign(const Target& target, const Value& value);
  void bind(size_t slot, const Value& value);
  Value look_up(size_t slot, const std::string& name) const;

  Value evaluate(const Expr& e);
  Value evaluate_kid(const Expr& e, size_t i) { return e.kids[i] ? evaluate(*e.kids[i]) : Value(); }
  Value evaluate_container(const Expr& e);
  Value evaluate_chain(const Expr& e);
  Value evaluate_compare(const Expr& e);
  Value evaluate_and_or(const Expr& e);
  Value evaluate_index(const Expr& e);
  Value evaluate_call(const Expr& e);
  Arguments evaluate_arguments(const Expr& e);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  Value loop_attribute(const Loop& loop, std::string_view name);

  const Syntax& syntax_;
  Heap& heap_;
  RunLimits limits_;
  int64_t unix_time_s_;
  std::vector<std::vector<Binding>> slots_;  // by variable: its bindings, innermost last
  std::vector<std::vector<size_t>> frames_;  // which variables each open scope has bound
  int base_ = 0;                             // the frame of the running macro: outer ones but 0 are hidden
  int macro_depth_ = 0, depth_ = 0;
  Text* out_ = nullptr;
};

}  // namespace cresset::engine::jinja
