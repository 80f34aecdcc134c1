#include "net/loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <utility>

#include "net/loop_native.h"

namespace cresset::net {

namespace asio = boost::asio;

struct Loop::Native::Parts {
  asio::io_context io{1};  // one thread runs it
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
  asio::signal_set signals{io};
  std::function<void(int)> on_signal;

  void wait_for_signal() {
    signals.async_wait([this](const boost::system::error_code& ec, int signal) {
      if (ec) return;
      on_signal(signal);
      wait_for_signal();
    });
  }
};

Loop::Native::Native() : parts(std::make_unique<Parts>()), io(parts->io) {}
Loop::Native::~Native() = default;

Loop::Loop() : native_(std::make_unique<Native>()) {}
Loop::~Loop() = default;

void Loop::run() {
  native_->io.run();
}

void Loop::stop() {
  native_->io.stop();
}

void Loop::post(std::function<void()> work) {
  asio::post(native_->io, std::move(work));
}

std::function<void()> Loop::after(std::chrono::milliseconds delay, std::function<void()> work) {
  struct Wait {
    asio::steady_timer timer;
    std::function<void()> work;
  };
  auto wait = std::make_shared<Wait>(Wait{asio::steady_timer(native_->io, delay), std::move(work)});
  wait->timer.async_wait([wait](const boost::system::error_code& ec) {
    // A timer that has fired cannot be cancelled any more, so what counts is whether the work is still there.
    if (ec || !wait->work) return;
    std::exchange(wait->work, nullptr)();
  });
  return [weak = std::weak_ptr<Wait>(wait)] {
    const auto waiting = weak.lock();
    if (!waiting) return;
    waiting->work = nullptr;
    waiting->timer.cancel();
  };
}

void Loop::on_signal(std::function<void(int signal)> work) {
  auto& parts = *native_->parts;
  const bool is_first = !parts.on_signal;
  parts.on_signal = std::move(work);
  if (!is_first) return;
  boost::system::error_code ec;
  parts.signals.add(SIGTERM, ec);
  parts.signals.add(SIGINT, ec);
  parts.wait_for_signal();
}

}  // namespace cresset::net
