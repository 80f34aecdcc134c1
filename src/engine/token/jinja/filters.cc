// Filters: {{ value | name(arguments) }}.
#include <algorithm>
#include <array>
#include <charconv>

#include "engine/token/jinja/builtins.h"
#include "engine/token/jinja/case.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/interpreter.h"
#include "engine/token/jinja/operators.h"
#include "engine/token/jinja/print.h"
#include "engine/token/jinja/strings.h"

namespace cresset::engine::jinja {
namespace {

using Args = Arguments;

bool flag(const Args& a, size_t position, std::string_view name) {
  const Value* v = a.find(position, name);
  return v != nullptr && is_true(*v);
}
bool is_given(const Value* v) {
  return v != nullptr && !v->is(Kind::kNone) && !v->is(Kind::kUndefined);
}

template <Case to>
Value case_filter(Interpreter& in, const Value& v, const Args&) {
  return with_case(to_text(v, in.heap()), to, in.heap());
}

Value trim(Interpreter& in, const Value& v, const Args& a) {
  const Value text = to_text(v, in.heap());
  const Text& t = text.text();
  in.heap().charge_steps(t.size() / kBytesPerStep);
  const Value* set = a.find(0, "chars");
  const Span span = is_given(set) ? strip_set(t.bytes(), to_text(*set, in.heap()).text().bytes(), true, true)
                                  : strip_spaces(t.bytes(), true, true);
  return in.heap().text(t.slice(span.begin, span.end));
}

Value replace_filter(Interpreter& in, const Value& v, const Args& a) {
  const Value *from = a.find(0, "old"), *to = a.find(1, "new"), *count = a.find(2, "count");
  if (from == nullptr || to == nullptr) type_fault("replace needs two strs");
  const int64_t limit = is_given(count) && count->is_integer() ? count->integer() : -1;
  return replace(to_text(v, in.heap()), to_text(*from, in.heap()).text(), to_text(*to, in.heap()).text(),
                 limit, in.heap());
}

// A number of spaces, or the text itself.
Text indent_unit(const Value& v) {
  constexpr int64_t kWidthMax = 1000;
  if (v.is(Kind::kText)) return v.text();
  if (!v.is_integer() || v.integer() < 0 || v.integer() > kWidthMax)
    type_fault("an indent is a str or 0 to 1000 spaces");
  return Text(std::string(static_cast<size_t>(v.integer()), ' '), false);
}

Value indent_filter(Interpreter& in, const Value& v, const Args& a) {
  const Value* width = a.find(0, "width");
  const Text unit = indent_unit(width != nullptr ? *width : Value::of(int64_t{4}));
  return indent(to_text(v, in.heap()), unit, flag(a, 1, "first"), flag(a, 2, "blank"), in.heap());
}

Value tojson(Interpreter& in, const Value& v, const Args& a) {
  JsonStyle style;
  style.is_ascii = flag(a, 0, "ensure_ascii");
  const Value *indent = a.find(1, "indent"), *separators = a.find(2, "separators");
  // Jinja2's own tojson takes the indent first.
  if (a.positional.size() == 1 && a.positional[0].is(Kind::kInt)) {
    indent = &a.positional[0];
    style.is_ascii = false;
  }
  if (is_given(indent)) {
    style.indent = indent_unit(*indent).bytes();
    style.item_separator = ",";
  }
  if (is_given(separators)) {
    const std::vector<Value> parts = items_of(*separators, in.heap());
    if (parts.size() != 2) type_fault("separators are two strs");
    style.item_separator = to_text(parts[0], in.heap()).text().bytes();
    style.key_separator = to_text(parts[1], in.heap()).text().bytes();
  }
  style.sorts_keys = flag(a, 3, "sort_keys");
  return to_json(v, style, in.heap());
}

Value string(Interpreter& in, const Value& v, const Args&) {
  return to_text(v, in.heap());
}
Value safe(Interpreter&, const Value& v, const Args&) {
  return v;
}

Value format(Interpreter& in, const Value& v, const Args& a) {
  return apply(Op::kModulo, to_text(v, in.heap()), in.heap().list(a.positional, true), in.heap());
}

Value escape(Interpreter& in, const Value& v, const Args&) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kEscapes{
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}}};
  Value out = to_text(v, in.heap());
  for (const auto& [from, to] : kEscapes) {
    out = replace(out, Text(std::string(from), false), Text(std::string(to), true), -1, in.heap());
  }
  return out;
}

