#include "cli/interrupt.h"

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace cresset::cli {
namespace {

class Watch {
 public:
  explicit Watch(std::function<void()> work) : work_(std::move(work)) {
    sigset_t set = interrupts();
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    thread_ = std::thread([this] { wait(); });
  }
  ~Watch() {
    ending_.store(true);
    ::pthread_kill(thread_.native_handle(), SIGINT);
    thread_.join();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  static sigset_t interrupts() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    return set;
  }
  void wait() {
    const sigset_t set = interrupts();
    for (;;) {
      int number = 0;
      if (::sigwait(&set, &number) != 0) continue;
      if (ending_.load()) return;
      work_();
    }
  }

  std::function<void()> work_;
  std::atomic<bool> ending_{false};
  sigset_t before_{};
  std::thread thread_;
};

}  // namespace

std::shared_ptr<void> watch_interrupts(std::function<void()> work) {
  return std::make_shared<Watch>(std::move(work));
}

}  // namespace cresset::cli
