// Dropped: what a translation could not carry over, by the names the client used. It becomes the header
// X-Cresset-Dropped: a loss is said, never hidden. A value; belongs to no thread.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace cresset::wire {

class Dropped {
 public:
  static constexpr size_t kNamesMax = 64;
  static constexpr size_t kNameBytesMax = 128;

  // Each name counts once; a name with characters that do not belong in a header is cleaned.
  void add(std::string_view name) {
    std::string clean(name.substr(0, kNameBytesMax));
    for (char& c : clean) {
      if (c <= ' ' || c > '~' || c == ',') c = '_';
    }
    if (names_.size() < kNamesMax && std::find(names_.begin(), names_.end(), clean) == names_.end())
      names_.push_back(std::move(clean));
  }
  // Every member of an object of extras.
  void add_members(const Json& extras, std::string_view prefix = {}) {
    if (!extras.is_object()) return;
    for (const JsonMember& m : extras.as_object()) add(std::string(prefix) + m.first);
  }
  bool empty() const { return names_.empty(); }
  const std::vector<std::string>& names() const { return names_; }
  std::string text() const {
    std::string out;
    for (const std::string& name : names_) out += (out.empty() ? "" : ", ") + name;
    return out;
  }

 private:
  std::vector<std::string> names_;
};

}  // namespace cresset::wire
