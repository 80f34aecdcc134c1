#include "engine/run/draft.h"

#include <algorithm>
#include <bit>

namespace cresset::engine {
namespace {

constexpr size_t kSlotsMin = 256;

}  // namespace

size_t DraftIndex::slot_of(std::span<const Token> tokens, size_t end) const {
  uint64_t hash = 0;
  for (size_t i = end - kAgreedMin; i < end; ++i)
    hash = (hash ^ static_cast<uint32_t>(tokens[i])) * 0x9E3779B97F4A7C15ull;
  return static_cast<size_t>(hash >> 32) & (latest_.size() - 1);
}

void DraftIndex::insert(std::span<const Token> tokens, size_t end) {
  uint32_t& latest = latest_[slot_of(tokens, end)];
  earlier_.push_back(latest);
  latest = static_cast<uint32_t>(end);
}

void DraftIndex::follow(std::span<const Token> tokens) {
  if (tokens.size() > latest_.size()) {
    latest_.assign(std::max(kSlotsMin, std::bit_ceil(2 * tokens.size())), 0);
    earlier_.clear();
  }
  for (size_t end = earlier_.size() + kAgreedMin; end <= tokens.size(); ++end) insert(tokens, end);
}

Draft DraftIndex::find(std::span<const Token> tokens, size_t tokens_max) const {
  Draft draft;
  const size_t size = tokens.size();
  if (tokens_max == 0 || size < kAgreedMin) return draft;
  size_t from = 0, place = earlier_[size - kAgreedMin];
  for (size_t looked = 0; place != 0 && looked < kPlacesMax && draft.agreed < kAgreedMax; ++looked) {
    const size_t most = std::min(place, kAgreedMax);
    size_t agreed = 0;
    while (agreed < most && tokens[place - 1 - agreed] == tokens[size - 1 - agreed]) ++agreed;
    if (agreed >= kAgreedMin && agreed > draft.agreed) {
      draft.agreed = agreed;
      from = place;
    }
    place = earlier_[place - kAgreedMin];
  }
  if (draft.agreed == 0) return draft;
  draft.tokens.reserve(tokens_max);
  for (size_t i = from; draft.tokens.size() < tokens_max; ++i)
    draft.tokens.push_back(i < size ? tokens[i] : draft.tokens[i - size]);
  return draft;
}

}  // namespace cresset::engine
