// Methods of texts, dicts, lists and loops, and the functions that templates may call.
#include <algorithm>
#include <array>

#include "engine/token/jinja/builtins.h"
#include "engine/token/jinja/case.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/interpreter.h"
#include "engine/token/jinja/operators.h"
#include "engine/token/jinja/print.h"
#include "engine/token/jinja/strings.h"
#include "engine/token/unicode.h"

namespace cresset::engine::jinja {
namespace {

using Args = Arguments;
using Method = Value (*)(Interpreter&, const Value&, const Args&);

const Text& text_argument(const Args& a, size_t position, std::string_view name) {
  const Value* v = a.find(position, name);
  if (v == nullptr || !v->is(Kind::kText))
    type_fault("the method needs a str as \"" + std::string(name) + "\"");
  return v->text();
}
int64_t count_argument(const Args& a, size_t position, std::string_view name) {
  const Value* v = a.find(position, name);
  if (v == nullptr) return -1;
  if (!v->is_integer()) type_fault("the method needs an int as \"" + std::string(name) + "\"");
  return v->integer();
}

template <bool left, bool right>
Value strip(Interpreter& in, const Value& self, const Args& a) {
  const Text& text = self.text();
  const Value* set = a.find(0, "chars");
  in.heap().charge_steps(text.size() / kBytesPerStep);
  const bool has_set = set != nullptr && !set->is(Kind::kNone);
  const Span span = has_set ? strip_set(text.bytes(), text_argument(a, 0, "chars").bytes(), left, right)
                            : strip_spaces(text.bytes(), left, right);
  return in.heap().text(text.slice(span.begin, span.end));
}

template <bool from_right>
Value split_method(Interpreter& in, const Value& self, const Args& a) {
  const Value* separator = a.find(0, "sep");
  const bool has_separator = separator != nullptr && !separator->is(Kind::kNone);
  return split(self, has_separator ? &text_argument(a, 0, "sep") : nullptr, count_argument(a, 1, "maxsplit"),
               from_right, in.heap());
}

Value splitlines(Interpreter& in, const Value& self, const Args&) {
  return split_lines(self, in.heap());
}

template <bool at_end>
Value affix(Interpreter& in, const Value& self, const Args& a) {
  const std::string_view text = self.text().bytes();
  const auto fits = [&](const Value& v) {
    if (!v.is(Kind::kText)) type_fault("startswith and endswith need a str");
    in.heap().charge_steps(1 + v.text().size() / kBytesPerStep);
    return at_end ? text.ends_with(v.text().bytes()) : text.starts_with(v.text().bytes());
  };
  const Value* v = a.find(0, "prefix");
  if (v == nullptr) type_fault("startswith and endswith need a str");
  if (!v->is(Kind::kTuple)) return Value::of(fits(*v));
  return Value::of(std::any_of(v->list().items.begin(), v->list().items.end(), fits));
}

template <bool at_end>
Value remove_affix(Interpreter& in, const Value& self, const Args& a) {
  const Text& text = self.text();
  const std::string_view part = text_argument(a, 0, "prefix").bytes();
  const bool fits = at_end ? text.bytes().ends_with(part) : text.bytes().starts_with(part);
  if (!fits) return self;
  return in.heap().text(at_end ? text.slice(0, text.size() - part.size())
                               : text.slice(part.size(), text.size()));
}

Value replace_method(Interpreter& in, const Value& self, const Args& a) {
  return replace(self, text_argument(a, 0, "old"), text_argument(a, 1, "new"), count_argument(a, 2, "count"),
                 in.heap());
}

template <Case to>
Value case_method(Interpreter& in, const Value& self, const Args&) {
  return with_case(self, to, in.heap());
}

template <bool from_right>
Value find_method(Interpreter& in, const Value& self, const Args& a) {
  const std::string_view text = self.text().bytes(), part = text_argument(a, 0, "sub").bytes();
  in.heap().charge_steps(text.size() / kBytesPerStep);
  const size_t at = from_right ? text.rfind(part) : text.find(part);
  return Value::of(at == std::string_view::npos
                       ? int64_t{-1}
                       : static_cast<int64_t>(count_code_points(text.substr(0, at))));
}

Value count_method(Interpreter& in, const Value& self, const Args& a) {
  int64_t count = 0;
  if (self.is(Kind::kText)) {
    const std::string_view text = self.text().bytes(), part = text_argument(a, 0, "sub").bytes();
    in.heap().charge_steps(text.size() / kBytesPerStep);
    if (part.empty()) return Value::of(static_cast<int64_t>(count_code_points(text)) + 1);
    for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size()) ++count;
    return Value::of(count);
  }
  if (a.positional.empty()) type_fault("count needs a value");
  for (const Value& v : self.list().items) count += equals(v, a.positional[0], in.heap()) ? 1 : 0;
  return Value::of(count);
}

Value join_method(Interpreter& in, const Value& self, const Args& a) {
  if (a.positional.empty()) type_fault("join needs a list");
  const std::vector<Value> items = items_of(a.positional[0], in.heap());
  for (const Value& v : items) {
    if (!v.is(Kind::kText)) type_fault("join needs strs, not " + std::string(type_name(v)));
  }
  return join(self.text(), items, in.heap());
}

template <CharClass wanted>
Value is_class(Interpreter& in, const Value& self, const Args&) {
  const std::string_view text = self.text().bytes();
  in.heap().charge_steps(text.size() / kBytesPerStep);
  bool all = !text.empty();
  for (size_t at = 0; at < text.size() && all;) {
    const LooseCodePoint c = next_loose_code_point(text.substr(at));
    all = wanted == CharClass::kSpace ? is_python_space(c.value) : class_of(c.value) == wanted;
    at += c.length;
  }
  return Value::of(all);
}

enum class Part { kKeys, kValues, kItems };
template <Part part>
Value dict_parts(Interpreter& in, const Value& self, const Args&) {
  std::vector<Value> out;
  in.heap().charge_steps(self.dict().entries.size());
  for (const auto& [key, value] : self.dict().entries) {
    out.push_back(part == Part::kKeys     ? key
                  : part == Part::kValues ? value
                                          : in.heap().list({key, value}, true));
  }
  return in.heap().list(std::move(out));
}

Value get(Interpreter&, const Value& self, const Args& a) {
  if (a.positional.empty()) type_fault("get needs a key");
  const Value* found = self.dict().find(a.positional[0]);
  if (found != nullptr) return *found;
  const Value* otherwise = a.find(1, "default");
  return otherwise == nullptr ? Value::none() : *otherwise;
}

Value cycle(Interpreter&, const Value& self, const Args& a) {
  if (a.positional.empty()) type_fault("cycle needs values");
  return a.positional[self.loop().index0 % a.positional.size()];
}

Value changed(Interpreter& in, const Value& self, const Args& a) {
  Loop& loop = self.loop();
  const bool is_same =
      loop.index0 > 0 &&
      std::equal(loop.changed.begin(), loop.changed.end(), a.positional.begin(), a.positional.end(),
                 [&](const Value& x, const Value& y) { return equals(x, y, in.heap()); });
  loop.changed = a.positional;
  return Value::of(!is_same);
}

struct Entry {
  std::string_view name;
  Method function;
};

constexpr std::array<Entry, 23> kTextMethods{{{"strip", strip<true, true>},
                                              {"lstrip", strip<true, false>},
                                              {"rstrip", strip<false, true>},
                                              {"split", split_method<false>},
                                              {"rsplit", split_method<true>},
                                              {"splitlines", splitlines},
                                              {"startswith", affix<false>},
                                              {"endswith", affix<true>},
                                              {"removeprefix", remove_affix<false>},
                                              {"removesuffix", remove_affix<true>},
                                              {"replace", replace_method},
                                              {"upper", case_method<Case::kUpper>},
                                              {"lower", case_method<Case::kLower>},
                                              {"title", case_method<Case::kTitle>},
                                              {"capitalize", case_method<Case::kCapitalize>},
                                              {"find", find_method<false>},
                                              {"rfind", find_method<true>},
                                              {"count", count_method},
                                              {"join", join_method},
                                              {"isdigit", is_class<CharClass::kNumber>},
                                              {"isnumeric", is_class<CharClass::kNumber>},
                                              {"isalpha", is_class<CharClass::kLetter>},
                                              {"isspace", is_class<CharClass::kSpace>}}};
constexpr std::array<Entry, 4> kDictMethods{{{"items", dict_parts<Part::kItems>},
                                             {"keys", dict_parts<Part::kKeys>},
                                             {"values", dict_parts<Part::kValues>},
                                             {"get", get}}};
constexpr std::array<Entry, 1> kListMethods{{{"count", count_method}}};
constexpr std::array<Entry, 2> kLoopMethods{{{"cycle", cycle}, {"changed", changed}}};

template <size_t n>
Method find_in(const std::array<Entry, n>& table, std::string_view name) {
  const auto* it = std::find_if(table.begin(), table.end(), [&](const Entry& e) { return e.name == name; });
  return it == table.end() ? nullptr : it->function;
}

Method find_method_of(const Value& self, std::string_view name) {
  switch (self.kind()) {
    case Kind::kText:
      return find_in(kTextMethods, name);
    case Kind::kDict:
      return find_in(kDictMethods, name);
    case Kind::kList:
    case Kind::kTuple:
      return find_in(kListMethods, name);
    case Kind::kLoop:
      return find_in(kLoopMethods, name);
    default:
      return nullptr;
  }
}

Value range(Interpreter& in, const Args& a) {
  std::array<int64_t, 3> part{0, 0, 1};
  const size_t given = a.positional.size();
  if (given < 1 || given > 3 || !a.named.empty()) type_fault("range needs one to three ints");
  for (size_t i = 0; i < given; ++i) {
    if (!a.positional[i].is_integer()) type_fault("range needs ints");
    part[given == 1 ? 1 : i] = a.positional[i].integer();
  }
  const auto [begin, end, step] = part;
  if (step == 0) type_fault("range's step cannot be zero");
  constexpr int64_t kSizeMax = 100'000;  // as Jinja2's sandbox has it
  std::vector<Value> out;
  bool is_foreign = false;
  for (const Value& v : a.positional) is_foreign = is_foreign || v.is_foreign();
  int64_t at = begin;
  while (step > 0 ? at < end : at > end) {
    if (static_cast<int64_t>(out.size()) >= kSizeMax) fault(Code::kLimit, "a range of over 100000 numbers");
    out.push_back(Value::of(at).marked(is_foreign));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return in.heap().list(std::move(out));
}

// namespace(a=1) and dict(a=1), both also from a dict.
Dict& make_dict(Interpreter& in, const Args& a) {
  Dict& out = in.heap().dict();
  for (const Value& v : a.positional) {
    if (!v.is(Kind::kDict)) type_fault("namespace and dict take a dict and names");
    for (const auto& [key, value] : v.dict().entries) out.set(key, value, in.heap());
  }
  for (const auto& [name, value] : a.named)
    out.set(in.heap().text(std::string(name), false), value, in.heap());
  return out;
}

}  // namespace

bool has_method(const Value& self, std::string_view name) {
  return find_method_of(self, name) != nullptr;
}

Value call_method(Interpreter& in, const Value& self, std::string_view name, const Arguments& arguments) {
  in.heap().charge_steps(1);
  return find_method_of(self, name)(in, self, arguments);
}

std::optional<Function> find_function(std::string_view name) {
  if (name == "range") return Function::kRange;
  if (name == "namespace") return Function::kNamespace;
  if (name == "dict") return Function::kDict;
  if (name == "raise_exception") return Function::kRaise;
  if (name == "strftime_now") return Function::kStrftimeNow;
  return std::nullopt;
}

Value call_function(Interpreter& in, Function function, const Arguments& arguments) {
  switch (function) {
    case Function::kRange:
      return range(in, arguments);
    case Function::kNamespace:
      return Value::of(&make_dict(in, arguments), true);
    case Function::kDict:
      return Value::of(&make_dict(in, arguments));
    case Function::kStrftimeNow:
      return format_time(text_argument(arguments, 0, "format").bytes(), in.unix_time_s(), in.heap());
    case Function::kRaise:
      break;
  }
  const Value* message = arguments.find(0, "message");
  fault(Code::kInvalid, message == nullptr ? "the template refuses this request"
                                           : std::string(to_text(*message, in.heap()).text().bytes()));
}

}  // namespace cresset::engine::jinja