Value length(Interpreter& in, const Value& v, const Args&) {
  if (v.is(Kind::kText)) in.heap().charge_steps(v.text().size() / kBytesPerStep);
  return Value::of(static_cast<int64_t>(length_of(v)));
}

Value default_filter(Interpreter& in, const Value& v, const Args& a) {
  const bool is_missing = v.is(Kind::kUndefined) || (flag(a, 1, "boolean") && !is_true(v));
  if (!is_missing) return v;
  const Value* otherwise = a.find(0, "default_value");
  return otherwise != nullptr ? *otherwise : in.heap().text("", false);
}

Value first(Interpreter& in, const Value& v, const Args&) {
  const std::vector<Value> items = items_of(v, in.heap());
  return items.empty() ? Value() : items.front();
}
Value last(Interpreter& in, const Value& v, const Args&) {
  const std::vector<Value> items = items_of(v, in.heap());
  return items.empty() ? Value() : items.back();
}
Value list(Interpreter& in, const Value& v, const Args&) {
  return in.heap().list(items_of(v, in.heap()));
}

Value items(Interpreter& in, const Value& v, const Args&) {
  if (v.is(Kind::kUndefined)) return in.heap().list({});
  if (!v.is(Kind::kDict)) type_fault("items needs a dict, not " + std::string(type_name(v)));
  return call_method(in, v, "items", {});
}

Value reverse(Interpreter& in, const Value& v, const Args&) {
  std::vector<Value> all = items_of(v, in.heap());
  std::reverse(all.begin(), all.end());
  if (!v.is(Kind::kText)) return in.heap().list(std::move(all));
  Text out;
  for (const Value& c : all) out.append(c.text());
  return in.heap().text(std::move(out));
}

// "a.b.0": attribute by attribute.
Value attribute_path(Interpreter& in, Value v, const Value& path) {
  if (path.is_integer()) return index(v, path, in.heap());
  std::string_view rest = to_text(path, in.heap()).text().bytes();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view name = rest.substr(0, dot);
    int64_t number = 0;
    const auto r = std::from_chars(name.data(), name.data() + name.size(), number);
    if (r.ec == std::errc() && r.ptr == name.data() + name.size()) {
      v = index(v, Value::of(number), in.heap());
    } else if (v.is(Kind::kDict) && v.dict().find(name) != nullptr) {
      v = *v.dict().find(name);
    } else {
      v = v.is(Kind::kUndefined) ? v : in.attribute(v, name);
    }
    if (dot == std::string_view::npos) return v;
    rest.remove_prefix(dot + 1);
  }
}

Value join_filter(Interpreter& in, const Value& v, const Args& a) {
  std::vector<Value> all = items_of(v, in.heap());
  const Value *separator = a.find(0, "d"), *attribute = a.find(1, "attribute");
  if (is_given(attribute)) {
    for (Value& item : all) item = attribute_path(in, item, *attribute);
  }
  return join(separator != nullptr ? to_text(*separator, in.heap()).text() : Text(), all, in.heap());
}

// The arguments after the first `count` ones.
Args rest_of(const Args& a, size_t count) {
  Args out;
  if (a.positional.size() > count)
    out.positional.assign(a.positional.begin() + static_cast<ptrdiff_t>(count), a.positional.end());
  out.named = a.named;
  return out;
}

