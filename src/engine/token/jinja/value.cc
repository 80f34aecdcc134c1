#include "engine/token/jinja/value.h"

#include <algorithm>

#include "engine/token/jinja/fault.h"

namespace cresset::engine::jinja {
namespace {

constexpr int kDepthMax = 64;  // of containers in containers, where they are compared

// A dict key as the index has it; empty for kinds that are no keys.
std::string index_key(const Value& key) {
  if (key.is(Kind::kText)) return "t" + std::string(key.text().bytes());
  if (key.is_integer()) return "i" + std::to_string(key.integer());
  return {};
}

void check_depth(int depth) {
  if (depth > kDepthMax) fault(Code::kLimit, "values nested too deep");
}

bool texts_equal(const Text& a, const Text& b, Heap& heap) {
  if (a.size() != b.size()) return false;
  heap.charge_steps(a.size() / kBytesPerStep);
  return a.bytes() == b.bytes();
}

}  // namespace

const Value* Dict::find(std::string_view key) const {
  const auto it = index.find("t" + std::string(key));
  return it == index.end() ? nullptr : &entries[it->second].second;
}

const Value* Dict::find(const Value& key) const {
  const auto it = index.find(index_key(key));
  return it == index.end() ? nullptr : &entries[it->second].second;
}

void Dict::set(const Value& key, const Value& value, Heap& heap) {
  const std::string k = index_key(key);
  if (k.empty()) type_fault("a " + std::string(type_name(key)) + " cannot be a dict key here");
  heap.charge_bytes(k.size() + 2 * sizeof(Value));
  const auto [it, is_new] = index.try_emplace(k, entries.size());
  if (is_new) {
    entries.emplace_back(key, value);
  } else {
    entries[it->second].second = value;
  }
}

void Heap::charge_bytes(size_t n) {
  if (n > bytes_left_) fault(Code::kLimit, "the template makes more text than it may");
  bytes_left_ -= n;
}

void Heap::charge_steps(size_t n) {
  if (n > steps_left_) fault(Code::kLimit, "the template takes more steps than it may");
  steps_left_ -= n;
}

Value Heap::text(Text t) {
  charge_bytes(t.size() + sizeof(Text));
  texts_.push_back(std::move(t));
  return Value::of(&texts_.back());
}

Value Heap::list(std::vector<Value> items, bool is_tuple) {
  charge_bytes(items.size() * sizeof(Value) + sizeof(List));
  charge_steps(items.size());
  lists_.push_back({std::move(items)});
  return Value::of(&lists_.back(), is_tuple);
}

Dict& Heap::dict() {
  charge_bytes(sizeof(Dict));
  return dicts_.emplace_back();
}

Loop& Heap::loop(std::vector<Value> items) {
  charge_bytes(items.size() * sizeof(Value) + sizeof(Loop));
  return loops_.emplace_back(Loop{std::move(items), 0, {}});
}

Value Heap::method(Value self, std::string_view name) {
  charge_bytes(sizeof(Method));
  methods_.push_back({self, name});
  return Value::of(&methods_.back());
}

std::string_view type_name(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
      return "undefined value";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kText:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "namespace";
    case Kind::kLoop:
      return "loop";
    case Kind::kMethod:
      return "method";
    case Kind::kMacro:
      return "macro";
    case Kind::kFunction:
      return "function";
  }
  return "value";
}

bool is_true(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return v.integer() != 0;
    case Kind::kFloat:
      return v.number() != 0;
    case Kind::kText:
      return !v.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !v.list().items.empty();
    case Kind::kDict:
      return !v.dict().entries.empty();
    default:
      return true;
  }
}

bool equals(const Value& a, const Value& b, Heap& heap, int depth) {
  check_depth(depth);
  heap.charge_steps(1);
  if (a.is_number() && b.is_number()) {
    return a.is(Kind::kFloat) || b.is(Kind::kFloat) ? a.number() == b.number() : a.integer() == b.integer();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kText:
      return texts_equal(a.text(), b.text(), heap);
    case Kind::kList:
    case Kind::kTuple: {
      const auto &x = a.list().items, &y = b.list().items;
      return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                        [&](const Value& p, const Value& q) { return equals(p, q, heap, depth + 1); });
    }
    case Kind::kDict: {
      if (a.dict().entries.size() != b.dict().entries.size()) return false;
      return std::all_of(a.dict().entries.begin(), a.dict().entries.end(), [&](const auto& e) {
        const Value* other = b.dict().find(e.first);
        return other != nullptr && equals(e.second, *other, heap, depth + 1);
      });
    }
    case Kind::kNamespace:
      return &a.dict() == &b.dict();
    case Kind::kMacro:
      return &a.macro() == &b.macro();
    case Kind::kFunction:
      return a.function() == b.function();
    default:
      return false;
  }
}

bool less(const Value& a, const Value& b, Heap& heap, int depth) {
  check_depth(depth);
  heap.charge_steps(1);
  if (a.is_number() && b.is_number()) {
    return a.is(Kind::kFloat) || b.is(Kind::kFloat) ? a.number() < b.number() : a.integer() < b.integer();
  }
  if (a.is(Kind::kText) && b.is(Kind::kText)) {
    heap.charge_steps(std::min(a.text().size(), b.text().size()) / kBytesPerStep);
    return a.text().bytes() < b.text().bytes();
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto &x = a.list().items, &y = b.list().items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equals(x[i], y[i], heap, depth + 1)) return less(x[i], y[i], heap, depth + 1);
    }
    return x.size() < y.size();
  }
  type_fault("cannot order " + std::string(type_name(a)) + " and " + std::string(type_name(b)));
}

bool has_foreign(const Value& v, Heap& heap, int depth) {
  check_depth(depth);
  heap.charge_steps(1);
  if (v.is_foreign()) return true;
  switch (v.kind()) {
    case Kind::kText:
      return v.text().has_foreign();
    case Kind::kList:
    case Kind::kTuple:
      return std::any_of(v.list().items.begin(), v.list().items.end(),
                         [&](const Value& i) { return has_foreign(i, heap, depth + 1); });
    case Kind::kDict:
    case Kind::kNamespace:
      return std::any_of(v.dict().entries.begin(), v.dict().entries.end(), [&](const auto& e) {
        return has_foreign(e.first, heap, depth + 1) || has_foreign(e.second, heap, depth + 1);
      });
    default:
      return false;
  }
}

}  // namespace cresset::engine::jinja
