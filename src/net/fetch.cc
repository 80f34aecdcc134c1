#include "net/fetch.h"

#include <curl/curl.h>

#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "net/http.h"

namespace cresset::net {
namespace {

constexpr size_t kHeaderBytesMax = 256u << 10;  // of all header blocks of one answer
constexpr int kPollMs = 200;                    // how long a cancel can go unnoticed

using Easy = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using Multi = std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)>;
using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;
using List = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

std::optional<uint64_t> to_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

struct ContentRange {
  std::optional<uint64_t> first, last, total;  // "bytes 5-9/10"; "*" is absent
};

std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (text.size() < 6 || !equals_ignoring_case(text.substr(0, 6), "bytes ")) return std::nullopt;
  text.remove_prefix(6);
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  ContentRange range;
  const std::string_view total = text.substr(slash + 1);
  if (total != "*" && !(range.total = to_number(total))) return std::nullopt;
  const std::string_view span = text.substr(0, slash);
  if (span == "*") return range;
  const size_t dash = span.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  range.first = to_number(span.substr(0, dash));
  range.last = to_number(span.substr(dash + 1));
  if (!range.first || !range.last || *range.last < *range.first) return std::nullopt;
  return range;
}

// For error lines: the query of a redirect's URL is often a signature that opens the file.
std::string without_query(const std::string& url) {
  return url.substr(0, url.find('?'));
}

struct Place {
  std::string scheme, host;
  bool is_loopback = false;
};

std::string part(CURLU* url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, 0) != CURLUE_OK) return {};
  std::string out = text;
  curl_free(text);
  return out;
}

Result<Place> read_url(const std::string& text) {
  const Url url(curl_url(), curl_url_cleanup);
  if (url == nullptr ||
      curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
    return fail(Code::kInvalid, "not a URL", without_query(text));
  }
  Place place{.scheme = part(url.get(), CURLUPART_SCHEME), .host = part(url.get(), CURLUPART_HOST)};
  if (!part(url.get(), CURLUPART_USER).empty() || !part(url.get(), CURLUPART_PASSWORD).empty()) {
    return fail(Code::kRefused,
                "the URL holds credentials, and none are ever sent: remove the part before '@'",
                place.scheme + "://…@" + place.host);
  }
  if (place.scheme != "https" && place.scheme != "http" && place.scheme != "file") {
    return fail(Code::kInvalid, "the scheme is not https, http or file", without_query(text));
  }
  // Four whole numbers: "127.0.0.1.example.com" is a name, and names are not loopback.
  const bool is_127 =
      place.host.starts_with("127.") && place.host.find_first_not_of("0123456789.") == std::string::npos;
  place.is_loopback = is_127 || place.host == "localhost" || place.host == "[::1]";
  return place;
}

// May this be fetched, asked for by the owner (`from` null) or by a redirect?
Status check_place(const Place& place, const Place* from, bool allow_plain, const std::string& url) {
  if (from != nullptr && place.scheme == "file")
    return fail(Code::kRefused, "the server redirects to a file", without_query(url));
  if (from != nullptr && from->scheme == "https" && place.scheme == "http") {
    return fail(Code::kRefused, "the server redirects from https to http", without_query(url));
  }
  if (place.scheme == "http" && !place.is_loopback && !allow_plain) {
    return fail(Code::kRefused, "plain http lets anyone on the way change the file: use https",
                without_query(url));
  }
  return {};
}

// One hop: a request and its answer.
class Transfer {
 public:
  Transfer(const FetchOptions& options, const std::function<Status(const FetchResult&)>& on_start,
           const std::function<Status(std::string_view)>& on_bytes, const std::function<bool()>& is_cancelled)
      : options_(options), on_start_(on_start), on_bytes_(on_bytes), is_cancelled_(is_cancelled) {}

  // The URL to go to next, or empty when the body is in.
  Result<std::string> run(const std::string& url, const Place& place);
  const FetchResult& result() const { return result_; }

