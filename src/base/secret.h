// Secret: text that must not be seen (keys, tokens). It has no formatter, no stream operator and no implicit
// conversion, so a log line that would show one does not compile; the bytes are wiped when it dies.
#pragma once

#include <string>
#include <string_view>

namespace cresset {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  bool empty() const { return text_.empty(); }
  // The only way to the bytes; searchable by name.
  std::string_view expose() const { return text_; }
  // Equal to `other`, in a time that depends on the lengths alone.
  bool equals(std::string_view other) const;

 private:
  void wipe();
  std::string text_;
};

}  // namespace cresset