Value map(Interpreter& in, const Value& v, const Args& a) {
  std::vector<Value> all = items_of(v, in.heap());
  const Value* attribute = a.positional.empty() ? a.find(0, "attribute") : nullptr;
  if (attribute != nullptr) {
    const Value* otherwise = a.find(1, "default");
    for (Value& item : all) {
      item = attribute_path(in, item, *attribute);
      if (item.is(Kind::kUndefined) && otherwise != nullptr) item = *otherwise;
    }
    return in.heap().list(std::move(all));
  }
  if (a.positional.empty() || !a.positional[0].is(Kind::kText))
    type_fault("map needs a filter's name or an attribute");
  const FilterFunction filter = find_filter(a.positional[0].text().bytes());
  if (filter == nullptr) fault(Code::kUnsupported, "map: the filter is not known");
  const Args arguments = rest_of(a, 1);
  for (Value& item : all) {
    in.heap().charge_steps(1);
    item = filter(in, item, arguments);
  }
  return in.heap().list(std::move(all));
}

// select, reject, selectattr, rejectattr: items of which (an attribute) passes a test.
template <bool keeps, bool by_attribute>
Value select(Interpreter& in, const Value& v, const Args& a) {
  const size_t skip = by_attribute ? 1 : 0;
  if (a.positional.size() < skip) type_fault("selectattr and rejectattr need an attribute");
  TestFunction test = nullptr;
  if (a.positional.size() > skip) {
    const Value& name = a.positional[skip];
    test = name.is(Kind::kText) ? find_test(name.text().bytes()) : nullptr;
    if (test == nullptr) fault(Code::kUnsupported, "select: the test is not known");
  }
  const Args arguments = rest_of(a, skip + 1);
  std::vector<Value> out;
  for (const Value& item : items_of(v, in.heap())) {
    in.heap().charge_steps(1);
    const Value looked_at = by_attribute ? attribute_path(in, item, a.positional[0]) : item;
    const bool passes = test != nullptr ? test(in, looked_at, arguments) : is_true(looked_at);
    if (passes == keeps) out.push_back(item);
  }
  return in.heap().list(std::move(out));
}

// What an item is compared by.
Value sort_key(Interpreter& in, const Value& item, const Value* attribute, bool has_case) {
  const Value key = is_given(attribute) ? attribute_path(in, item, *attribute) : item;
  return has_case ? key : without_case(key, in.heap());
}

// Items with what they are compared by.
std::vector<Keyed> keyed(Interpreter& in, const Value& v, const Value* attribute, bool has_case) {
  std::vector<Keyed> out;
  for (const Value& item : items_of(v, in.heap()))
    out.emplace_back(sort_key(in, item, attribute, has_case), item);
  return out;
}

std::vector<Keyed> sorted(std::vector<Keyed> all, bool is_reversed, Heap& heap) {
  sort_by_key(all, is_reversed, heap);
  return all;
}

Value list_of_items(Interpreter& in, const std::vector<Keyed>& all) {
  std::vector<Value> out;
  for (const Keyed& k : all) out.push_back(k.second);
  return in.heap().list(std::move(out));
}

Value sort(Interpreter& in, const Value& v, const Args& a) {
  return list_of_items(in, sorted(keyed(in, v, a.find(2, "attribute"), flag(a, 1, "case_sensitive")),
                                  flag(a, 0, "reverse"), in.heap()));
}

Value dictsort(Interpreter& in, const Value& v, const Args& a) {
  if (!v.is(Kind::kDict)) type_fault("dictsort needs a dict");
  const Value* by = a.find(1, "by");
  const bool by_value = by != nullptr && by->is(Kind::kText) && by->text().bytes() == "value";
  const Value position = Value::of(int64_t{by_value ? 1 : 0});
  return list_of_items(in, sorted(keyed(in, items(in, v, {}), &position, flag(a, 0, "case_sensitive")),
                                  flag(a, 2, "reverse"), in.heap()));
}