 private:
  void set_up(CURL* easy, const std::string& url, const Place& place);
  Result<CURLcode> perform(CURL* easy);
  Status start();
  Status check_partial();
  Status on_header_line(std::string_view line);
  Status take(std::string_view bytes);
  Status finish(CURLcode code);
  Status status_error() const;
  bool is_redirect() const { return status_ >= 301 && status_ <= 308 && status_ != 304 && !url_is_file_; }
  bool has_nothing_more() const { return status_ == 416 && may_resume(); }
  // A weak ETag may not be used with If-Range (RFC 9110, 13.1.5), so such a file begins again.
  bool may_resume() const { return options_.from > 0 && !options_.if_range.starts_with("W/"); }

  // curl calls these; an error stays in failure_ and stops the transfer.
  static size_t header_thunk(char* data, size_t size, size_t count, void* self);
  static size_t body_thunk(char* data, size_t size, size_t count, void* self);

  const FetchOptions& options_;
  const std::function<Status(const FetchResult&)>& on_start_;
  const std::function<Status(std::string_view)>& on_bytes_;
  const std::function<bool()>& is_cancelled_;

  CURL* easy_ = nullptr;
  std::string url_;
  bool url_is_file_ = false;
  int status_ = 0;
  Headers headers_;
  size_t header_bytes_ = 0;
  bool has_started_ = false;
  uint64_t received_ = 0;
  std::optional<uint64_t> expected_;  // bytes of this body, as stated
  Status failure_;
  FetchResult result_;
  char reason_[CURL_ERROR_SIZE] = {};
};

size_t Transfer::header_thunk(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  transfer->failure_ = transfer->on_header_line({data, size * count});
  return transfer->failure_ ? size * count : 0;
}

size_t Transfer::body_thunk(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  transfer->failure_ = transfer->take({data, size * count});
  return transfer->failure_ ? size * count : 0;
}

void Transfer::set_up(CURL* easy, const std::string& url, const Place& place) {
  const auto set = [easy](CURLoption option, auto value) {
    CHECK(curl_easy_setopt(easy, option, value) == CURLE_OK);
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, place.scheme.c_str());
  set(CURLOPT_FOLLOWLOCATION, 0L);  // each hop is checked here
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, "cresset/" CRESSET_VERSION);
  set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_time_max_s));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_time_max_s));
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(reason_));
  set(CURLOPT_HEADERFUNCTION, &Transfer::header_thunk);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &Transfer::body_thunk);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
  if (place.is_loopback) set(CURLOPT_PROXY, "");  // this machine is not asked through another
  // RANGE and not RESUME_FROM: curl would end with an error when a server sends the whole file instead.
  if (may_resume()) set(CURLOPT_RANGE, (std::to_string(options_.from) + "-").c_str());
}

Result<CURLcode> Transfer::perform(CURL* easy) {
  const Multi multi(curl_multi_init(), curl_multi_cleanup);
  CHECK(multi != nullptr && curl_multi_add_handle(multi.get(), easy) == CURLM_OK);
  CURLcode code = CURLE_OK;
  bool is_cancelled = false;
  for (int running = 1; running > 0;) {
    if (is_cancelled_ && is_cancelled_()) {
      is_cancelled = true;
      break;
    }
    if (curl_multi_perform(multi.get(), &running) != CURLM_OK) code = CURLE_FAILED_INIT;
    if (running > 0 && curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr) != CURLM_OK) break;
  }
  int left = 0;
  if (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) code = message->data.result;
  curl_multi_remove_handle(multi.get(), easy);
  if (is_cancelled) return fail(Code::kCancelled, "cancelled", url_);
  return code;
}

