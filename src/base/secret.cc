#include "base/secret.h"

#include <utility>

namespace cresset {

Secret::Secret(Secret&& other) noexcept : text_(std::move(other.text_)) {
  other.wipe();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    text_ = std::move(other.text_);
    other.wipe();
  }
  return *this;
}

Secret::~Secret() {
  wipe();
}

bool Secret::equals(std::string_view other) const {
  unsigned difference = text_.size() == other.size() ? 0u : 1u;
  for (size_t i = 0; i < text_.size(); ++i) {
    const unsigned char theirs = other.empty() ? 0 : static_cast<unsigned char>(other[i % other.size()]);
    difference |= static_cast<unsigned char>(text_[i]) ^ theirs;
  }
  return difference == 0 && !text_.empty();
}

void Secret::wipe() {
  // The whole capacity, through volatile so that it is not optimised away: small strings live in the object.
  volatile char* p = text_.data();
  for (size_t i = 0; i < text_.capacity(); ++i) p[i] = 0;
  text_.clear();
}

}  // namespace cresset
