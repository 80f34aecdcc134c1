#include "provider/threads.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace cresset::provider {

namespace {

class PorterThread final : public Porter {
 public:
  explicit PorterThread(size_t queue_max) : queue_max_(queue_max), thread_([this] { run(); }) {}

  ~PorterThread() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  Status post(std::function<void()> work) override {
    {
      const std::lock_guard lock(mutex_);
      if (queue_.size() >= queue_max_) return fail(Code::kUnavailable, "The server is busy; try again.");
      queue_.push_back(std::move(work));
    }
    wake_.notify_one();
    return {};
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
  }

  const size_t queue_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Porter> make_porter_thread(size_t queue_max) {
  return std::make_unique<PorterThread>(queue_max);
}

}  // namespace cresset::provider
