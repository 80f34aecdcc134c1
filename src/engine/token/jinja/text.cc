#include "engine/token/jinja/text.h"

#include <algorithm>

#include "base/text.h"
#include "engine/token/unicode.h"

namespace cresset::engine::jinja {
namespace {

// The code point that ends at `end` (> 0); broken UTF-8 goes byte by byte.
CodePoint last_code_point(std::string_view bytes, size_t end) {
  for (size_t n = 1; n <= 4 && n <= end; ++n) {
    const CodePoint c = next_code_point(bytes.substr(end - n, n));
    if (c.valid && static_cast<size_t>(c.length) == n) return c;
  }
  return {};
}

template <class Drop>
Span strip_if(std::string_view bytes, bool left, bool right, Drop drop) {
  Span out{0, bytes.size()};
  while (left && out.begin < out.end) {
    const CodePoint c = next_code_point(bytes.substr(out.begin));
    if (!drop(c.value)) break;
    out.begin += static_cast<size_t>(c.length);
  }
  while (right && out.begin < out.end) {
    const CodePoint c = last_code_point(bytes, out.end);
    if (!drop(c.value)) break;
    out.end -= static_cast<size_t>(c.length);
  }
  return out;
}

}  // namespace

Text::Text(std::string bytes, bool is_foreign) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), is_foreign});
}

bool Text::has_foreign() const {
  return std::any_of(runs_.begin(), runs_.end(), [](const Run& r) { return r.is_foreign; });
}

void Text::append(std::string_view bytes, bool is_foreign) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  if (!runs_.empty() && runs_.back().is_foreign == is_foreign) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), is_foreign});
  }
}

size_t Text::run_at(size_t at) const {
  const auto it =
      std::upper_bound(runs_.begin(), runs_.end(), at, [](size_t a, const Run& r) { return a < r.end; });
  return static_cast<size_t>(it - runs_.begin());
}

void Text::append(const Text& other, size_t begin, size_t end) {
  for (size_t run = other.run_at(begin); begin < end; ++run) {
    const size_t to = std::min(end, other.runs_[run].end);
    append(other.bytes().substr(begin, to - begin), other.runs_[run].is_foreign);
    begin = to;
  }
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

bool Text::is_foreign_at(size_t at) const {
  return at < size() && runs_[run_at(at)].is_foreign;
}

bool is_python_space(char32_t c) {
  return (c >= 0x1C && c <= 0x1F) || class_of(c) == CharClass::kSpace;
}

Span strip_spaces(std::string_view bytes, bool left, bool right) {
  return strip_if(bytes, left, right, is_python_space);
}

Span strip_set(std::string_view bytes, std::string_view set, bool left, bool right) {
  std::vector<char32_t> drop;
  for (size_t at = 0; at < set.size();) {
    const CodePoint c = next_code_point(set.substr(at));
    drop.push_back(c.value);
    at += static_cast<size_t>(c.length);
  }
  std::sort(drop.begin(), drop.end());
  return strip_if(bytes, left, right,
                  [&](char32_t c) { return std::binary_search(drop.begin(), drop.end(), c); });
}

size_t count_code_points(std::string_view bytes) {
  size_t n = 0;
  for (size_t at = 0; at < bytes.size(); ++n)
    at += static_cast<size_t>(next_code_point(bytes.substr(at)).length);
  return n;
}

std::vector<size_t> code_point_offsets(std::string_view bytes) {
  std::vector<size_t> out;
  out.reserve(bytes.size() + 1);
  for (size_t at = 0; at < bytes.size();) {
    out.push_back(at);
    at += static_cast<size_t>(next_code_point(bytes.substr(at)).length);
  }
  out.push_back(bytes.size());
  return out;
}

}  // namespace cresset::engine::jinja
