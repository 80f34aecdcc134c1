#include "base/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <unordered_set>

#include "base/check.h"
#include "base/text.h"

namespace cresset {
namespace {

namespace bj = boost::json;

// Receives the parser's events and builds the tree on an explicit stack (no recursion on hostile depth).
class Builder {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = 1u << 20;
  static constexpr std::size_t max_string_size = std::size_t(-1);

  Json root;
  std::string duplicate;
  bool has_duplicate = false;

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) {
    open_.push_back({Json(JsonObject{}), std::move(key_), nullptr});
    return true;
  }
  bool on_array_begin(bj::error_code&) {
    open_.push_back({Json(JsonArray{}), std::move(key_), nullptr});
    return true;
  }
  bool on_object_end(std::size_t, bj::error_code& ec) { return close(ec); }
  bool on_array_end(std::size_t, bj::error_code& ec) { return close(ec); }
  bool on_string_part(bj::string_view s, std::size_t, bj::error_code&) {
    text_.append(s.data(), s.size());
    return true;
  }
  bool on_string(bj::string_view s, std::size_t, bj::error_code& ec) {
    text_.append(s.data(), s.size());
    const bool ok = add(Json(std::move(text_)), ec);
    text_.clear();
    return ok;
  }
  bool on_key_part(bj::string_view s, std::size_t, bj::error_code&) {
    text_.append(s.data(), s.size());
    return true;
  }
  bool on_key(bj::string_view s, std::size_t, bj::error_code& ec) {
    text_.append(s.data(), s.size());
    key_ = std::move(text_);
    text_.clear();
    if (!is_new_key(open_.back(), key_)) {
      duplicate = key_;
      has_duplicate = true;
      ec = bj::error::syntax;
      return false;
    }
    return true;
  }
  bool on_number_part(bj::string_view s, bj::error_code&) {
    text_.append(s.data(), s.size());
    return true;
  }
  bool on_int64(std::int64_t v, bj::string_view, bj::error_code& ec) {
    text_.clear();
    return add(Json(static_cast<long>(v)), ec);
  }
  bool on_uint64(std::uint64_t v, bj::string_view, bj::error_code& ec) {
    text_.clear();
    return add(Json(static_cast<unsigned long>(v)), ec);
  }
  // Boost.JSON's own value may be off by an ulp or two; the text is read again, correctly rounded.
  bool on_double(double v, bj::string_view s, bj::error_code& ec) {
    text_.append(s.data(), s.size());
    double exact = v;
    if (std::from_chars(text_.data(), text_.data() + text_.size(), exact).ec == std::errc()) v = exact;
    text_.clear();
    return add(Json(v), ec);
  }
  bool on_bool(bool v, bj::error_code& ec) { return add(Json(v), ec); }
  bool on_null(bj::error_code& ec) { return add(Json(), ec); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  struct Open {
    Json value;
    std::string key;                                        // under which it goes into its parent
    std::unique_ptr<std::unordered_set<std::string>> seen;  // for large objects
  };

  static bool is_new_key(Open& open, const std::string& key) {
    constexpr size_t kLinear = 32;
    const JsonObject& members = open.value.as_object();
    if (members.size() <= kLinear) return open.value.find(key) == nullptr;
    if (!open.seen) {
      open.seen = std::make_unique<std::unordered_set<std::string>>();
      for (const auto& m : members) open.seen->insert(m.first);
    }
    return open.seen->insert(key).second;
  }
  // Most have a few items: growing one by one to there would move each of them three times.
  template <class Items>
  static Items& begin(Items& items) {
    if (items.capacity() == 0) items.reserve(4);
    return items;
  }
  bool close(bj::error_code& ec) {
    Open done = std::move(open_.back());
    open_.pop_back();
    key_ = std::move(done.key);
    return add(std::move(done.value), ec);
  }
  bool add(Json value, bj::error_code&) {
    if (open_.empty()) {
      root = std::move(value);
    } else if (Json& parent = open_.back().value; parent.is_array()) {
      begin(parent.as_array()).push_back(std::move(value));
    } else {
      begin(parent.as_object()).emplace_back(std::move(key_), std::move(value));
    }
    key_.clear();
    return true;
  }

  std::vector<Open> open_;
  std::string key_, text_;
};

// How many bytes at the front stand in a JSON string as they are, eight at a time (Mycroft's test for a zero
// byte, and its like for a byte below n).
size_t plain_run(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    const uint64_t quote = word ^ (kOnes * '"'), slash = word ^ (kOnes * '\\');
    const uint64_t special =
        word | (word - kOnes * 0x20) | ((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash);
    if ((special & kHigh) != 0) break;
  }
  while (i < text.size()) {
    const auto b = static_cast<unsigned char>(text[i]);
    if (b < 0x20 || b >= 0x80 || b == '"' || b == '\\') break;
    ++i;
  }
  return i;
}

// About what a value takes as text: growing step by step to 100 KB would copy it twice and fault its pages
// in.
size_t size_hint(const Json& value) {
  size_t size = 8;
  if (value.is_string()) {
    size += value.as_string().size();
  } else if (value.is_array()) {
    for (const Json& item : value.as_array()) size += size_hint(item);
  } else if (value.is_object()) {
    for (const JsonMember& m : value.as_object()) size += m.first.size() + 4 + size_hint(m.second);
  }
  return size;
}

void write_double(std::string& out, double v) {
  if (!std::isfinite(v)) {
    out += "null";
    return;
  }
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  out += text;
  if (text.find_first_of(".eEn") == std::string_view::npos) out += ".0";  // a double reads back as a double
}

}  // namespace

std::string_view Json::type_name() const {
  constexpr std::string_view kNames[] = {"null",   "boolean", "integer", "integer",
                                         "number", "string",  "array",   "object"};
  return kNames[value_.index()];
}

bool Json::as_bool() const {
  CHECK(is_bool());
  return std::get<bool>(value_);
}
int64_t Json::as_integer() const {
  CHECK(is_integer());
  if (const auto* v = std::get_if<int64_t>(&value_)) return *v;
  const uint64_t v = std::get<uint64_t>(value_);
  return v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ? std::numeric_limits<int64_t>::max()
                                                                        : static_cast<int64_t>(v);
}
double Json::as_number() const {
  CHECK(is_number());
  if (const auto* v = std::get_if<int64_t>(&value_)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<uint64_t>(&value_)) return static_cast<double>(*v);
  return std::get<double>(value_);
}
const std::string& Json::as_string() const {
  CHECK(is_string());
  return std::get<std::string>(value_);
}
const JsonArray& Json::as_array() const {
  CHECK(is_array());
  return std::get<JsonArray>(value_);
}
JsonArray& Json::as_array() {
  CHECK(is_array());
  return std::get<JsonArray>(value_);
}
const JsonObject& Json::as_object() const {
  CHECK(is_object());
  return std::get<JsonObject>(value_);
}
JsonObject& Json::as_object() {
  CHECK(is_object());
  return std::get<JsonObject>(value_);
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& m : std::get<JsonObject>(value_)) {
    if (m.first == key) return &m.second;
  }
  return nullptr;
}
Json* Json::find(std::string_view key) {
  return const_cast<Json*>(std::as_const(*this).find(key));
}

void Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = JsonObject{};
  if (Json* old = find(key)) {
    *old = std::move(value);
  } else {
    as_object().emplace_back(std::string(key), std::move(value));
  }
}

void Json::push(Json value) {
  if (is_null()) value_ = JsonArray{};
  as_array().push_back(std::move(value));
}

void write_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  size_t plain = 0;
  for (size_t i = 0; i < text.size();) {
    i += plain_run(text.substr(i));
    if (i == text.size()) break;
    const auto b = static_cast<unsigned char>(text[i]);
    if (b >= 0x80) {
      const CodePoint c = next_code_point(text.substr(i));
      if (!c.valid) {
        out.append(text.substr(plain, i - plain));
        append_utf8(out, kReplacement);
        plain = i + 1;
      }
      i += static_cast<size_t>(c.length);
      continue;
    }
    if (b < 0x20 || b == '"' || b == '\\') {
      out.append(text.substr(plain, i - plain));
      plain = i + 1;
      switch (b) {
        case '"':
          out += "\\\"";
          break;
        case '\\':
          out += "\\\\";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\t':
          out += "\\t";
          break;
        default:
          out += "\\u00";
          out += kHex[b >> 4];
          out += kHex[b & 15];
      }
    }
    ++i;
  }
  out.append(text.substr(plain));
  out += '"';
}

std::string Json::write() const {
  std::string out;
  const size_t size = size_hint(*this);
  out.reserve(size + size / 16);
  write(out);
  return out;
}

void Json::write(std::string& out) const {
  if (is_null()) {
    out += "null";
  } else if (const auto* b = std::get_if<bool>(&value_)) {
    out += *b ? "true" : "false";
  } else if (const auto* i = std::get_if<int64_t>(&value_)) {
    out += std::to_string(*i);
  } else if (const auto* u = std::get_if<uint64_t>(&value_)) {
    out += std::to_string(*u);
  } else if (const auto* d = std::get_if<double>(&value_)) {
    write_double(out, *d);
  } else if (const auto* s = std::get_if<std::string>(&value_)) {
    write_json_string(out, *s);
  } else if (const auto* a = std::get_if<JsonArray>(&value_)) {
    out += '[';
    for (size_t n = 0; n < a->size(); ++n) {
      if (n) out += ',';
      (*a)[n].write(out);
    }
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& m : std::get<JsonObject>(value_)) {
      if (!first) out += ',';
      first = false;
      write_json_string(out, m.first);
      out += ':';
      m.second.write(out);
    }
    out += '}';
  }
}

Result<Json> parse_json(std::string_view text, JsonLimits limits) {
  if (text.size() > limits.bytes_max) {
    return fail(Code::kLimit, "JSON of " + std::to_string(text.size()) + " bytes is over the limit of " +
                                  std::to_string(limits.bytes_max));
  }
  bj::parse_options options;
  options.max_depth = limits.depth_max;
  bj::basic_parser<Builder> parser(options);
  bj::error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  const Builder& handler = parser.handler();
  if (handler.has_duplicate) {
    return fail(Code::kInvalid,
                "the key \"" + to_valid_utf8(handler.duplicate) + "\" appears twice in one JSON object");
  }
  if (ec == bj::error::too_deep) {
    return fail(Code::kLimit, "JSON is nested deeper than " + std::to_string(limits.depth_max) + " levels");
  }
  if (ec) {
    return fail(Code::kInvalid, "not valid JSON at byte " + std::to_string(used) + ": " + ec.message());
  }
  if (text.substr(used).find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return fail(Code::kInvalid, "not valid JSON: text after the value at byte " + std::to_string(used));
  }
  return std::move(parser.handler().root);
}

}  // namespace cresset
