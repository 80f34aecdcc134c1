#include "engine/token/text_index.h"

#include <bit>
#include <cstring>

namespace cresset::engine {
namespace {

// Among two million texts that nobody chose, runs of taken slots stay far below.
constexpr size_t kProbesMax = 512;

uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * 0x9E37'79B9'7F4A'7C15;  // 2^64 over the golden ratio, odd
  return h ^ h >> 32;
}

uint32_t hash_of(std::string_view text) {
  uint64_t h = text.size(), word;
  for (; text.size() >= sizeof word; text.remove_prefix(sizeof word)) {
    std::memcpy(&word, text.data(), sizeof word);
    h = mix(h, word);
  }
  word = 0;
  std::memcpy(&word, text.data(), text.size());
  return static_cast<uint32_t>(mix(mix(h, word), 1));
}

}  // namespace

void TextIndex::reserve(size_t count) {
  if (count * 2 > slots_.size()) resize(std::bit_ceil(count * 2));
}

void TextIndex::resize(size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.place == kEmpty) continue;
    size_t at = slot.hash & (slots - 1);
    while (slots_[at].place != kEmpty) at = (at + 1) & (slots - 1);
    slots_[at] = slot;
  }
}

TextIndex::Added TextIndex::add(const std::vector<std::string>& texts, uint32_t place) {
  reserve(count_ + 1);
  const std::string& text = texts[place];
  const uint32_t hash = hash_of(text);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (size_t probes = 0; slots_[at].place != kEmpty; at = (at + 1) & mask) {
    if (slots_[at].hash == hash && texts[slots_[at].place] == text) return Added::kKnown;
    if (++probes > kProbesMax) return Added::kCollides;
  }
  slots_[at] = {hash, place};
  ++count_;
  return Added::kNew;
}

std::optional<uint32_t> TextIndex::find(const std::vector<std::string>& texts, std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  const uint32_t hash = hash_of(text);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].place != kEmpty; at = (at + 1) & mask) {
    if (slots_[at].hash == hash && texts[slots_[at].place] == text) return slots_[at].place;
  }
  return std::nullopt;
}

}  // namespace cresset::engine
