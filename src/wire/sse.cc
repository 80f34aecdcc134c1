#include "wire/sse.h"

namespace cresset::wire {

size_t SseReader::read_line(std::string_view bytes) {
  size_t begin = 0;
  if (after_cr_ && bytes[0] == '\n') begin = 1;  // the second half of a CRLF that was cut
  after_cr_ = false;
  const size_t end = bytes.find_first_of("\r\n", begin);
  if (end == std::string_view::npos) {
    line_.append(bytes.substr(begin));
    return bytes.size();
  }
  line_.append(bytes.substr(begin, end - begin));
  after_cr_ = bytes[end] == '\r';
  has_line_ = true;
  return end + 1;
}

bool SseReader::take_line() {
  std::string_view line = line_;
  if (is_first_line_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  is_first_line_ = false;
  if (line.empty()) {
    if (!has_data_) name_.clear();
    return has_data_;
  }
  if (line[0] == ':') return false;
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  } else if (field == "event") {
    name_ = value;
  }
  return false;
}

}  // namespace cresset::wire
