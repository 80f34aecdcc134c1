// Loop: the one event-loop thread (io_context behind a narrow face). Everything of net/ and gateway/ lives on
// it; the only ways in from other threads are post() and the objects that say so.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace cresset::net {

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();                             // until stop()
  void stop();                            // any thread
  void post(std::function<void()> work);  // any thread
  // Runs `work` on the loop after `delay`; the returned cancel function is for the loop thread.
  std::function<void()> after(std::chrono::milliseconds delay, std::function<void()> work);
  // Calls `work` on the loop when one of SIGTERM, SIGINT arrives.
  void on_signal(std::function<void(int signal)> work);

  struct Native;  // boost::asio::io_context inside; for net/ only
  Native& native() { return *native_; }

 private:
  std::unique_ptr<Native> native_;
};

}  // namespace cresset::net
