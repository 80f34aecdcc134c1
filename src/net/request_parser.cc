#include "net/request_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <limits>
#include <optional>

#include "base/check.h"
#include "net/chunk_decoder.h"
#include "net/request_target.h"

namespace cresset::net {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using BeastView = beast::string_view;

constexpr size_t kFieldsMax = 256;  // fields of one request: 431
constexpr size_t kMethodBytesMax = 32;
constexpr size_t kBodyReserveBytes = 64u << 10;  // what a stated length may reserve before bytes arrive

std::string_view view(BeastView s) {
  return {s.data(), s.size()};
}

// Beast's parser with our ears: reads a head straight into an HttpRequest. It never sees a body.
class HeadReader final : public http::basic_parser<true> {
 public:
  HeadReader() {
    header_limit(std::numeric_limits<uint32_t>::max());  // the caller has bounded the head already
    body_limit(boost::none);
  }

  HttpRequest request;
  std::string refusal;  // why one of the callbacks below refused
  int refusal_status = 400;
  bool is_http10 = false;
  bool closes = false;
  bool expects_continue = false;

 private:
  void refuse(beast::error_code& ec, int status, std::string why) {
    refusal = std::move(why);
    refusal_status = status;
    ec = http::make_error_code(http::error::bad_value);
  }
  void on_request_impl(http::verb, BeastView method, BeastView target, int version,
                       beast::error_code& ec) override {
    request.method = view(method);
    request.target = view(target);
    is_http10 = version == 10;
    if (method.size() > kMethodBytesMax ||
        std::any_of(method.begin(), method.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
      refuse(ec, 400, "the method is not an upper-case HTTP method");
    }
  }
  void on_field_impl(http::field field, BeastView name, BeastView value, beast::error_code& ec) override;
  void on_header_impl(beast::error_code& ec) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>&, beast::error_code&) override {}
  size_t on_body_impl(BeastView, beast::error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, BeastView, beast::error_code&) override {}
  size_t on_chunk_body_impl(std::uint64_t, BeastView, beast::error_code&) override { return 0; }
  void on_finish_impl(beast::error_code&) override {}
  void on_response_impl(int, BeastView, int, beast::error_code&) override {}

  size_t hosts_ = 0;
  size_t lengths_ = 0;
  size_t codings_ = 0;
};

void HeadReader::on_field_impl(http::field field, BeastView name, BeastView value, beast::error_code& ec) {
  if (request.headers.size() >= kFieldsMax) {
    return refuse(ec, 431, "more than " + std::to_string(kFieldsMax) + " header fields");
  }
  const std::string_view text = view(value);
  switch (field) {
    case http::field::host:
      if (++hosts_ > 1) return refuse(ec, 400, "more than one Host header");
      if (!is_authority(text)) return refuse(ec, 400, "the Host header is not a host and port");
      break;
    case http::field::content_length:
      if (++lengths_ > 1) return refuse(ec, 400, "more than one Content-Length header");
      if (text.empty() ||
          !std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        return refuse(ec, 400, "the Content-Length header is not a number");
      }
      break;
    case http::field::transfer_encoding:
      if (++codings_ > 1) return refuse(ec, 400, "more than one Transfer-Encoding header");
      if (is_http10) return refuse(ec, 400, "Transfer-Encoding in an HTTP/1.0 request");
      if (!equals_ignoring_case(text, "chunked"))
        return refuse(ec, 400, "the only Transfer-Encoding taken is 'chunked'");
      break;
    case http::field::expect:
      if (is_http10) break;
      if (!equals_ignoring_case(text, "100-continue"))
        return refuse(ec, 417, "the only Expect header met is '100-continue'");
      expects_continue = true;
      break;
    default:
      break;
  }
  request.headers.emplace_back(view(name), text);
}

void HeadReader::on_header_impl(beast::error_code& ec) {
  if (lengths_ > 0 && codings_ > 0) return refuse(ec, 400, "both Content-Length and Transfer-Encoding");
  if (hosts_ == 0 && !is_http10) return refuse(ec, 400, "the Host header is missing");
  closes = is_http10 || !keep_alive();
  const Status split = split_target(request);
  if (!split) refuse(ec, 400, split.error().what);
}

std::string describe(const beast::error_code& ec) {
  using E = http::error;
  if (ec == E::bad_method) return "the method is not a token";
  if (ec == E::bad_target) return "the request target holds forbidden characters";
  if (ec == E::bad_field) return "a header name is not a token";
  if (ec == E::bad_value) return "a header value holds forbidden characters";
  if (ec == E::bad_content_length || ec == E::multiple_content_length)
    return "the Content-Length header is wrong";
  if (ec == E::bad_transfer_encoding) return "the Transfer-Encoding header is wrong";
  if (ec == E::bad_line_ending) return "a line does not end in CR LF";
  return "the request is not HTTP/1.1";
}

// "METHOD target HTTP/2.0": well-formed, and not ours.
bool states_a_version(std::string_view head) {
  const std::string_view line = head.substr(0, head.find('\r'));
  if (std::count(line.begin(), line.end(), ' ') != 2) return false;
  const std::string_view version = line.substr(line.rfind(' ') + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) && version[6] == '.' &&
         is_digit(version[7]);
}

}  // namespace

