#include "wire/codec.h"

#include <algorithm>

namespace cresset::wire {

int count_choices(const chat::Request& request) {
  return static_cast<int>(std::max<size_t>(request.prompts.size(), 1)) * request.choices;
}

}  // namespace cresset::wire
