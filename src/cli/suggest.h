// "Did you mean": the nearest known word to an unknown one. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cresset::cli {

// The candidate at the smallest edit distance, or empty when none is near (more than a third of the letters
// differ).
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);
// "; did you mean \"X\"?" or "".
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace cresset::cli
