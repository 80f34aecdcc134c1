// HeldCalls: keeps the calls that arrive at a server, so that a test decides what happens to them.
#pragma once

#include <memory>
#include <semaphore>
#include <utility>
#include <vector>

#include "net/server.h"
#include "testing/socket_client.h"

namespace cresset::testing {

class HeldCalls {
 public:
  net::Server::Handler handler() {
    return [this](std::shared_ptr<net::Call> call) {
      call->on_closed([this] { closed_.release(); });
      call->on_drained([this] { drained_.release(); });
      held_.push_back(std::move(call));
      arrived_.release();
    };
  }
  bool waits_for_one() { return arrived_.try_acquire_for(SocketClient::kWait); }
  bool waits_for_closed() { return closed_.try_acquire_for(SocketClient::kWait); }
  bool waits_for_drained() { return drained_.try_acquire_for(SocketClient::kWait); }
  bool has_more_closed() { return closed_.try_acquire(); }
  std::vector<std::shared_ptr<net::Call>>& held() { return held_; }  // on the loop

 private:
  std::vector<std::shared_ptr<net::Call>> held_;
  std::counting_semaphore<> arrived_{0}, closed_{0}, drained_{0};
};

}  // namespace cresset::testing
