// JSON values: parse with limits, build, write. Boost.JSON does the reading inside json.cc; nobody else sees
// it. Objects keep their order; integers stay integers; a duplicate key is refused (two readers of one body
// must not disagree about what it says).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace cresset {

class Json;
using JsonArray = std::vector<Json>;
using JsonMember = std::pair<std::string, Json>;
using JsonObject = std::vector<JsonMember>;

class Json {
 public:
  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool v) : value_(v) {}
  Json(int v) : value_(static_cast<int64_t>(v)) {}
  Json(unsigned v) : value_(static_cast<int64_t>(v)) {}
  Json(long v) : value_(static_cast<int64_t>(v)) {}
  Json(long long v) : value_(static_cast<int64_t>(v)) {}
  Json(unsigned long v) : value_(static_cast<uint64_t>(v)) {}
  Json(unsigned long long v) : value_(static_cast<uint64_t>(v)) {}
  Json(double v) : value_(v) {}
  Json(float v) : value_(static_cast<double>(v)) {}
  Json(const char* v) : value_(std::string(v)) {}
  Json(std::string_view v) : value_(std::string(v)) {}
  Json(std::string v) : value_(std::move(v)) {}
  Json(JsonArray v) : value_(std::move(v)) {}
  Json(JsonObject v) : value_(std::move(v)) {}
  // Json::object({{"a", 1}, {"b", Json::array({1, 2})}}). What is given is moved, not copied, however deep.
  struct Member;
  struct Item;
  static Json object(std::initializer_list<Member> members = {});
  static Json array(std::initializer_list<Item> items = {});

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const {
    return std::holds_alternative<int64_t>(value_) || std::holds_alternative<uint64_t>(value_);
  }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<JsonArray>(value_); }
  bool is_object() const { return std::holds_alternative<JsonObject>(value_); }
  // "null", "boolean", "integer", "number", "string", "array", "object": for error lines.
  std::string_view type_name() const;

  // Each CHECKs the type: ask first.
  bool as_bool() const;
  int64_t as_integer() const;  // a uint64 above INT64_MAX saturates
  double as_number() const;
  const std::string& as_string() const;
  const JsonArray& as_array() const;
  JsonArray& as_array();
  const JsonObject& as_object() const;
  JsonObject& as_object();

  // The member of an object, or nullptr (also when this is not an object).
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  // Sets or adds a member; CHECKs that this is an object (null becomes one).
  void set(std::string_view key, Json value);
  // Appends to an array (null becomes one).
  void push(Json value);

  // Compact text. Numbers in the shortest form that reads back to the same value; non-finite as null. Text
  // that is not UTF-8 is written with U+FFFD.
  std::string write() const;
  void write(std::string& out) const;

  bool operator==(const Json& other) const = default;

 private:
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, JsonArray, JsonObject> value_;
};

// The elements of an initializer_list are const, so what may be moved out of them is mutable.
struct Json::Member {
  template <class Value>
  Member(std::string k, Value&& v) : key(std::move(k)), value(std::forward<Value>(v)) {}
  Member(JsonMember m) : key(std::move(m.first)), value(std::move(m.second)) {}
  mutable std::string key;
  mutable Json value;
};
struct Json::Item {
  template <class Value>
  Item(Value&& v) : value(std::forward<Value>(v)) {}
  mutable Json value;
};

inline Json Json::object(std::initializer_list<Member> members) {
  JsonObject out;
  out.reserve(members.size());
  for (const Member& m : members) out.emplace_back(std::move(m.key), std::move(m.value));
  return Json(std::move(out));
}

inline Json Json::array(std::initializer_list<Item> items) {
  JsonArray out;
  out.reserve(items.size());
  for (const Item& item : items) out.push_back(std::move(item.value));
  return Json(std::move(out));
}

struct JsonLimits {
  size_t depth_max = 64;
  size_t bytes_max = 32u << 20;
};

// Strict RFC 8259 (no comments, no trailing commas, UTF-8 checked). Errors name the byte offset.
Result<Json> parse_json(std::string_view text, JsonLimits limits = {});

// Appends `text` as a JSON string with its quotes.
void write_json_string(std::string& out, std::string_view text);

}  // namespace cresset
