#include "net/chunk_decoder.h"

#include <algorithm>

namespace cresset::net {
namespace {

constexpr int kDigitsMax = 15;                   // of a chunk's size: 60 bits, so nothing overflows
constexpr size_t kOverheadBytesMax = 16u << 10;  // extensions and trailer of one body together

bool is_control(char c) {
  return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

size_t ChunkDecoder::feed(std::string_view bytes, std::string& body) {
  size_t taken = 0;
  while (taken < bytes.size() && state_ == State::kMore) {
    if (at_ != At::kData) {
      state_ = step(bytes[taken++]);
      continue;
    }
    const auto length = static_cast<size_t>(std::min<uint64_t>(size_, bytes.size() - taken));
    body.append(bytes.substr(taken, length));
    taken += length;
    size_ -= length;
    if (size_ == 0) at_ = At::kDataCr;
  }
  return taken;
}

ChunkDecoder::State ChunkDecoder::step(char c) {
  const auto expect = [this, c](char wanted, At next) {
    at_ = next;
    return c == wanted ? State::kMore : State::kBroken;
  };
  switch (at_) {
    case At::kSize:
      return read_size(c);
    case At::kExtension:
      if (c == '\r') return at_ = At::kSizeEnd, State::kMore;
      return is_control(c) || ++overhead_ > kOverheadBytesMax ? State::kBroken : State::kMore;
    case At::kSizeEnd:
      digits_ = 0;
      if (size_ > bytes_left_) return c == '\n' ? State::kTooLarge : State::kBroken;
      bytes_left_ -= static_cast<size_t>(size_);
      return expect('\n', size_ == 0 ? At::kTrailerBegin : At::kData);
    case At::kData:
      return State::kBroken;  // feed() takes these itself
    case At::kDataCr:
      return expect('\r', At::kDataLf);
    case At::kDataLf:
      return expect('\n', At::kSize);
    case At::kTrailerBegin:
      if (c == '\r') return at_ = At::kLastLf, State::kMore;
      at_ = At::kTrailer;
      [[fallthrough]];
    case At::kTrailer:
      if (c == '\r') return at_ = At::kTrailerLf, State::kMore;
      return is_control(c) || ++overhead_ > kOverheadBytesMax ? State::kBroken : State::kMore;
    case At::kTrailerLf:
      return expect('\n', At::kTrailerBegin);
    case At::kLastLf:
      return c == '\n' ? State::kDone : State::kBroken;
  }
  return State::kBroken;
}

ChunkDecoder::State ChunkDecoder::read_size(char c) {
  const int value = hex_value(c);
  if (value >= 0) {
    size_ = size_ * 16 + static_cast<uint64_t>(value);
    return ++digits_ > kDigitsMax ? State::kBroken : State::kMore;
  }
  if (digits_ == 0 || (c != ';' && c != '\r')) return State::kBroken;
  at_ = c == ';' ? At::kExtension : At::kSizeEnd;
  return State::kMore;
}

}  // namespace cresset::net
