// Media as data: URLs (RFC 2397), the form in which OpenAI's dialects carry bytes.
#pragma once

#include <string>
#include <string_view>

#include "chat/message.h"

namespace cresset::wire {

// "data:image/png;base64,…" becomes its bytes; any other URL stays one. A data URL that is not base64 stays.
inline chat::Media media_of_url(std::string_view url) {
  constexpr std::string_view kScheme = "data:", kBase64 = ";base64";
  const size_t comma = url.find(',');
  if (url.starts_with(kScheme) && comma != std::string_view::npos) {
    std::string_view type = url.substr(kScheme.size(), comma - kScheme.size());
    if (type.ends_with(kBase64)) {
      type.remove_suffix(kBase64.size());
      return {chat::Media::Source::kBase64, std::string(type), std::string(url.substr(comma + 1))};
    }
  }
  return {chat::Media::Source::kUrl, {}, std::string(url)};
}

// kBase64 and kUrl.
inline std::string url_of_media(const chat::Media& media) {
  if (media.source != chat::Media::Source::kBase64) return media.data;
  return "data:" + media.type + ";base64," + media.data;
}

}  // namespace cresset::wire
