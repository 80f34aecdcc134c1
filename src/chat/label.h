// Label: how private a piece of text is. Labels only join upward. Until policy exists a request carries the
// default; the type is here so that every part of a context has one from the day it is decoded.
#pragma once

#include <algorithm>
#include <compare>

namespace cresset::chat {

enum class Level { kPublic, kInternal, kConfidential, kSecret };

struct Label {
  Level level = Level::kInternal;
  auto operator<=>(const Label&) const = default;
};

inline Label join(Label a, Label b) {
  return Label{std::max(a.level, b.level)};
}

}  // namespace cresset::chat
