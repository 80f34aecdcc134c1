#include "engine/token/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/print.h"

namespace cresset::engine::jinja {
namespace {

std::string_view op_name(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSubtract:
      return "-";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kFloorDivide:
      return "//";
    case Op::kModulo:
      return "%";
    case Op::kPower:
      return "**";
    default:
      return "~";
  }
}

[[noreturn]] void no_such_operation(Op op, const Value& left, const Value& right) {
  for (const Value* v : {&left, &right}) {
    if (v->is(Kind::kUndefined) && v->name() != nullptr) type_fault("\"" + *v->name() + "\" is undefined");
  }
  type_fault("cannot apply " + std::string(op_name(op)) + " to " + std::string(type_name(left)) + " and " +
             std::string(type_name(right)));
}

int64_t checked_power(int64_t base, int64_t exponent) {
  int64_t out = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(out, base, &out)) fault(Code::kLimit, "a number over 64 bits");
    if (base == 0 || base == 1) break;
    if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  }
  return out;
}

Value integer_result(Op op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflows = false;
  switch (op) {
    case Op::kAdd:
      overflows = __builtin_add_overflow(a, b, &out);
      break;
    case Op::kSubtract:
      overflows = __builtin_sub_overflow(a, b, &out);
      break;
    case Op::kMultiply:
      overflows = __builtin_mul_overflow(a, b, &out);
      break;
    case Op::kFloorDivide:
    case Op::kModulo: {
      if (b == 0) type_fault("division by zero");
      overflows = a == std::numeric_limits<int64_t>::min() && b == -1;
      if (overflows) break;
      const bool rounds_down = a % b != 0 && (a < 0) != (b < 0);
      out = op == Op::kModulo ? a % b + (rounds_down ? b : 0) : a / b - (rounds_down ? 1 : 0);
      break;
    }
    default:
      out = checked_power(a, b);
      break;
  }
  if (overflows) fault(Code::kLimit, "a number over 64 bits");
  return Value::of(out);
}

Value float_result(Op op, double a, double b) {
  if (b == 0 && (op == Op::kDivide || op == Op::kFloorDivide || op == Op::kModulo))
    type_fault("division by zero");
  switch (op) {
    case Op::kAdd:
      return Value::of(a + b);
    case Op::kSubtract:
      return Value::of(a - b);
    case Op::kMultiply:
      return Value::of(a * b);
    case Op::kDivide:
      return Value::of(a / b);
    case Op::kFloorDivide:
      return Value::of(std::floor(a / b));
    case Op::kModulo: {
      const double r = std::fmod(a, b);
      return Value::of(r != 0 && (r < 0) != (b < 0) ? r + b : r);
    }
    default:
      return Value::of(std::pow(a, b));
  }
}

Value number_result(Op op, const Value& a, const Value& b) {
  const bool is_foreign = a.is_foreign() || b.is_foreign();
  const bool is_exact =
      a.is_integer() && b.is_integer() && op != Op::kDivide && !(op == Op::kPower && b.integer() < 0);
  const Value out =
      is_exact ? integer_result(op, a.integer(), b.integer()) : float_result(op, a.number(), b.number());
  return out.marked(is_foreign);
}

// A text or list, several times over.
Value repeat(const Value& v, int64_t count, Heap& heap) {
  const auto times = static_cast<size_t>(std::max<int64_t>(count, 0));
  const size_t unit = v.is(Kind::kText) ? v.text().size() : v.list().items.size() * sizeof(Value);
  if (unit != 0 && times > std::numeric_limits<size_t>::max() / 2 / unit)
    fault(Code::kLimit, "a repetition without end");
  heap.charge_bytes(unit * times);
  if (unit == 0) return v;
  heap.charge_steps(times);
  if (v.is(Kind::kText)) {
    Text out;
    for (size_t i = 0; i < times; ++i) out.append(v.text());
    return heap.text(std::move(out));
  }
  std::vector<Value> out;
  for (size_t i = 0; i < times; ++i) out.insert(out.end(), v.list().items.begin(), v.list().items.end());
  return heap.list(std::move(out), v.is(Kind::kTuple));
}