Value unique(Interpreter& in, const Value& v, const Args& a) {
  std::vector<Keyed> out;
  for (const Keyed& k : keyed(in, v, a.find(1, "attribute"), flag(a, 0, "case_sensitive"))) {
    const bool is_seen = std::any_of(out.begin(), out.end(),
                                     [&](const Keyed& o) { return equals(o.first, k.first, in.heap()); });
    if (!is_seen) out.push_back(k);
  }
  return list_of_items(in, out);
}

template <bool wants_greatest>
Value extreme(Interpreter& in, const Value& v, const Args& a) {
  const std::vector<Keyed> all = keyed(in, v, a.find(1, "attribute"), flag(a, 0, "case_sensitive"));
  if (all.empty()) return Value();
  const Keyed* best = &all.front();
  for (const Keyed& k : all) {
    if (wants_greatest ? less(best->first, k.first, in.heap()) : less(k.first, best->first, in.heap()))
      best = &k;
  }
  return best->second;
}

Value sum(Interpreter& in, const Value& v, const Args& a) {
  const Value *attribute = a.find(0, "attribute"), *start = a.find(1, "start");
  Value out = start != nullptr ? *start : Value::of(int64_t{0});
  for (const Value& item : items_of(v, in.heap())) {
    out = apply(Op::kAdd, out, is_given(attribute) ? attribute_path(in, item, *attribute) : item, in.heap());
  }
  return out;
}

Value batch(Interpreter& in, const Value& v, const Args& a) {
  const Value* size = a.find(0, "linecount");
  if (size == nullptr || !size->is_integer() || size->integer() < 1)
    type_fault("batch needs a size of one or more");
  const Value* fill = a.find(1, "fill_with");
  const auto width = static_cast<size_t>(size->integer());
  std::vector<Value> rows, row;
  for (const Value& item : items_of(v, in.heap())) {
    row.push_back(item);
    if (row.size() == width) rows.push_back(in.heap().list(std::exchange(row, {})));
  }
  if (!row.empty()) {
    if (is_given(fill)) in.heap().charge_steps(width - row.size());
    while (is_given(fill) && row.size() < width) row.push_back(*fill);
    rows.push_back(in.heap().list(std::move(row)));
  }
  return in.heap().list(std::move(rows));
}

Value attr(Interpreter& in, const Value& v, const Args& a) {
  if (a.positional.empty() || !a.positional[0].is(Kind::kText)) type_fault("attr needs a name");
  return in.attribute(v, a.positional[0].text().bytes());
}

Value count_words(Interpreter& in, const Value& v, const Args&) {
  return Value::of(
      static_cast<int64_t>(length_of(split(to_text(v, in.heap()), nullptr, -1, false, in.heap()))));
}

struct Entry {
  std::string_view name;
  FilterFunction function;
};
constexpr std::array<Entry, 37> kFilters{{
    {"upper", case_filter<Case::kUpper>},
    {"lower", case_filter<Case::kLower>},
    {"title", case_filter<Case::kTitleWords>},
    {"capitalize", case_filter<Case::kCapitalize>},
    {"trim", trim},
    {"replace", replace_filter},
    {"indent", indent_filter},
    {"tojson", tojson},
    {"string", string},
    {"safe", safe},
    {"format", format},
    {"escape", escape},
    {"e", escape},
    {"wordcount", count_words},
    {"length", length},
    {"count", length},
    {"default", default_filter},
    {"d", default_filter},
    {"first", first},
    {"last", last},
    {"list", list},
    {"items", items},
    {"reverse", reverse},
    {"join", join_filter},
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"sort", sort},
    {"dictsort", dictsort},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"sum", sum},
    {"batch", batch},
    {"attr", attr},
}};

}  // namespace

FilterFunction find_filter(std::string_view name) {
  const auto* it =
      std::find_if(kFilters.begin(), kFilters.end(), [&](const Entry& e) { return e.name == name; });
  return it == kFilters.end() ? find_number_filter(name) : it->function;
}

}  // namespace cresset::engine::jinja
