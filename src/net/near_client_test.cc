#include "net/near_client.h"

#include <gtest/gtest.h>

#include <deque>
#include <semaphore>

#include "net/loop.h"
#include "testing/held_calls.h"
#include "testing/loop_server.h"

namespace cresset::net {
namespace {

using testing::HeldCalls;
using testing::LoopServer;
using testing::SocketClient;

struct Heard final : Receiver {
  void on_head(int s, const Headers&) override { status = s; }
  void on_bytes(std::string_view bytes) override { body += bytes; }
  void on_end(Status s) override {
    end = std::move(s);
    if (then) then();
    over.release();
  }
  bool waits() { return over.try_acquire_for(SocketClient::kWait); }

  int status = 0;
  std::string body;
  Status end;
  std::function<void()> then;
  std::counting_semaphore<> over{0};
};

class NearClientTest : public ::testing::Test {
 protected:
  ~NearClientTest() override {
    server.on_loop([this] {
      calls.held().clear();
      client.reset();
      return 0;
    });
  }
  // On the loop.
  std::shared_ptr<ClientCall> start(std::shared_ptr<Receiver> receiver, Headers headers = {}) {
    if (!client) client = NearClient::open(server.loop(), options);
    ClientRequest request;
    request.body = "{}";
    request.headers = std::move(headers);
    auto place = read_place("http://127.0.0.1:" + std::to_string(server.port()) + "/x?y=1");
    auto call = client->start(std::make_shared<const Place>(*place), std::move(request), std::move(receiver));
    error = call ? Status{} : Status{tl::unexpected(call.error())};
    return call ? *call : nullptr;
  }
  void answer(const std::string& body) {
    server.on_loop([&] {
      calls.held().back()->reply({200, {}, body});
      calls.held().clear();
      return 0;
    });
  }

  ClientOptions options;
  Status error;
  HeldCalls calls;
  LoopServer server{calls.handler(), {.limits = {.idle_time_max = std::chrono::milliseconds(50)}}};
  std::unique_ptr<NearClient> client;
};

TEST_F(NearClientTest, AKeptConnectionThatTheServerClosedIsReplaced) {
  for (int round = 0; round < 3; ++round) {
    auto heard = std::make_shared<Heard>();
    auto call = server.on_loop([&] { return start(heard); });
    ASSERT_TRUE(calls.waits_for_one());
    answer("ok");
    ASSERT_TRUE(heard->waits());
    EXPECT_TRUE(heard->end);
    EXPECT_EQ(heard->body, "ok");
    ASSERT_TRUE(server.waits_for_connections(0)) << "the server keeps it for 50 ms";
  }
}

TEST_F(NearClientTest, AHeaderThatWouldBeReadAsTwoIsNotSent) {
  server.on_loop([&] { return start(std::make_shared<Heard>(), {{"X-A", "1\r\nX-B: 2"}}); });
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().code, Code::kInvalid);
}

TEST_F(NearClientTest, MoreRequestsThanConnectionsWaitForTheirTurn) {
  options.connections_max = 2;
  std::vector<std::shared_ptr<Heard>> heard;
  std::vector<std::shared_ptr<ClientCall>> live;
  for (int i = 0; i < 5; ++i) heard.push_back(std::make_shared<Heard>());
  server.on_loop([&] {
    for (const auto& h : heard) live.push_back(start(h));
    return 0;
  });
  for (size_t i = 0; i < heard.size(); ++i) {
    ASSERT_TRUE(calls.waits_for_one());
    server.on_loop([&] {
      EXPECT_LE(server.server().connections(), 2u);
      calls.held().front()->reply({200, {}, "ok"});
      calls.held().erase(calls.held().begin());
      return 0;
    });
  }
  for (const auto& h : heard) {
    ASSERT_TRUE(h->waits());
    EXPECT_TRUE(h->end);
  }
}

TEST_F(NearClientTest, WhoIsToldTheEndMayAskAgainAtOnce) {
  auto first = std::make_shared<Heard>(), second = std::make_shared<Heard>();
  std::shared_ptr<ClientCall> a, b;
  first->then = [&] { b = start(second); };
  server.on_loop([&] { return a = start(first); });
  ASSERT_TRUE(calls.waits_for_one());
  answer(std::string(4096, 'x'));  // fills the buffer that is read into
  ASSERT_TRUE(first->waits());
  ASSERT_TRUE(calls.waits_for_one());
  answer("again");
  ASSERT_TRUE(second->waits());
  EXPECT_EQ(second->body, "again");
}

}  // namespace
}  // namespace cresset::net
