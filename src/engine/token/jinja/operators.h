// Operators of the template language on values, with Python's meanings. All throw Fault where Python would
// raise.
#pragma once

#include "engine/token/jinja/syntax.h"

namespace cresset::engine::jinja {

Value apply(Op op, const Value& left, const Value& right, Heap& heap);  // arithmetic and ~
bool holds(Op op, const Value& left, const Value& right, Heap& heap);   // comparisons, in, not in
Value negate(const Value& v);

// container[key]; undefined where there is none.
Value index(const Value& container, const Value& key, Heap& heap);
// container[begin:end:step]; undefined parts are left out.
Value slice(const Value& container, const Value& begin, const Value& end, const Value& step, Heap& heap);

// What a loop runs over: items, keys, characters. Throws for what is none of these.
std::vector<Value> items_of(const Value& v, Heap& heap);
size_t length_of(const Value& v);
bool contains(const Value& container, const Value& item, Heap& heap);

// Sorts by first, equals in place, in n log n steps whatever the comparison says (a template may compare
// NaNs).
using Keyed = std::pair<Value, Value>;
void sort_by_key(std::vector<Keyed>& all, bool is_reversed, Heap& heap);

}  // namespace cresset::engine::jinja
