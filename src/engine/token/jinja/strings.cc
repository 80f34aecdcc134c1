#include "engine/token/jinja/strings.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/print.h"

namespace cresset::engine::jinja {
namespace {

void charge_scan(const Value& text, Heap& heap) {
  heap.charge_steps(text.text().size() / kBytesPerStep);
}

Value list_of(const Text& text, const std::vector<Span>& parts, Heap& heap) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const Span& p : parts) items.push_back(heap.text(text.slice(p.begin, p.end)));
  return heap.list(std::move(items));
}

std::vector<Span> split_at_spaces(std::string_view bytes, int64_t count) {
  std::vector<Span> parts;
  size_t at = strip_spaces(bytes, true, false).begin;
  while (at < bytes.size()) {
    size_t end = at;
    if (count >= 0 && static_cast<int64_t>(parts.size()) == count) {
      parts.push_back({at, bytes.size()});
      return parts;
    }
    while (end < bytes.size()) {
      const CodePoint c = next_code_point(bytes.substr(end));
      if (is_python_space(c.value)) break;
      end += static_cast<size_t>(c.length);
    }
    parts.push_back({at, end});
    at = end + strip_spaces(bytes.substr(end), true, false).begin;
  }
  return parts;
}

// From the right the last `count` words are split off; what is before them stays whole.
std::vector<Span> rsplit_at_spaces(std::string_view bytes, int64_t count) {
  std::vector<Span> all = split_at_spaces(bytes, -1);
  if (count < 0 || static_cast<int64_t>(all.size()) <= count) return all;
  const size_t head = all.size() - static_cast<size_t>(count);
  std::vector<Span> parts{{0, all[head - 1].end}};
  parts.insert(parts.end(), all.begin() + static_cast<ptrdiff_t>(head), all.end());
  return parts;
}

std::vector<Span> split_at(std::string_view bytes, std::string_view separator, int64_t count,
                           bool from_right) {
  std::vector<Span> parts;
  if (from_right) {
    size_t end = bytes.size();
    while (count != 0 && end >= separator.size()) {
      const size_t found = bytes.substr(0, end).rfind(separator);
      if (found == std::string_view::npos) break;
      parts.push_back({found + separator.size(), end});
      end = found;
      --count;
    }
    parts.push_back({0, end});
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  for (size_t found; count != 0 && (found = bytes.find(separator, begin)) != std::string_view::npos;
       --count) {
    parts.push_back({begin, found});
    begin = found + separator.size();
  }
  parts.push_back({begin, bytes.size()});
  return parts;
}

// Line borders of str.splitlines().
bool is_line_border(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

std::vector<Span> lines_of(std::string_view bytes) {
  std::vector<Span> lines;
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint c = next_code_point(bytes.substr(at));
    size_t next = at + static_cast<size_t>(c.length);
    if (c.valid && is_line_border(c.value)) {
      lines.push_back({begin, at});
      if (c.value == '\r' && next < bytes.size() && bytes[next] == '\n') ++next;
      begin = next;
    }
    at = next;
  }
  if (begin < bytes.size()) lines.push_back({begin, bytes.size()});
  return lines;
}

}  // namespace

Value replace(const Value& text, const Text& from, const Text& to, int64_t count, Heap& heap) {
  charge_scan(text, heap);
  const Text& t = text.text();
  Text out;
  size_t begin = 0;
  const auto put = [&](size_t at, size_t next) {
    out.append(t, begin, at);
    heap.charge_bytes(to.size());
    out.append(to);
    begin = next;
    --count;
  };
  if (from.empty()) {  // between all characters
    const std::vector<size_t> offsets = code_point_offsets(t.bytes());
    for (size_t i = 0; i < offsets.size() && count != 0; ++i) put(offsets[i], offsets[i]);
  } else {
    for (size_t at; count != 0 && (at = t.bytes().find(from.bytes(), begin)) != std::string_view::npos;) {
      put(at, at + from.size());
    }
  }
  out.append(t, begin, t.size());
  return heap.text(std::move(out));
}

Value split(const Value& text, const Text* separator, int64_t count, bool from_right, Heap& heap) {
  charge_scan(text, heap);
  const std::string_view bytes = text.text().bytes();
  if (separator == nullptr) {
    return list_of(text.text(), from_right ? rsplit_at_spaces(bytes, count) : split_at_spaces(bytes, count),
                   heap);
  }
  if (separator->empty()) type_fault("split needs a separator that is not empty");
  return list_of(text.text(), split_at(bytes, separator->bytes(), count, from_right), heap);
}

