#include "net/response_parser.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace cresset::net {
namespace {

constexpr size_t kFieldsMax = 256;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_control(char c) {
  return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f;
}

// Whether a comma-separated list has this item.
bool has_item(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (equals_ignoring_case(trim(list.substr(0, comma)), item)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

tl::unexpected<Error> corrupt(std::string_view what) {
  return fail(Code::kCorrupt, "not an HTTP answer: " + std::string(what));
}

}  // namespace

void ResponseParser::begin(bool is_head_request) {
  state_ = State::kHead;
  is_head_request_ = is_head_request;
  head_.clear();
  headers_.clear();
  status_ = 0;
  has_begun_ = keeps_alive_ = is_until_close_ = false;
  body_left_ = 0;
  chunks_.reset();
}

Result<ResponseParser::Piece> ResponseParser::take(std::string_view bytes) {
  if (bytes.empty() || state_ == State::kDone) return Piece{};
  has_begun_ = true;
  if (state_ == State::kHead) return take_head(bytes);
  if (chunks_) return take_chunks(bytes);
  if (is_until_close_) return Piece{bytes.size(), bytes};
  const auto length = static_cast<size_t>(std::min<uint64_t>(body_left_, bytes.size()));
  body_left_ -= length;
  if (body_left_ == 0) state_ = State::kDone;
  return Piece{length, bytes.substr(0, length)};
}

Result<ResponseParser::Piece> ResponseParser::take_chunks(std::string_view bytes) {
  piece_.clear();
  const size_t used = chunks_->feed(bytes, piece_);
  if (chunks_->state() == ChunkDecoder::State::kDone) {
    state_ = State::kDone;
  } else if (chunks_->state() != ChunkDecoder::State::kMore) {
    return corrupt("its chunked body is malformed");
  }
  return Piece{used, piece_};
}

Result<ResponseParser::Piece> ResponseParser::take_head(std::string_view bytes) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  // A head that comes whole, as nearly every one does, is read where it lies.
  const size_t kept = head_.size();
  if (kept > 0) head_ += bytes;
  const std::string_view text = kept > 0 ? std::string_view(head_) : bytes;
  const size_t end = text.find(kEnd, kept > kEnd.size() ? kept - kEnd.size() : 0);
  if (std::min(end, text.size()) > head_bytes_max_)
    return fail(Code::kLimit, "the provider's header is too long");
  if (end == std::string_view::npos) {
    if (kept == 0) head_ = bytes;
    return Piece{bytes.size(), {}};
  }
  const size_t used = end + kEnd.size() - kept;
  CRESSET_TRY_STATUS(read_head(text.substr(0, end + 2)));
  head_.clear();
  if (status_ < 200) {  // a word in between (100, 103): the answer is still to come
    headers_.clear();
    return Piece{used, {}};
  }
  CRESSET_TRY_STATUS(settle_framing());
  return Piece{used, {}};
}

// `head` is lines, each with its CR LF.
Status ResponseParser::read_head(std::string_view head) {
  headers_.clear();
  const size_t first = head.find("\r\n");
  const std::string_view line = head.substr(0, first);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool is_status_line = line.size() >= 12 && line.starts_with("HTTP/1.") && is_digit(line[7]) &&
                              line[8] == ' ' && std::all_of(line.begin() + 9, line.begin() + 12, is_digit) &&
                              (line.size() == 12 || line[12] == ' ');
  if (!is_status_line) return corrupt("it does not begin with HTTP/1.1 and a status");
  status_ = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (status_ < 100 || status_ == 101) return corrupt("a status that was not asked for");
  keeps_alive_ = line[7] != '0';
  head.remove_prefix(first + 2);
  while (!head.empty()) {
    const size_t end = head.find("\r\n");
    CRESSET_TRY_STATUS(read_field(head.substr(0, end)));
    head.remove_prefix(end + 2);
  }
  return {};
}

Status ResponseParser::read_field(std::string_view line) {
  const size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  const bool is_name = colon != std::string_view::npos && !name.empty() &&
                       std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!is_name || std::any_of(line.begin(), line.end(), is_control)) return corrupt("a malformed field");
  if (headers_.size() >= kFieldsMax) return fail(Code::kLimit, "the provider's header has too many fields");
  headers_.emplace_back(name, trim(line.substr(colon + 1)));
  return {};
}

// Where the body ends (RFC 9112, 6.3). An answer that says it in two ways is not believed.
Status ResponseParser::settle_framing() {
  std::string_view length, coding;
  for (const auto& [name, value] : headers_) {
    if (equals_ignoring_case(name, "content-length")) {
      if (!length.empty() && length != value) return corrupt("two lengths");
      length = value;
      if (length.empty()) return corrupt("a length that is no number");
    } else if (equals_ignoring_case(name, "transfer-encoding")) {
      if (!coding.empty() || !equals_ignoring_case(value, "chunked")) return corrupt("an unknown coding");
      coding = value;
    } else if (equals_ignoring_case(name, "connection") && has_item(value, "close")) {
      keeps_alive_ = false;
    }
  }
  state_ = State::kBody;
  if (!length.empty()) {
    const auto read = std::from_chars(length.data(), length.data() + length.size(), body_left_);
    if (read.ec != std::errc() || read.ptr != length.data() + length.size())
      return corrupt("a length that is no number");
  }
  if (!length.empty() && !coding.empty()) return corrupt("both a length and a coding");
  if (is_head_request_ || status_ == 204 || status_ == 304) {
    state_ = State::kDone;
  } else if (!coding.empty()) {
    chunks_.emplace(std::numeric_limits<size_t>::max());
  } else if (length.empty()) {
    is_until_close_ = true;
    keeps_alive_ = false;
  } else if (body_left_ == 0) {
    state_ = State::kDone;
  }
  return {};
}

bool ResponseParser::end() {
  if (state_ == State::kBody && is_until_close_) state_ = State::kDone;
  return state_ == State::kDone;
}

}  // namespace cresset::net
