// Value: what a template computes with. A small handle; texts, lists and dicts belong to the Heap of one
// rendering and die with it (so a cycle that a template builds costs nothing but its own memory).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token/jinja/text.h"

namespace cresset::engine::jinja {

struct List;
struct Dict;
struct Loop;
struct Method;
struct Macro;
class Heap;
enum class Function : uint8_t { kRange, kNamespace, kDict, kRaise, kStrftimeNow };

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,
  kList,
  kTuple,
  kDict,
  kNamespace,
  kLoop,
  kMethod,
  kMacro,
  kFunction
};

class Value {
 public:
  Value() = default;  // undefined
  static Value undefined(const std::string* name) {
    Value v;
    v.name_ = name;
    return v;
  }
  static Value none() { return Value(Kind::kNone); }
  static Value of(bool b) {
    Value v(Kind::kBool);
    v.int_ = b;
    return v;
  }
  static Value of(int64_t i) {
    Value v(Kind::kInt);
    v.int_ = i;
    return v;
  }
  static Value of(double d) {
    Value v(Kind::kFloat);
    v.float_ = d;
    return v;
  }
  static Value of(const Text* t) {
    Value v(Kind::kText);
    v.text_ = t;
    return v;
  }
  static Value of(List* l, bool is_tuple = false) {
    Value v(is_tuple ? Kind::kTuple : Kind::kList);
    v.list_ = l;
    return v;
  }
  static Value of(Dict* d, bool is_namespace = false) {
    Value v(is_namespace ? Kind::kNamespace : Kind::kDict);
    v.dict_ = d;
    return v;
  }
  static Value of(Loop* l) {
    Value v(Kind::kLoop);
    v.loop_ = l;
    return v;
  }
  static Value of(const Method* m) {
    Value v(Kind::kMethod);
    v.method_ = m;
    return v;
  }
  static Value of(const Macro* m) {
    Value v(Kind::kMacro);
    v.macro_ = m;
    return v;
  }
  static Value of(Function f) {
    Value v(Kind::kFunction);
    v.int_ = static_cast<int64_t>(f);
    return v;
  }

  Kind kind() const { return kind_; }
  bool is(Kind k) const { return kind_ == k; }
  bool is_integer() const { return is(Kind::kInt) || is(Kind::kBool); }
  bool is_number() const { return is_integer() || is(Kind::kFloat); }
  bool is_sequence() const { return is(Kind::kList) || is(Kind::kTuple); }

  // Each is for its kind only.
  int64_t integer() const { return int_; }
  double number() const { return is(Kind::kFloat) ? float_ : static_cast<double>(int_); }
  const Text& text() const { return *text_; }
  const List& list() const { return *list_; }
  Dict& dict() const { return *dict_; }
  Loop& loop() const { return *loop_; }
  const Method& method() const { return *method_; }
  const Macro& macro() const { return *macro_; }
  Function function() const { return static_cast<Function>(int_); }
  // Of an undefined value: what was not there, or nullptr.
  const std::string* name() const { return name_; }

  // A number that came from outside stays foreign when it is printed. (Texts carry their own marks.)
  bool is_foreign() const { return is_foreign_; }
  Value marked(bool is_foreign) const {
    Value v = *this;
    v.is_foreign_ = v.is_foreign_ || is_foreign;
    return v;
  }

 private:
  explicit Value(Kind k) : kind_(k) {}

  Kind kind_ = Kind::kUndefined;
  bool is_foreign_ = false;
  union {
    int64_t int_ = 0;
    double float_;
    const Text* text_;
    List* list_;
    Dict* dict_;
    Loop* loop_;
    const Method* method_;
    const Macro* macro_;
    const std::string* name_;
  };
};

struct List {
  std::vector<Value> items;
};

// In order of insertion. Keys are texts or integers.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::map<std::string, size_t, std::less<>> index;

  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;  // nullptr also for a key of another kind
  void set(const Value& key, const Value& value, Heap& heap);
};

struct Loop {
  std::vector<Value> items;
  size_t index0 = 0;
  std::vector<Value> changed;  // what loop.changed() was last called with
};

struct Method {
  Value self;
  std::string_view name;
};

// Work on bytes counts as a step for each so many.
constexpr size_t kBytesPerStep = 64;

// What one rendering has allocated, within a budget of bytes and steps.
class Heap {
 public:
  Heap(size_t bytes_max, size_t steps_max) : bytes_left_(bytes_max), steps_left_(steps_max) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // Both throw Fault{kLimit}.
  void charge_bytes(size_t n);
  void charge_steps(size_t n);

  Value text(Text t);
  Value text(std::string s, bool is_foreign) { return text(Text(std::move(s), is_foreign)); }
  Value list(std::vector<Value> items, bool is_tuple = false);
  Dict& dict();
  Loop& loop(std::vector<Value> items);
  Value method(Value self, std::string_view name);

 private:
  size_t bytes_left_, steps_left_;
  std::deque<Text> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Loop> loops_;
  std::deque<Method> methods_;
};

// Python's type names, for error lines.
std::string_view type_name(const Value& v);
bool is_true(const Value& v);
// Python's == and <. `less` throws where Python does; both charge steps for what they compare.
bool equals(const Value& a, const Value& b, Heap& heap, int depth = 0);
bool less(const Value& a, const Value& b, Heap& heap, int depth = 0);
// Whether anything in it came from outside.
bool has_foreign(const Value& v, Heap& heap, int depth = 0);

}  // namespace cresset::engine::jinja
