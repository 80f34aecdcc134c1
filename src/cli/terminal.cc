#include "cli/terminal.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/text.h"

namespace cresset::cli {
namespace {

class RealTerminal final : public Terminal {
 public:
  explicit RealTerminal(bool no_colour)
      : in_(::isatty(0) == 1), out_(::isatty(1) == 1), err_(::isatty(2) == 1), colour_(out_ && !no_colour) {}
  void out(std::string_view text) override {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
      good_ = false;
  }
  void err(std::string_view text) override { (void)std::fwrite(text.data(), 1, text.size(), stderr); }
  bool in_is_terminal() const override { return in_; }
  bool out_is_terminal() const override { return out_; }
  bool err_is_terminal() const override { return err_; }
  bool has_colour() const override { return colour_; }
  bool out_is_good() const override { return good_; }

  Result<std::string> read_all(size_t bytes_max) override {
    std::string all = std::move(buffer_);
    buffer_.clear();
    for (;;) {
      if (all.size() > bytes_max) return too_long(bytes_max);
      CRESSET_TRY(more, read_block(all));
      if (!more) return all;
    }
  }

  Result<std::optional<std::string>> read_line(size_t bytes_max) override {
    for (size_t looked = 0;;) {
      const size_t newline = buffer_.find('\n', looked);
      if (newline != std::string::npos) {
        std::string line = buffer_.substr(0, newline);
        buffer_.erase(0, newline + 1);
        return line;
      }
      if (buffer_.size() > bytes_max) return too_long(bytes_max);
      looked = buffer_.size();
      CRESSET_TRY(more, read_block(buffer_));
      if (more) continue;
      if (buffer_.empty()) return std::optional<std::string>();
      return std::exchange(buffer_, {});
    }
  }

 private:
  static tl::unexpected<Error> too_long(size_t bytes_max) {
    return fail(Code::kLimit, "more than " + std::to_string(bytes_max) + " bytes", "stdin");
  }
  // false at the end.
  Result<bool> read_block(std::string& into) {
    char block[65536];
    for (;;) {
      const ssize_t n = ::read(0, block, sizeof block);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Code::kIo, std::string("cannot read: ") + std::strerror(errno), "stdin");
      into.append(block, static_cast<size_t>(n));
      return n > 0;
    }
  }

  bool in_, out_, err_, colour_, good_ = true;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Terminal> make_terminal(bool no_colour) {
  return std::make_unique<RealTerminal>(no_colour);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = next_code_point(text);
    const char32_t c = point.value;
    const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
    append_utf8(out, control ? kReplacement : c);
    text.remove_prefix(static_cast<size_t>(point.length));
  }
  return out;
}

std::string human_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

}  // namespace cresset::cli
