#include "engine/token/jinja/print.h"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/text.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/operators.h"

namespace cresset::engine::jinja {
namespace {

constexpr int kDepthMax = 64;

std::string hex(char32_t value, int digits) {
  std::string out(static_cast<size_t>(digits), '0');
  for (size_t i = out.size(); i-- > 0; value >>= 4) out[i] = "0123456789abcdef"[value & 15];
  return out;
}

std::string scalar_text(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
      return "";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return v.integer() != 0 ? "True" : "False";
    case Kind::kInt:
      return std::to_string(v.integer());
    case Kind::kFloat:
      return float_text(v.number());
    default:
      type_fault("a " + std::string(type_name(v)) + " cannot be printed");
  }
}

// Shared by repr and JSON: writes into one string, charging as it grows.
class Writer {
 public:
  explicit Writer(Heap& heap) : heap_(heap) {}
  std::string take() { return std::move(out_); }

 protected:
  void write(std::string_view s) {
    heap_.charge_bytes(s.size());
    out_ += s;
  }
  void enter(int depth) {
    heap_.charge_steps(1);
    if (depth > kDepthMax) fault(Code::kLimit, "a value nested too deep to print");
  }
  Heap& heap_;
  std::string out_;
};

class ReprWriter : public Writer {
 public:
  using Writer::Writer;

  void write_value(const Value& v, int depth = 0) {
    enter(depth);
    switch (v.kind()) {
      case Kind::kText:
        return write_text(v.text().bytes());
      case Kind::kList:
      case Kind::kTuple:
        return write_items(v, depth);
      case Kind::kDict:
        return write_entries(v.dict(), depth);
      default:
        return write(scalar_text(v));
    }
  }

 private:
  void write_items(const Value& v, int depth) {
    const bool is_tuple = v.is(Kind::kTuple);
    write(is_tuple ? "(" : "[");
    const auto& items = v.list().items;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) write(", ");
      write_value(items[i], depth + 1);
    }
    write(!is_tuple ? "]" : items.size() == 1 ? ",)" : ")");
  }
  void write_entries(const Dict& dict, int depth) {
    write("{");
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) write(", ");
      write_value(dict.entries[i].first, depth + 1);
      write(": ");
      write_value(dict.entries[i].second, depth + 1);
    }
    write("}");
  }
  // Single quotes, unless the text holds one and no double quote.
  void write_text(std::string_view s) {
    const bool has_single = s.find('\'') != std::string_view::npos;
    const char quote = has_single && s.find('"') == std::string_view::npos ? '"' : '\'';
    std::string text(1, quote);
    for (size_t at = 0; at < s.size();) {
      const CodePoint c = next_code_point(s.substr(at));
      const auto length = static_cast<size_t>(c.length);
      if (c.value == static_cast<char32_t>(quote) || c.value == '\\') {
        text += '\\';
        text += s[at];
      } else if (c.value == '\n' || c.value == '\r' || c.value == '\t') {
        text += c.value == '\n' ? "\\n" : c.value == '\r' ? "\\r" : "\\t";
      } else if (c.value < 0x20 || (c.value >= 0x7F && c.value < 0xA1) || c.value == 0xAD) {
        text += "\\x" + hex(c.value, 2);
      } else {
        text += s.substr(at, length);
      }
      at += length;
    }
    text += quote;
    write(text);
  }
};

class JsonWriter : public Writer {
 public:
  JsonWriter(const JsonStyle& style, Heap& heap) : Writer(heap), style_(style) {}

  void write_value(const Value& v, int depth = 0) {
    enter(depth);
    switch (v.kind()) {
      case Kind::kNone:
        return write("null");
      case Kind::kBool:
        return write(v.integer() != 0 ? "true" : "false");
      case Kind::kInt:
        return write(std::to_string(v.integer()));
      case Kind::kFloat:
        return write_float(v.number());
      case Kind::kText:
        return write_text(v.text().bytes());
      case Kind::kList:
      case Kind::kTuple:
        return write_items(v.list(), depth);
      case Kind::kDict:
        return write_entries(v.dict(), depth);
      default:
        type_fault("a " + std::string(type_name(v)) + " cannot be written as JSON");
    }
  }

 private:
  void write_break(int depth) {
    if (!style_.indent) return;
    write("\n");
    for (int i = 0; i < depth; ++i) write(*style_.indent);
  }
  void write_separator(int depth) {
    write(style_.item_separator);
    write_break(depth);
  }
  void write_items(const List& list, int depth) {
    if (list.items.empty()) return write("[]");
    write("[");
    write_break(depth + 1);
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) write_separator(depth + 1);
      write_value(list.items[i], depth + 1);
    }
    write_break(depth);
    write("]");
  }
  void write_entries(const Dict& dict, int depth) {
    if (dict.entries.empty()) return write("{}");
    std::vector<Keyed> entries = dict.entries;
    if (style_.sorts_keys) sort_by_key(entries, false, heap_);
    write("{");
    write_break(depth + 1);
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) write_separator(depth + 1);
      const Value& key = entries[i].first;
      if (key.is(Kind::kText)) {
        write_text(key.text().bytes());
      } else {
        write("\"");
        write_value(key, depth + 1);
        write("\"");
      }
      write(style_.key_separator);
      write_value(entries[i].second, depth + 1);
    }
    write_break(depth);
    write("}");
  }
  void write_float(double d) {
    if (std::isnan(d)) return write("NaN");
    if (std::isinf(d)) return write(d > 0 ? "Infinity" : "-Infinity");
    write(float_text(d));
  }
  void write_text(std::string_view s) {
    std::string text = "\"";
    for (size_t at = 0; at < s.size();) {
      const CodePoint c = next_code_point(s.substr(at));
      const auto length = static_cast<size_t>(c.length);
      write_character(text, s.substr(at, length), c.value);
      at += length;
    }
    text += '"';
    write(text);
  }
  void write_character(std::string& text, std::string_view bytes, char32_t c) const {
    constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f", kLetters = "\"\\nrtbf";
    const size_t known = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (known != std::string_view::npos) {
      text += '\\';
      text += kLetters[known];
    } else if (c < 0x20) {
      text += "\\u" + hex(c, 4);
    } else if (c < 0x7F || !style_.is_ascii) {
      text += bytes;
    } else if (c < 0x10000) {
      text += "\\u" + hex(c, 4);
    } else {
      text +=
          "\\u" + hex(0xD800 + ((c - 0x10000) >> 10), 4) + "\\u" + hex(0xDC00 + ((c - 0x10000) & 0x3FF), 4);
    }
  }

  const JsonStyle& style_;
};

}  // namespace

// The shortest digits that read back to the same value; an exponent below 1e-4 and from 1e16 on.
std::string float_text(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific).ptr;
  const std::string scientific(buffer, end);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return scientific;
  const auto fixed_end = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::fixed).ptr;
  std::string fixed(buffer, fixed_end);
  return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}

Value to_text(const Value& v, Heap& heap) {
  if (v.is(Kind::kText)) return v;
  if (v.is_sequence() || v.is(Kind::kDict)) {
    ReprWriter writer(heap);
    writer.write_value(v);
    return heap.text(writer.take(), has_foreign(v, heap));
  }
  return heap.text(scalar_text(v), v.is_foreign());
}

Value to_json(const Value& v, const JsonStyle& style, Heap& heap) {
  JsonWriter writer(style, heap);
  writer.write_value(v);
  return heap.text(writer.take(), has_foreign(v, heap));
}

}  // namespace cresset::engine::jinja