bool repeats(const Value& v, const Value& count) {
  return (v.is(Kind::kText) || v.is_sequence()) && count.is_integer();
}

// "%s and %d" % (a, b)
Value format(const Value& pattern, const Value& argument, Heap& heap) {
  const std::vector<Value> one{argument};
  const std::vector<Value>& arguments = argument.is(Kind::kTuple) ? argument.list().items : one;
  const Text& text = pattern.text();
  const std::string_view bytes = text.bytes();
  Text out;
  size_t used = 0, begin = 0;
  for (size_t at = bytes.find('%'); at != std::string_view::npos; at = bytes.find('%', begin)) {
    out.append(text, begin, at);
    const char kind = at + 1 < bytes.size() ? bytes[at + 1] : ' ';
    begin = std::min(at + 2, bytes.size());
    if (kind == '%') {
      out.append(text, at, at + 1);
      continue;
    }
    if (kind != 's' && kind != 'd' && kind != 'i') type_fault("only %s, %d and %% are known in a pattern");
    if (used >= arguments.size()) type_fault("not enough values for the pattern");
    const Value& value = arguments[used++];
    if (kind != 's' && !value.is_integer())
      type_fault("%d needs an int, not " + std::string(type_name(value)));
    out.append(
        to_text(kind == 's' || value.is(Kind::kInt) ? value : Value::of(value.integer()), heap).text());
    heap.charge_bytes(out.size() / kBytesPerStep);
  }
  if (used < arguments.size()) type_fault("more values than the pattern takes");
  out.append(text, begin, bytes.size());
  return heap.text(std::move(out));
}

}  // namespace

Value apply(Op op, const Value& left, const Value& right, Heap& heap) {
  if (op == Op::kConcat) {
    Text out = to_text(left, heap).text();
    out.append(to_text(right, heap).text());
    return heap.text(std::move(out));
  }
  if (left.is_number() && right.is_number()) return number_result(op, left, right);
  if (op == Op::kAdd && left.is(Kind::kText) && right.is(Kind::kText)) {
    heap.charge_bytes(left.text().size());
    Text out = left.text();
    out.append(right.text());
    return heap.text(std::move(out));
  }
  if (op == Op::kAdd && left.is_sequence() && left.kind() == right.kind()) {
    heap.charge_steps(left.list().items.size() + right.list().items.size());
    std::vector<Value> out = left.list().items;
    out.insert(out.end(), right.list().items.begin(), right.list().items.end());
    return heap.list(std::move(out), left.is(Kind::kTuple));
  }
  if (op == Op::kMultiply && repeats(left, right)) return repeat(left, right.integer(), heap);
  if (op == Op::kMultiply && repeats(right, left)) return repeat(right, left.integer(), heap);
  if (op == Op::kModulo && left.is(Kind::kText)) return format(left, right, heap);
  no_such_operation(op, left, right);
}

bool contains(const Value& container, const Value& item, Heap& heap) {
  switch (container.kind()) {
    case Kind::kText:
      if (!item.is(Kind::kText)) type_fault("\"in\" a str needs a str, not " + std::string(type_name(item)));
      heap.charge_steps(container.text().size() / kBytesPerStep);
      return container.text().bytes().find(item.text().bytes()) != std::string_view::npos;
    case Kind::kList:
    case Kind::kTuple:
      return std::any_of(container.list().items.begin(), container.list().items.end(),
                         [&](const Value& v) { return equals(v, item, heap); });
    case Kind::kDict:
      return container.dict().find(item) != nullptr;
    case Kind::kUndefined:
      return false;
    default:
      type_fault("\"in\" does not work on " + std::string(type_name(container)));
  }
}