struct RequestParser::Native {
  explicit Native(const ParseLimits& the_limits) : limits(the_limits) { reader.emplace(); }

  const ParseLimits limits;
  std::optional<HeadReader> reader;
  std::optional<ChunkDecoder> chunks;  // when the body is chunked
  uint64_t body_left = 0;              // when its length is stated
  State state = State::kHead;
  Fault fault;
  size_t scanned = 0;  // bytes of the head that are known to be clean
  bool blank_seen = false;

  void fail(int status, std::string message) {
    state = State::kFailed;
    fault = {status, std::move(message)};
  }
  void fail_head(const beast::error_code& ec, std::string_view head) {
    if (!reader->refusal.empty()) return fail(reader->refusal_status, reader->refusal);
    if (ec == http::error::bad_version && states_a_version(head))
      return fail(505, "only HTTP/1.1 and 1.0 are spoken");
    fail(400, describe(ec));
  }

  void fail_too_large() {
    fail(413, "the body is larger than the limit of " + std::to_string(limits.body_bytes_max) + " bytes");
  }

  size_t scan_head(std::string_view bytes);
  size_t feed_head(std::string_view bytes);
  void begin_body();
  size_t feed_body(std::string_view bytes);
};

// Returns the length of the head once it is whole, else 0. Looks at each byte once. Lines end in CR LF, none
// begins with a blank (a folded line: readers disagree about what it continues), none holds a control byte
// but TAB.
size_t RequestParser::Native::scan_head(std::string_view bytes) {
  while (scanned < bytes.size()) {
    const char c = bytes[scanned];
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      if (c == ' ' && scanned >= 2 && bytes[scanned - 1] == '\n') {
        fail(400, "a header line begins with a blank (folded lines are not taken)");
        return 0;
      }
      ++scanned;
      continue;
    }
    if (c == '\t') {
      if (scanned == 0 || bytes[scanned - 1] == '\n') {
        fail(400, "a header line begins with a blank (folded lines are not taken)");
        return 0;
      }
      ++scanned;
      continue;
    }
    if (c != '\r') {
      fail(400, c == '\n' ? "a line ends in LF without CR" : "a control byte in the header");
      return 0;
    }
    if (scanned + 1 == bytes.size()) return 0;  // the LF is still on its way
    if (bytes[scanned + 1] != '\n') {
      fail(400, "a CR without LF in the header");
      return 0;
    }
    scanned += 2;
    if (scanned >= 4 && bytes[scanned - 3] == '\n') return scanned;
  }
  return 0;
}

