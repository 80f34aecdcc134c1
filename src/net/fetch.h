// fetch: one file over http(s) or file://, by libcurl, on the calling thread. Only `pull` uses it: nothing
// reaches for the network unless its owner said so.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace cresset::net {

struct FetchOptions {
  std::string url{};       // https://, file://, http:// (loopback only unless `allow_plain`)
  uint64_t from = 0;       // resume at this byte
  std::string if_range{};  // the ETag that the first bytes had; empty: none
  uint64_t bytes_max = 0;  // 0: no limit
  bool allow_plain = false;
  std::string ca_file{};  // PEM: whom to trust for https instead of the system's list; empty: the list
  int connect_time_max_s = 20;
  int stall_time_max_s = 30;  // less than 1 byte/s for this long: kTimeout
  int redirects_max = 5;      // https never redirects to http
};

struct FetchResult {
  int status = 0;            // 200, 206
  uint64_t total_bytes = 0;  // the whole file's size as the server states it; 0: not stated
  std::string etag;
  bool resumed = false;  // true: the bytes continue at `from`; false: they start at zero
};

// `on_start` is called once when the headers are in, before the first byte; `on_bytes` for each block. An
// error from either ends the fetch with it. A body shorter than stated is kCorrupt ("got N of M bytes").
Result<FetchResult> fetch(const FetchOptions& options,
                          const std::function<Status(const FetchResult&)>& on_start,
                          const std::function<Status(std::string_view)>& on_bytes,
                          const std::function<bool()>& is_cancelled);

}  // namespace cresset::net
