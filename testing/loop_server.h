// LoopServer: a net::Server on port 0 with its loop on a thread of its own, for tests that talk to it from
// outside.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "net/server.h"

namespace cresset::testing {

class LoopServer {
 public:
  explicit LoopServer(net::Server::Handler handler, net::ServerOptions options = {});
  ~LoopServer();
  LoopServer(const LoopServer&) = delete;
  LoopServer& operator=(const LoopServer&) = delete;

  uint16_t port() const { return port_; }
  net::Loop& loop() { return loop_; }
  net::Server& server() { return *server_; }  // on the loop thread: see on_loop()

  // Runs `work` on the loop and waits for its value.
  template <class Work>
  auto on_loop(Work work) {
    using Value = decltype(work());
    auto task = std::make_shared<std::packaged_task<Value()>>(std::move(work));
    auto value = task->get_future();
    loop_.post([task] { (*task)(); });
    return value.get();
  }
  // True as soon as the server has `count` connections; false when that takes too long.
  bool waits_for_connections(size_t count);

 private:
  net::Loop loop_;
  std::unique_ptr<net::Server> server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace cresset::testing
