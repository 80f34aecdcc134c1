// Reading what a provider says: absent, null and of another type all mean "not said". A provider's slip in a
// field that nobody needs must not cost the answer. For clients' requests, which are checked, see field.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/json.h"

namespace cresset::wire {

// The member, unless it is null.
inline const Json* get(const Json& value, std::string_view key) {
  const Json* member = value.find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}
inline std::string_view string_at(const Json& value, std::string_view key) {
  const Json* member = value.find(key);
  return member != nullptr && member->is_string() ? std::string_view(member->as_string())
                                                  : std::string_view{};
}
inline int count_of(const Json& value) {
  if (!value.is_number()) return 0;
  const double number = value.as_number();
  return number >= 0 && number <= std::numeric_limits<int>::max() ? static_cast<int>(number) : 0;
}
inline int count_at(const Json& value, std::string_view key) {
  const Json* member = value.find(key);
  return member == nullptr ? 0 : count_of(*member);
}
inline const JsonArray& array_at(const Json& value, std::string_view key) {
  static const JsonArray none;
  const Json* member = value.find(key);
  return member != nullptr && member->is_array() ? member->as_array() : none;
}

// A member that nobody took, kept; null means "not given".
inline void keep(Json& extras, const JsonMember& m) {
  if (!m.second.is_null()) extras.set(m.first, m.second);
}
// Adds kept members to what is written; what is written already stays.
inline void add_extras(Json& out, const Json& extras) {
  if (!extras.is_object()) return;
  for (const JsonMember& m : extras.as_object()) {
    if (out.find(m.first) == nullptr) out.set(m.first, m.second);
  }
}

}  // namespace cresset::wire
