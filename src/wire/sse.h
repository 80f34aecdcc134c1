// Server-sent events as bytes come in (WHATWG HTML, 9.2): cut anywhere; LF, CRLF and CR end lines; comments
// are skipped, data of many lines is joined, an event that is not ended by an empty line is not one. One
// object a stream; belongs to whoever reads it. Does not know what the data means.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cresset::wire {

struct SseEvent {
  std::string_view name;  // of "event:", may be empty
  std::string_view data;
};

class SseReader {
 public:
  explicit SseReader(size_t event_bytes_max = 16u << 20) : event_bytes_max_(event_bytes_max) {}

  // Calls take(SseEvent) -> bool for every event that is complete now; false ends the reading. kLimit: one
  // event is longer than allowed.
  template <class Take>
  Status feed(std::string_view bytes, Take take) {
    while (!bytes.empty()) {
      const size_t used = read_line(bytes);
      if (line_.size() + data_.size() > event_bytes_max_)
        return fail(Code::kLimit,
                    "an event of the stream is longer than " + std::to_string(event_bytes_max_) + " bytes");
      bytes.remove_prefix(used);
      if (!has_line_) return {};
      has_line_ = false;
      const bool is_event = take_line();
      line_.clear();
      if (is_event) {
        const bool goes_on = take(SseEvent{name_, data_});
        data_.clear();
        name_.clear();
        has_data_ = false;
        if (!goes_on) return {};
      }
    }
    return {};
  }

 private:
  size_t read_line(std::string_view bytes);  // into line_, until has_line_
  bool take_line();                          // true: an event is complete

  const size_t event_bytes_max_;
  std::string line_, data_, name_;
  bool has_line_ = false, has_data_ = false, after_cr_ = false, is_first_line_ = true;
};

}  // namespace cresset::wire
