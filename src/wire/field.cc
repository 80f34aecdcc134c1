#include "wire/field.h"

#include <limits>

namespace cresset::wire {

namespace {

// OpenAI's names of the JSON types, with their articles.
std::string_view described(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_bool()) return "a boolean";
  if (value.is_integer()) return "an integer";
  if (value.is_number()) return "a decimal number";
  if (value.is_string()) return "a string";
  if (value.is_array()) return "an array";
  return "an object";
}

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

// "2", not "2.0": a bound as people write it.
std::string shown(double bound) {
  const auto whole = static_cast<int64_t>(bound);
  return static_cast<double>(whole) == bound ? std::to_string(whole) : Json(bound).write();
}

Checked check_bounds(const Field& field, Range range, std::string_view kind) {
  const double value = field.value.as_number();
  const std::string name(kind);
  if (range.min_is_open ? !(value > range.min) : !(value >= range.min)) {
    return refuse(invalid_value(field.path,
                                name + " below minimum value. Expected a value " +
                                    (range.min_is_open ? "> " : ">= ") + shown(range.min) + ", but got " +
                                    field.value.write() + " instead.",
                                name + "_below_min_value"));
  }
  if (!(value <= range.max)) {
    return refuse(invalid_value(field.path,
                                name + " above maximum value. Expected a value <= " + shown(range.max) +
                                    ", but got " + field.value.write() + " instead.",
                                name + "_above_max_value"));
  }
  return {};
}

}  // namespace

Fault wrong_type(const Field& field, std::string_view expected) {
  Fault fault;
  fault.code = Code::kInvalid;
  fault.message = "Invalid type for '" + field.path + "': expected " + std::string(expected) + ", but got " +
                  std::string(described(field.value)) + " instead.";
  fault.param = field.path;
  fault.reason = "invalid_type";
  return fault;
}

Checked take_number(const Field& field, Range range, std::optional<double>& out) {
  if (!field.value.is_number()) return refuse(wrong_type(field, "a number"));
  if (Checked ok = check_bounds(field, range, field.value.is_integer() ? "integer" : "decimal"); !ok)
    return ok;
  out = field.value.as_number();
  return {};
}

Checked take_integer(const Field& field, int64_t min, int64_t max, std::optional<int64_t>& out) {
  if (!field.value.is_integer()) return refuse(wrong_type(field, "an integer"));
  const int64_t value = field.value.as_integer();
  // A value above INT64_MAX reads as INT64_MAX: it is refused by what it is, not by what it reads as.
  const bool saturated = value == std::numeric_limits<int64_t>::max() && field.value != Json(value);
  if (value < min || value > max || saturated) {
    const bool low = value < min;
    return refuse(invalid_value(field.path,
                                std::string("integer ") + (low ? "below minimum" : "above maximum") +
                                    " value. Expected a value " + (low ? ">= " : "<= ") +
                                    std::to_string(low ? min : max) + ", but got " + field.value.write() +
                                    " instead.",
                                low ? "integer_below_min_value" : "integer_above_max_value"));
  }
  out = value;
  return {};
}

Checked take_integer(const Field& field, int64_t min, int64_t max, std::optional<int>& out) {
  std::optional<int64_t> wide;
  if (Checked ok = take_integer(field, min, max, wide); !ok) return ok;
  out = static_cast<int>(*wide);
  return {};
}

Checked take_integer(const Field& field, int64_t min, int64_t max, int& out) {
  std::optional<int> value;
  if (Checked ok = take_integer(field, min, max, value); !ok) return ok;
  out = *value;
  return {};
}

Checked take_boolean(const Field& field, bool& out) {
  if (!field.value.is_bool()) return refuse(wrong_type(field, "a boolean"));
  out = field.value.as_bool();
  return {};
}

Checked take_string(const Field& field, size_t bytes_max, std::string& out) {
  if (!field.value.is_string()) return refuse(wrong_type(field, "a string"));
  const std::string& text = field.value.as_string();
  if (text.size() > bytes_max) {
    return refuse(invalid_value(field.path,
                                "string too long. Expected a string with maximum length " +
                                    std::to_string(bytes_max) + ", but got a string with length " +
                                    std::to_string(text.size()) + " instead.",
                                "string_above_max_length"));
  }
  out = text;
  return {};
}

Checked check_object(const Field& field) {
  if (!field.value.is_object()) return refuse(wrong_type(field, "an object"));
  return {};
}

Checked check_array(const Field& field, size_t items_min, size_t items_max) {
  if (!field.value.is_array()) return refuse(wrong_type(field, "an array"));
  const size_t count = field.value.as_array().size();
  if (count < items_min) {
    return refuse(invalid_value(field.path,
                                "empty array. Expected an array with minimum length " +
                                    std::to_string(items_min) + ", but got an empty array instead.",
                                "empty_array"));
  }
  if (count > items_max) {
    return refuse(invalid_value(field.path,
                                "array too long. Expected an array with maximum length " +
                                    std::to_string(items_max) + ", but got an array with length " +
                                    std::to_string(count) + " instead.",
                                "array_above_max_length"));
  }
  return {};
}

Checked check_one_of(const Field& field, std::initializer_list<std::string_view> values) {
  if (!field.value.is_string()) return refuse(wrong_type(field, "a string"));
  std::string list;
  for (std::string_view value : values) {
    if (field.value.as_string() == value) return {};
    list += std::string(list.empty() ? "" : ", ") + "'" + std::string(value) + "'";
  }
  return refuse(unsupported_value(field.path, "does not support " + field.value.write().substr(0, 64) +
                                                  " here. Supported values: " + list + "."));
}

}  // namespace cresset::wire