Result<std::string> Transfer::run(const std::string& url, const Place& place) {
  const Easy easy(curl_easy_init(), curl_easy_cleanup);
  if (easy == nullptr) return fail(Code::kInternal, "libcurl does not start", url);
  easy_ = easy.get();
  url_ = without_query(url);
  url_is_file_ = place.scheme == "file";
  set_up(easy.get(), url, place);
  List headers(curl_slist_append(nullptr, "Accept-Encoding: identity"), curl_slist_free_all);
  if (may_resume() && !options_.if_range.empty()) {
    curl_slist_append(headers.get(), ("If-Range: " + options_.if_range).c_str());
  }
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  CRESSET_TRY(code, perform(easy.get()));
  if (!failure_) return tl::unexpected(failure_.error());
  if (is_redirect()) {
    char* next = nullptr;
    curl_easy_getinfo(easy.get(), CURLINFO_REDIRECT_URL, &next);
    if (next == nullptr) return fail(Code::kCorrupt, "the server redirects without saying where", url_);
    return std::string(next);
  }
  CRESSET_TRY_STATUS(finish(code));
  return std::string();
}

Status Transfer::on_header_line(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kHeaderBytesMax) return fail(Code::kLimit, "the server's header is too long", url_);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // a new block: after a 100, or after a proxy's answer
    headers_.clear();
    const size_t space = line.find(' ');
    status_ = 0;
    if (space != std::string_view::npos)
      status_ = static_cast<int>(to_number(line.substr(space + 1, 3)).value_or(0));
    return {};
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return {};
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  headers_.emplace_back(line.substr(0, colon), value);
  return {};
}

// The headers are in: what are these bytes?
Status Transfer::start() {
  if (has_started_) return {};
  has_started_ = true;
  curl_off_t length = -1;
  curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  if (length >= 0) expected_ = static_cast<uint64_t>(length);
  result_.etag = find_header(headers_, "ETag");
  if (url_is_file_) {
    result_.resumed = may_resume();
    result_.status = result_.resumed ? 206 : 200;
  } else {
    if (status_ != 200 && status_ != 206) return status_error();
    const std::string_view coding = find_header(headers_, "Content-Encoding");
    if (!coding.empty() && !equals_ignoring_case(coding, "identity")) {
      return fail(Code::kCorrupt, "the server encodes the file, which was not asked for", url_);
    }
    result_.status = status_;
    if (status_ == 206) CRESSET_TRY_STATUS(check_partial());
  }
  if (expected_ && result_.total_bytes == 0) {
    result_.total_bytes = *expected_ + (result_.resumed ? options_.from : 0);
  }
  if (options_.bytes_max > 0 && result_.total_bytes > options_.bytes_max) {
    return fail(Code::kLimit,
                "the file has " + std::to_string(result_.total_bytes) + " bytes, more than the " +
                    std::to_string(options_.bytes_max) + " allowed",
                url_);
  }
  return on_start_ ? on_start_(result_) : Status{};
}

Status Transfer::check_partial() {
  const auto range = parse_content_range(find_header(headers_, "Content-Range"));
  if (!may_resume())
    return fail(Code::kCorrupt, "the server sends a part of the file, the whole was asked for", url_);
  if (!range || range->first != options_.from) {
    return fail(Code::kCorrupt, "the server sends another part of the file than the one asked for", url_);
  }
  if (!options_.if_range.empty() && !result_.etag.empty() && result_.etag != options_.if_range) {
    return fail(Code::kCorrupt, "the file has changed on the server: begin again", url_);
  }
  const uint64_t length = *range->last - *range->first + 1;
  if ((expected_ && *expected_ != length) || (range->total && *range->last + 1 != *range->total)) {
    return fail(Code::kCorrupt, "the server contradicts itself about the length of the file", url_);
  }
  expected_ = length;
  result_.total_bytes = range->total.value_or(0);
  result_.resumed = true;
  return {};
}

