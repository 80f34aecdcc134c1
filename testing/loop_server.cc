#include "testing/loop_server.h"

#include "base/check.h"

namespace cresset::testing {

LoopServer::LoopServer(net::Server::Handler handler, net::ServerOptions options) {
  options.port = 0;
  auto server = net::Server::open(loop_, options, std::move(handler));
  CHECK(server.has_value());
  server_ = std::move(*server);
  port_ = server_->port();
  thread_ = std::thread([this] { loop_.run(); });
}

LoopServer::~LoopServer() {
  loop_.post([this] {
    server_.reset();
    loop_.stop();
  });
  thread_.join();
}

bool LoopServer::waits_for_connections(size_t count) {
  const auto reached = std::make_shared<std::promise<bool>>();
  const auto look = std::make_shared<std::function<void(int)>>();
  *look = [this, count, reached, look](int tries) {
    if (server_->connections() == count) return reached->set_value(true);
    if (tries == 0) return reached->set_value(false);
    loop_.after(std::chrono::milliseconds(2), [look, tries] { (*look)(tries - 1); });
  };
  loop_.post([look] { (*look)(5000); });
  const bool value = reached->get_future().get();
  on_loop([look] {
    *look = nullptr;
    return 0;
  });
  return value;
}

}  // namespace cresset::testing
