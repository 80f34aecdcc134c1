// Text: a string that knows which of its bytes came from outside (a message, a tool, an option of the
// request).
//
// Every operation of the interpreter that makes a string makes it from parts of Texts, so the mark survives
// slicing, stripping, joining and replacing. Plain data; code points are counted, as Python does.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cresset::engine::jinja {

class Text {
 public:
  Text() = default;
  Text(std::string bytes, bool is_foreign);

  std::string_view bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  bool has_foreign() const;

  void append(std::string_view bytes, bool is_foreign);
  void append(const Text& other) { append(other, 0, other.size()); }
  // Bytes [begin, end) of `other`.
  void append(const Text& other, size_t begin, size_t end);
  Text slice(size_t begin, size_t end) const;
  // The same bytes, all foreign.
  Text as_foreign() const { return Text(bytes_, true); }

  // Calls visit(bytes, is_foreign) for each longest part of one kind.
  template <class Visit>
  void visit_runs(Visit visit) const {
    size_t begin = 0;
    for (const Run& r : runs_) {
      visit(bytes().substr(begin, r.end - begin), r.is_foreign);
      begin = r.end;
    }
  }
  bool is_foreign_at(size_t at) const;

 private:
  struct Run {
    size_t end;
    bool is_foreign;
  };
  size_t run_at(size_t at) const;

  std::string bytes_;
  std::vector<Run> runs_;  // neighbours differ; the last ends at size()
};

// White space as Python's str.isspace() has it.
bool is_python_space(char32_t c);
// `bytes` without white space at its ends: [begin, end).
struct Span {
  size_t begin, end;
};
Span strip_spaces(std::string_view bytes, bool left, bool right);
// The same for any of the code points in `set`.
Span strip_set(std::string_view bytes, std::string_view set, bool left, bool right);

size_t count_code_points(std::string_view bytes);
// Byte offset of each code point, and the size at the end.
std::vector<size_t> code_point_offsets(std::string_view bytes);

}  // namespace cresset::engine::jinja
