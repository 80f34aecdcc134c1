#include "cli/progress.h"

namespace cresset::cli {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(200);
constexpr double kSecondsForSpeed = 0.5;  // before that a speed says nothing

std::string human_time(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return std::to_string(s / 60) + " min " + std::to_string(s % 60) + " s";
  return std::to_string(s / 3600) + " h " + std::to_string(s / 60 % 60) + " min";
}

}  // namespace

std::string progress_text(const std::string& what, uint64_t done, uint64_t total, uint64_t start,
                          double seconds) {
  std::string out = what + " ";
  out +=
      total > 0
          ? std::to_string(static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total))) +
                " % of " + human_bytes(total)
          : human_bytes(done);
  if (seconds < kSecondsForSpeed || done <= start) return out;
  const double speed = static_cast<double>(done - start) / seconds;
  out += ", " + human_bytes(static_cast<uint64_t>(speed)) + "/s";
  if (total > done && speed > 0)
    out += ", " + human_time(static_cast<double>(total - done) / speed) + " left";
  return out;
}

Progress::Progress(sys::Env& env, Terminal& terminal, std::string what)
    : env_(env), terminal_(terminal), what_(std::move(what)), begun_(env.now()) {}

Progress::~Progress() {
  if (visible_) terminal_.err("\r\x1b[K");
}

void Progress::show(uint64_t done, uint64_t total, uint64_t start) {
  if (!terminal_.err_is_terminal()) return;
  const sys::Instant now = env_.now();
  if (visible_ && now - shown_ < kInterval && done != total) return;
  shown_ = now;
  visible_ = true;
  const double seconds = std::chrono::duration<double>(now - begun_).count();
  terminal_.err("\r" + progress_text(what_, done, total, start, seconds) + "\x1b[K");
}

}  // namespace cresset::cli
