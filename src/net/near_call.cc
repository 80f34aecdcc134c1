#include "net/near_call.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace cresset::net {
namespace {

bool is_clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f; });
}

}  // namespace

Status NearCall::check() const {
  bool clean = is_clean(request.method) && is_clean(place->target) && is_clean(request.secret_prefix) &&
               (!request.secret || is_clean(request.secret->expose()));
  for (const auto& [name, value] : request.headers) clean = clean && is_clean(name) && is_clean(value);
  if (clean) return {};
  return fail(Code::kInvalid, "a control character in a header of the request");
}

void NearCall::cancel() {
  receiver = nullptr;
  if (owner_ != nullptr) owner_->drop(*this);
}

void NearCall::resume() {
  if (!std::exchange(is_paused, false) || !is_live()) return;
  heard_ = Clock::now();
  if (link && is_connected) owner_->read(link);
}

void NearCall::write_head(std::string& out) const {
  const auto field = [&out](std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
  };
  out.reserve(512);
  out.append(request.method).append(" ").append(place->target).append(" HTTP/1.1\r\n");
  field("Host", place->authority);
  field("User-Agent", "cresset/" CRESSET_VERSION);
  for (const auto& [name, value] : request.headers) field(name, value);
  if (request.secret) {
    // Growing later would leave a copy behind.
    const std::string_view secret = request.secret->expose();
    out.reserve(out.size() + request.secret_header.size() + request.secret_prefix.size() + secret.size() +
                64);
    out.append(request.secret_header).append(": ").append(request.secret_prefix);
    out.append(secret).append("\r\n");
  }
  if (request.method == "POST" || !request.body.empty()) {
    char digits[24];
    const char* end = std::to_chars(digits, digits + sizeof digits, request.body.size()).ptr;
    field("Content-Length", {digits, static_cast<size_t>(end - digits)});
  }
  out += "\r\n";
}

bool NearCall::is_over(Clock::time_point now, Status& why) {
  if (std::exchange(has_heard, false)) heard_ = now;
  if (is_paused) return false;
  if (!is_connected && link && now - begun_ > request.connect_time_max) {
    why = fail(Code::kTimeout, "no connection to the provider in time");
  } else if (!has_head && now - begun_ > request.first_byte_time_max) {
    why = fail(Code::kTimeout, "the provider did not begin to answer in time");
  } else if (has_head && now - heard_ > request.stall_time_max) {
    why = fail(Code::kTimeout, "the provider fell silent");
  }
  return !why;
}

}  // namespace cresset::net