bool holds(Op op, const Value& left, const Value& right, Heap& heap) {
  switch (op) {
    case Op::kEqual:
      return equals(left, right, heap);
    case Op::kNotEqual:
      return !equals(left, right, heap);
    case Op::kIn:
      return contains(right, left, heap);
    case Op::kNotIn:
      return !contains(right, left, heap);
    case Op::kLess:
      return less(left, right, heap);
    case Op::kGreater:
      return less(right, left, heap);
    case Op::kLessEqual:
      return less(left, right, heap) || equals(left, right, heap);
    default:
      return less(right, left, heap) || equals(left, right, heap);
  }
}

Value negate(const Value& v) {
  if (v.is(Kind::kFloat)) return Value::of(-v.number()).marked(v.is_foreign());
  if (v.is_integer()) return integer_result(Op::kSubtract, 0, v.integer()).marked(v.is_foreign());
  type_fault("cannot negate " + std::string(type_name(v)));
}

namespace {

// A text's length in code points, and the byte range of [begin, end) of them.
class CharacterView {
 public:
  CharacterView(const Text& text, Heap& heap) : size_(text.size()) {
    heap.charge_steps(text.size() / kBytesPerStep);
    const bool is_ascii =
        std::all_of(text.bytes().begin(), text.bytes().end(), [](char c) { return (c & 0x80) == 0; });
    if (is_ascii) return;
    heap.charge_bytes(text.size());
    offsets_ = code_point_offsets(text.bytes());
    size_ = offsets_.size() - 1;
  }
  size_t size() const { return size_; }
  size_t offset(size_t i) const { return offsets_.empty() ? i : offsets_[i]; }

 private:
  size_t size_;
  std::vector<size_t> offsets_;
};

}  // namespace

size_t length_of(const Value& v) {
  switch (v.kind()) {
    case Kind::kText:
      return count_code_points(v.text().bytes());
    case Kind::kList:
    case Kind::kTuple:
      return v.list().items.size();
    case Kind::kDict:
      return v.dict().entries.size();
    case Kind::kUndefined:
      return 0;
    default:
      type_fault("a " + std::string(type_name(v)) + " has no length");
  }
}

std::vector<Value> items_of(const Value& v, Heap& heap) {
  std::vector<Value> out;
  switch (v.kind()) {
    case Kind::kList:
    case Kind::kTuple:
      heap.charge_steps(v.list().items.size());
      return v.list().items;
    case Kind::kDict:
      for (const auto& e : v.dict().entries) out.push_back(e.first);
      heap.charge_steps(out.size());
      return out;
    case Kind::kText: {
      const CharacterView view(v.text(), heap);
      heap.charge_steps(view.size());
      for (size_t i = 0; i < view.size(); ++i)
        out.push_back(heap.text(v.text().slice(view.offset(i), view.offset(i + 1))));
      return out;
    }
    case Kind::kUndefined:
      return out;
    default:
      type_fault("a " + std::string(type_name(v)) + " cannot be looped over");
  }
}

Value index(const Value& container, const Value& key, Heap& heap) {
  if (container.is(Kind::kDict) || container.is(Kind::kNamespace)) {
    const Value* found = container.dict().find(key);
    return found == nullptr ? Value() : *found;
  }
  const bool is_text = container.is(Kind::kText);
  if ((!is_text && !container.is_sequence()) || !key.is_integer()) return Value();
  const auto at = [&](size_t size) {
    const int64_t i = key.integer() < 0 ? key.integer() + static_cast<int64_t>(size) : key.integer();
    return i < 0 ? size : static_cast<size_t>(i);
  };
  if (!is_text) {
    const auto& items = container.list().items;
    const size_t i = at(items.size());
    return i < items.size() ? items[i] : Value();
  }
  const CharacterView view(container.text(), heap);
  const size_t i = at(view.size());
  if (i >= view.size()) return Value();
  return heap.text(container.text().slice(view.offset(i), view.offset(i + 1)));
}

