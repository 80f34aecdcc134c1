// Tests: {{ value is name(arguments) }}.
#include <algorithm>
#include <array>

#include "engine/token/jinja/builtins.h"
#include "engine/token/jinja/case.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/interpreter.h"
#include "engine/token/jinja/operators.h"

namespace cresset::engine::jinja {
namespace {

using Args = Arguments;

const Value& argument(const Args& a) {
  const Value* v = a.find(0, "other");
  if (v == nullptr) type_fault("the test needs an argument");
  return *v;
}

template <Op op>
bool compare(Interpreter& in, const Value& v, const Args& a) {
  return holds(op, v, argument(a), in.heap());
}

template <Kind kind>
bool is_kind(Interpreter&, const Value& v, const Args&) {
  return v.is(kind);
}

bool is_defined(Interpreter&, const Value& v, const Args&) {
  return !v.is(Kind::kUndefined);
}
bool is_mapping(Interpreter&, const Value& v, const Args&) {
  return v.is(Kind::kDict);
}
bool is_iterable(Interpreter&, const Value& v, const Args&) {
  return v.is(Kind::kText) || v.is_sequence() || v.is(Kind::kDict) || v.is(Kind::kUndefined) ||
         v.is(Kind::kLoop);
}
bool is_sequence(Interpreter&, const Value& v, const Args&) {
  return v.is(Kind::kText) || v.is_sequence() || v.is(Kind::kDict) || v.is(Kind::kUndefined);
}
bool is_number(Interpreter&, const Value& v, const Args&) {
  return v.is_number();
}
bool is_true_value(Interpreter&, const Value& v, const Args&) {
  return v.is(Kind::kBool) && v.integer() != 0;
}
bool is_false_value(Interpreter&, const Value& v, const Args&) {
  return v.is(Kind::kBool) && v.integer() == 0;
}
bool is_callable(Interpreter&, const Value& v, const Args&) {
  return v.is(Kind::kMacro) || v.is(Kind::kMethod) || v.is(Kind::kFunction);
}

int64_t remainder(const Value& v, int64_t by) {
  if (!v.is_integer()) type_fault("the test needs an int, not " + std::string(type_name(v)));
  if (by == 0) type_fault("division by zero");
  return by == -1 ? 0 : v.integer() % by;
}
bool is_odd(Interpreter&, const Value& v, const Args&) {
  return remainder(v, 2) != 0;
}
bool is_even(Interpreter&, const Value& v, const Args&) {
  return remainder(v, 2) == 0;
}
bool is_divisible_by(Interpreter&, const Value& v, const Args& a) {
  const Value* by = a.find(0, "num");
  if (by == nullptr || !by->is_integer()) type_fault("divisibleby needs an int");
  return remainder(v, by->integer()) == 0;
}

bool is_in(Interpreter& in, const Value& v, const Args& a) {
  const Value* container = a.find(0, "seq");
  if (container == nullptr) type_fault("the test needs an argument");
  return contains(*container, v, in.heap());
}

bool is_same(Interpreter& in, const Value& v, const Args& a) {
  const Value& other = argument(a);
  return v.kind() == other.kind() && equals(v, other, in.heap());
}

template <Case wanted>
bool has_case(Interpreter& in, const Value& v, const Args&) {
  if (!v.is(Kind::kText)) return false;
  const auto text = v.text().bytes();
  const bool has_letter = with_case(v, Case::kUpper, in.heap()).text().bytes() !=
                          with_case(v, Case::kLower, in.heap()).text().bytes();
  return has_letter && with_case(v, wanted, in.heap()).text().bytes() == text;
}

struct Entry {
  std::string_view name;
  TestFunction function;
};
constexpr std::array<Entry, 39> kTests{{
    {"defined", is_defined},
    {"undefined", is_kind<Kind::kUndefined>},
    {"none", is_kind<Kind::kNone>},
    {"string", is_kind<Kind::kText>},
    {"float", is_kind<Kind::kFloat>},
    {"integer", is_kind<Kind::kInt>},
    {"boolean", is_kind<Kind::kBool>},
    {"mapping", is_mapping},
    {"iterable", is_iterable},
    {"sequence", is_sequence},
    {"number", is_number},
    {"true", is_true_value},
    {"false", is_false_value},
    {"callable", is_callable},
    {"odd", is_odd},
    {"even", is_even},
    {"divisibleby", is_divisible_by},
    {"in", is_in},
    {"sameas", is_same},
    {"lower", has_case<Case::kLower>},
    {"upper", has_case<Case::kUpper>},
    {"equalto", compare<Op::kEqual>},
    {"eq", compare<Op::kEqual>},
    {"==", compare<Op::kEqual>},
    {"ne", compare<Op::kNotEqual>},
    {"!=", compare<Op::kNotEqual>},
    {"lt", compare<Op::kLess>},
    {"lessthan", compare<Op::kLess>},
    {"<", compare<Op::kLess>},
    {"le", compare<Op::kLessEqual>},
    {"<=", compare<Op::kLessEqual>},
    {"gt", compare<Op::kGreater>},
    {"greaterthan", compare<Op::kGreater>},
    {">", compare<Op::kGreater>},
    {"ge", compare<Op::kGreaterEqual>},
    {">=", compare<Op::kGreaterEqual>},
    {"True", is_true_value},
    {"False", is_false_value},
    {"None", is_kind<Kind::kNone>},
}};

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto* it = std::find_if(kTests.begin(), kTests.end(), [&](const Entry& e) { return e.name == name; });
  return it == kTests.end() ? nullptr : it->function;
}

}  // namespace cresset::engine::jinja
