// Field: one value of a request's body and the path that names it, with the checks every dialect needs. Each
// take_ function puts the value where it belongs or says what was expected and what came instead, in OpenAI's
// words. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "wire/fault.h"

namespace cresset::wire {

struct Field {
  const Json& value;
  std::string path;

  Field item(size_t index) const {
    return {value.as_array()[index], path + "[" + std::to_string(index) + "]"};
  }
  Field member(const JsonMember& m) const {
    return {m.second, path.empty() ? m.first : path + "." + m.first};
  }
};

struct Range {
  double min = 0, max = 0;
  bool min_is_open = false;  // the smallest value itself is not allowed
};

// "Invalid type for 'temperature': expected a number, but got a string instead."
Fault wrong_type(const Field& field, std::string_view expected);

Checked take_number(const Field& field, Range range, std::optional<double>& out);
Checked take_integer(const Field& field, int64_t min, int64_t max, std::optional<int64_t>& out);
Checked take_integer(const Field& field, int64_t min, int64_t max, int& out);
Checked take_integer(const Field& field, int64_t min, int64_t max, std::optional<int>& out);
Checked take_boolean(const Field& field, bool& out);
Checked take_string(const Field& field, size_t bytes_max, std::string& out);
Checked check_object(const Field& field);
Checked check_array(const Field& field, size_t items_min, size_t items_max);

// Passes for one of `values`; any other string is an unsupported value.
Checked check_one_of(const Field& field, std::initializer_list<std::string_view> values);

}  // namespace cresset::wire
