#include "net/place.h"

#include <curl/curl.h>

#include <memory>

#include "net/client.h"

namespace cresset::net {

Result<Place> read_place(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> handle(curl_url(), curl_url_cleanup);
  const auto part = [&handle](CURLUPart what) {
    char* text = nullptr;
    if (curl_url_get(handle.get(), what, &text, 0) != CURLUE_OK) return std::string();
    std::string out(text);
    curl_free(text);
    return out;
  };
  if (handle == nullptr || curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    return fail(Code::kInvalid, "not a URL that begins with https:// or http://");
  if (!part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty())
    return fail(Code::kRefused, "the URL holds credentials: give a key with key_env or key_file");
  Place place;
  place.scheme = part(CURLUPART_SCHEME);
  place.host = part(CURLUPART_HOST);
  place.port = part(CURLUPART_PORT);
  if (place.scheme != "https" && place.scheme != "http")
    return fail(Code::kInvalid, "not a URL that begins with https:// or http://");
  const bool is_127 =
      place.host.starts_with("127.") && place.host.find_first_not_of("0123456789.") == std::string::npos;
  place.authority = place.port.empty() ? place.host : place.host + ":" + place.port;
  place.target = part(CURLUPART_PATH);
  if (const std::string query = part(CURLUPART_QUERY); !query.empty()) place.target += "?" + query;
  place.is_loopback = is_127 || place.host == "localhost" || place.host == "[::1]";
  return place;
}

Status check_place(const Place& place, bool allow_plain) {
  if (place.scheme == "http" && !place.is_loopback && !allow_plain) {
    return fail(
        Code::kRefused,
        "plain http lets anyone on the way read prompts and keys: use https, or state allow_plain = true");
  }
  return {};
}

Status check_client_url(const std::string& url, bool allow_plain) {
  CRESSET_TRY(place, read_place(url));
  return check_place(place, allow_plain);
}

}  // namespace cresset::net