size_t RequestParser::Native::feed_head(std::string_view bytes) {
  // One empty line before a request is forgiven (RFC 9112, 2.2): old clients send it after a body.
  if (scanned == 0 && !blank_seen && bytes.size() >= 2 && bytes[0] == '\r' && bytes[1] == '\n') {
    blank_seen = true;
    return 2;
  }
  if (scanned == 0 && bytes == "\r") return 0;
  const size_t length = scan_head(bytes);
  if (state == State::kFailed) return 0;
  if (length > limits.head_bytes_max || (length == 0 && bytes.size() > limits.head_bytes_max)) {
    fail(431, "the header is larger than the limit of " + std::to_string(limits.head_bytes_max) + " bytes");
    return 0;
  }
  if (length == 0) return 0;
  beast::error_code ec;
  const size_t taken = reader->put(boost::asio::const_buffer(bytes.data(), length), ec);
  if (ec == http::error::need_more) ec = {};  // the body
  if (!ec && !reader->is_header_done()) ec = http::make_error_code(http::error::bad_value);
  if (ec) {
    fail_head(ec, bytes.substr(0, length));
    return 0;
  }
  CHECK(taken == length);
  begin_body();
  return length;
}

void RequestParser::Native::begin_body() {
  state = State::kBody;
  if (reader->chunked()) {
    chunks.emplace(limits.body_bytes_max);
    return;
  }
  body_left = reader->content_length().value_or(0);
  if (body_left > limits.body_bytes_max) return fail_too_large();
  reader->request.body.reserve(static_cast<size_t>(std::min<uint64_t>(body_left, kBodyReserveBytes)));
  if (body_left == 0) state = State::kDone;
}

size_t RequestParser::Native::feed_body(std::string_view bytes) {
  std::string& body = reader->request.body;
  if (!chunks) {
    const auto taken = static_cast<size_t>(std::min<uint64_t>(body_left, bytes.size()));
    body.append(bytes.substr(0, taken));
    body_left -= taken;
    if (body_left == 0) state = State::kDone;
    return taken;
  }
  const size_t taken = chunks->feed(bytes, body);
  if (chunks->state() == ChunkDecoder::State::kDone) state = State::kDone;
  if (chunks->state() == ChunkDecoder::State::kTooLarge) fail_too_large();
  if (chunks->state() == ChunkDecoder::State::kBroken) fail(400, "the chunked body is malformed");
  return taken;
}

RequestParser::RequestParser(const ParseLimits& limits) : native_(std::make_unique<Native>(limits)) {}
RequestParser::~RequestParser() = default;

size_t RequestParser::feed(std::string_view bytes) {
  size_t taken = 0;
  for (;;) {
    const State before = native_->state;
    const std::string_view rest = bytes.substr(taken);
    size_t step = 0;
    if (before == State::kHead) step = native_->feed_head(rest);
    if (before == State::kBody) step = native_->feed_body(rest);
    taken += step;
    if (step == 0 || native_->state == State::kDone || native_->state == State::kFailed) return taken;
  }
}

RequestParser::State RequestParser::state() const {
  return native_->state;
}
const RequestParser::Fault& RequestParser::fault() const {
  return native_->fault;
}
bool RequestParser::is_http10() const {
  return native_->reader->is_http10;
}
bool RequestParser::keeps_alive() const {
  return !native_->reader->closes;
}
bool RequestParser::expects_continue() const {
  return native_->reader->expects_continue;
}
const HttpRequest& RequestParser::request() const {
  return native_->reader->request;
}

HttpRequest RequestParser::take() {
  CHECK(native_->state == State::kDone);
  HttpRequest request = std::move(native_->reader->request);
  native_->reader.emplace();
  native_->chunks.reset();
  native_->state = State::kHead;
  native_->scanned = 0;
  native_->blank_seen = false;
  return request;
}

}  // namespace cresset::net