Status Transfer::take(std::string_view bytes) {
  if (is_redirect() || has_nothing_more()) return {};  // with a page that is nothing to us
  CRESSET_TRY_STATUS(start());
  received_ += bytes.size();
  const uint64_t so_far = received_ + (result_.resumed ? options_.from : 0);
  if (options_.bytes_max > 0 && so_far > options_.bytes_max) {
    return fail(Code::kLimit,
                "the file is larger than the " + std::to_string(options_.bytes_max) + " bytes allowed", url_);
  }
  return on_bytes_(bytes);
}

Status Transfer::status_error() const {
  const std::string what = "the server answers with status " + std::to_string(status_);
  switch (status_) {
    case 404:
    case 410:
      return fail(Code::kNotFound, what + " (no such file)", url_);
    case 401:
    case 403:
      return fail(Code::kRefused, what + " (not allowed without credentials)", url_);
    case 429:
      return fail(Code::kUnavailable, what + " (too many requests): try later", url_);
    default:
      return fail(status_ >= 500 ? Code::kUnavailable : Code::kInvalid, what, url_);
  }
}

Status Transfer::finish(CURLcode code) {
  const std::string reason = reason_[0] != '\0' ? reason_ : curl_easy_strerror(code);
  // A file:// that ends at `from` is read without an error and without a byte.
  const bool is_read_whole = url_is_file_ && may_resume() && received_ == 0;
  if (code == CURLE_OK && (has_nothing_more() || is_read_whole)) {
    const auto range = parse_content_range(find_header(headers_, "Content-Range"));
    if (!is_read_whole && (!range || range->total != options_.from)) {
      return fail(Code::kCorrupt, "the server's file is shorter than what is here already: begin again",
                  url_);
    }
    has_started_ = true;  // nothing is missing
    result_ = {.status = 206,
               .total_bytes = options_.from,
               .etag = std::string(find_header(headers_, "ETag")),
               .resumed = true};
    return on_start_ ? on_start_(result_) : Status{};
  }
  if (code == CURLE_OK) {
    CRESSET_TRY_STATUS(start());  // an empty file
    if (!expected_ || received_ == *expected_) return {};
  }
  if (code == CURLE_OPERATION_TIMEDOUT) return fail(Code::kTimeout, "the server is silent: " + reason, url_);
  if (has_started_ && expected_) {
    const uint64_t from = result_.resumed ? options_.from : 0;
    return fail(Code::kCorrupt,
                "got " + std::to_string(from + received_) + " of " + std::to_string(from + *expected_) +
                    " bytes (" + reason + ")",
                url_);
  }
  switch (code) {
    case CURLE_FILE_COULDNT_READ_FILE:
      return fail(Code::kNotFound, "cannot read the file", url_);
    case CURLE_BAD_DOWNLOAD_RESUME:
      return fail(Code::kCorrupt, "the file is shorter than what is here already: begin again", url_);
    case CURLE_PARTIAL_FILE:
      return fail(Code::kCorrupt, "the file was cut short: " + reason, url_);
    case CURLE_PEER_FAILED_VERIFICATION:
      return fail(Code::kRefused, "the server's certificate: " + reason, url_);
    default:
      return fail(Code::kUnavailable, reason, url_);
  }
}

}  // namespace

Result<FetchResult> fetch(const FetchOptions& options,
                          const std::function<Status(const FetchResult&)>& on_start,
                          const std::function<Status(std::string_view)>& on_bytes,
                          const std::function<bool()>& is_cancelled) {
  std::string url = options.url;
  std::optional<Place> from;
  for (int hop = 0; hop <= options.redirects_max; ++hop) {
    CRESSET_TRY(place, read_url(url));
    CRESSET_TRY_STATUS(check_place(place, from ? &*from : nullptr, options.allow_plain, url));
    Transfer transfer(options, on_start, on_bytes, is_cancelled);
    CRESSET_TRY(next, transfer.run(url, place));
    if (next.empty()) return transfer.result();
    url = std::move(next);
    from = std::move(place);
  }
  return fail(Code::kLimit, "more than " + std::to_string(options.redirects_max) + " redirects",
              without_query(options.url));
}

}  // namespace cresset::net
