// Strong ids: a number that cannot be mistaken for another kind of number.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace cresset {

template <class Tag>
struct Id {
  uint64_t value = 0;
  auto operator<=>(const Id&) const = default;
};

}  // namespace cresset

template <class Tag>
struct std::hash<cresset::Id<Tag>> {
  size_t operator()(cresset::Id<Tag> id) const noexcept { return std::hash<uint64_t>{}(id.value); }
};