namespace {

// Python's slice.indices(): where to begin, how many to take.
struct SliceRange {
  int64_t begin, step;
  size_t count;
};

SliceRange slice_range(size_t length, const Value& begin, const Value& end, const Value& step) {
  const auto part = [](const Value& v, int64_t otherwise) {
    if (v.is(Kind::kUndefined) || v.is(Kind::kNone)) return otherwise;
    if (!v.is_integer()) type_fault("a slice needs ints, not " + std::string(type_name(v)));
    return v.integer();
  };
  const auto size = static_cast<int64_t>(length);
  const int64_t stride = part(step, 1);
  if (stride == 0) type_fault("a slice's step cannot be zero");
  const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
  const auto clamp = [&](int64_t i) {
    if (i < 0) i = i < -size ? low : i + size;
    return std::clamp(i, low, high);
  };
  constexpr int64_t kMissing = std::numeric_limits<int64_t>::max();
  const int64_t first = part(begin, kMissing), last = part(end, kMissing);
  const int64_t from = first == kMissing ? (stride > 0 ? low : high) : clamp(first);
  const int64_t to = last == kMissing ? (stride > 0 ? high : low) : clamp(last);
  const int64_t distance = stride > 0 ? to - from : from - to;
  if (distance <= 0) return {from, stride, 0};
  // The step may be as large as a number can be: never negate it as it is.
  const uint64_t width =
      stride > 0 ? static_cast<uint64_t>(stride) : uint64_t{0} - static_cast<uint64_t>(stride);
  return {from, stride, static_cast<size_t>((static_cast<uint64_t>(distance) - 1) / width + 1)};
}

}  // namespace

Value slice(const Value& container, const Value& begin, const Value& end, const Value& step, Heap& heap) {
  if (container.is(Kind::kText)) {
    const CharacterView view(container.text(), heap);
    const SliceRange r = slice_range(view.size(), begin, end, step);
    if (r.step == 1) {
      const auto from = static_cast<size_t>(r.begin);
      return r.count == 0 ? heap.text("", false)
                          : heap.text(container.text().slice(view.offset(from), view.offset(from + r.count)));
    }
    heap.charge_steps(r.count);
    Text out;
    for (size_t i = 0; i < r.count; ++i) {
      const auto at = static_cast<size_t>(r.begin + static_cast<int64_t>(i) * r.step);
      out.append(container.text(), view.offset(at), view.offset(at + 1));
    }
    return heap.text(std::move(out));
  }
  if (!container.is_sequence()) type_fault("a " + std::string(type_name(container)) + " cannot be sliced");
  const auto& items = container.list().items;
  const SliceRange r = slice_range(items.size(), begin, end, step);
  heap.charge_steps(r.count);
  std::vector<Value> out;
  for (size_t i = 0; i < r.count; ++i)
    out.push_back(items[static_cast<size_t>(r.begin + static_cast<int64_t>(i) * r.step)]);
  return heap.list(std::move(out), container.is(Kind::kTuple));
}

void sort_by_key(std::vector<Keyed>& all, bool is_reversed, Heap& heap) {
  const auto goes_before = [&](const Keyed& a, const Keyed& b) {
    return is_reversed ? less(b.first, a.first, heap) : less(a.first, b.first, heap);
  };
  std::vector<Keyed> merged(all.size());
  for (size_t width = 1; width < all.size(); width *= 2) {
    for (size_t begin = 0; begin < all.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, all.size()),
                   end = std::min(begin + 2 * width, all.size());
      for (size_t at = begin, a = begin, b = middle; at < end; ++at) {
        const bool takes_right = a == middle || (b < end && goes_before(all[b], all[a]));
        merged[at] = all[takes_right ? b++ : a++];
      }
    }
    all.swap(merged);
  }
}

}  // namespace cresset::engine::jinja