Value split_lines(const Value& text, Heap& heap) {
  charge_scan(text, heap);
  return list_of(text.text(), lines_of(text.text().bytes()), heap);
}

Value join(const Text& separator, const std::vector<Value>& items, Heap& heap) {
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    const Value item = to_text(items[i], heap);
    heap.charge_bytes(separator.size() + item.text().size());
    if (i > 0) out.append(separator);
    out.append(item.text());
  }
  return heap.text(std::move(out));
}

Value indent(const Value& text, const Text& width, bool first, bool blank, Heap& heap) {
  charge_scan(text, heap);
  Text source = text.text();
  source.append("\n", false);
  const std::vector<Span> lines = lines_of(source.bytes());
  Text out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", false);
    const bool is_blank = lines[i].begin == lines[i].end;
    if (i == 0 ? first : blank || !is_blank) {
      heap.charge_bytes(width.size());
      out.append(width);
    }
    out.append(source, lines[i].begin, lines[i].end);
  }
  return heap.text(std::move(out));
}

namespace {

struct Date {
  int64_t year, month, day, hour, minute, second, weekday, day_of_year;
};

// Days to a civil date (Howard Hinnant, chrono-compatible low-level date algorithms).
Date date_of(int64_t unix_time_s) {
  const auto floor_div = [](int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); };
  const int64_t days = floor_div(unix_time_s, 86400), seconds = unix_time_s - days * 86400;
  const int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  Date out{};
  out.day = doy - (153 * mp + 2) / 5 + 1;
  out.month = mp < 10 ? mp + 3 : mp - 9;
  out.year = yoe + era * 400 + (out.month <= 2 ? 1 : 0);
  out.hour = seconds / 3600;
  out.minute = seconds / 60 % 60;
  out.second = seconds % 60;
  out.weekday = ((days + 4) % 7 + 7) % 7;
  const bool is_leap = (out.year % 4 == 0 && out.year % 100 != 0) || out.year % 400 == 0;
  const int64_t march = 59 + (is_leap ? 1 : 0);
  out.day_of_year = out.month > 2 ? doy + march + 1 : doy - 306 + 1;
  return out;
}

std::string padded(int64_t value, size_t width, char fill = '0') {
  std::string out = std::to_string(value);
  return out.size() >= width ? out : std::string(width - out.size(), fill) + out;
}

std::string time_field(char code, const Date& d) {
  static constexpr std::array<std::string_view, 12> kMonths{"January",   "February", "March",    "April",
                                                            "May",       "June",     "July",     "August",
                                                            "September", "October",  "November", "December"};
  static constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                         "Thursday", "Friday", "Saturday"};
  const std::string_view month = kMonths[static_cast<size_t>(d.month - 1)];
  const std::string_view day = kDays[static_cast<size_t>(d.weekday)];
  const int64_t hour12 = d.hour % 12 == 0 ? 12 : d.hour % 12;
  switch (code) {
    case 'Y':
      return std::to_string(d.year);
    case 'y':
      return padded(d.year % 100, 2);
    case 'm':
      return padded(d.month, 2);
    case 'd':
      return padded(d.day, 2);
    case 'e':
      return padded(d.day, 2, ' ');
    case 'H':
      return padded(d.hour, 2);
    case 'I':
      return padded(hour12, 2);
    case 'M':
      return padded(d.minute, 2);
    case 'S':
      return padded(d.second, 2);
    case 'j':
      return padded(d.day_of_year, 3);
    case 'p':
      return d.hour < 12 ? "AM" : "PM";
    case 'B':
      return std::string(month);
    case 'b':
      return std::string(month.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'a':
      return std::string(day.substr(0, 3));
    case 'F':
      return time_field('Y', d) + "-" + time_field('m', d) + "-" + time_field('d', d);
    case 'T':
      return time_field('H', d) + ":" + time_field('M', d) + ":" + time_field('S', d);
    case 'Z':
      return "UTC";
    case 'z':
      return "+0000";
    case '%':
      return "%";
    default:
      fault(Code::kUnsupported, "strftime_now does not know %" + std::string(1, code));
  }
}

}  // namespace

Value format_time(std::string_view format, int64_t unix_time_s, Heap& heap) {
  const Date date = date_of(unix_time_s);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    ++i;
    // "%-d": without padding.
    const bool is_bare = format[i] == '-' && i + 1 < format.size();
    if (is_bare) ++i;
    std::string field = time_field(format[i], date);
    while (is_bare && field.size() > 1 && (field[0] == '0' || field[0] == ' ')) field.erase(0, 1);
    out += field;
  }
  return heap.text(std::move(out), false);
}

}  // namespace cresset::engine::jinja
