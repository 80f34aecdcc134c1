// What the server does at each of its limits, and when it drains.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

#include "net/server.h"
#include "testing/held_calls.h"
#include "testing/loop_server.h"
#include "testing/socket_client.h"

namespace cresset::net {
namespace {

using std::chrono::milliseconds;
using testing::HeldCalls;
using testing::LoopServer;
using testing::SocketClient;
using testing::SocketResponse;
using End = SocketClient::End;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

// Answers with what it was asked.
void echo(const std::shared_ptr<Call>& call) {
  const HttpRequest& request = call->request();
  call->reply({.status = 200,
               .headers = {{"Content-Type", "text/plain"}},
               .body = request.method + " " + request.path + " " + request.body});
}

HttpResponse text(std::string body) {
  return {.status = 200, .headers = {}, .body = std::move(body)};
}

TEST(ServerLimits, AHeaderOrBodyOverTheLimitIsRefusedWhileItArrives) {
  LoopServer server(echo);
  SocketClient head(server.port());
  ASSERT_TRUE(head.send("GET / HTTP/1.1\r\nHost: x\r\nX: "));
  head.send(std::string(70'000, 'a'));
  EXPECT_EQ(head.read_response().status, 431);
  SocketClient body(server.port());
  ASSERT_TRUE(body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000000\r\n\r\n"));
  body.send(std::string(1 << 20, 'a'));  // it does not stop at once: the answer must reach it all the same
  EXPECT_EQ(body.read_response().status, 413);
  ServerOptions options;
  options.limits.body_bytes_max = 10;
  LoopServer small(echo, options);
  SocketClient chunked(small.port());
  EXPECT_EQ(chunked.exchange("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n").status,
            413);
}

TEST(ServerLimits, HoldsSoManyBytesOfBodiesInAllAndNoMore) {
  ServerOptions options;
  options.limits.bodies_bytes_max = 100'000;
  HeldCalls calls;
  LoopServer server(calls.handler(), options);
  const std::string most(80'000, 'a'), half(50'000, 'b');
  const auto post = [](const std::string& body) {
    return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  const auto answer = [&] {
    ASSERT_TRUE(calls.waits_for_one());
    server.on_loop([&] {
      calls.held().back()->reply(text("done"));
      calls.held().clear();
      return 0;
    });
  };
  SocketClient first(server.port());
  ASSERT_TRUE(first.send(post(most)));
  ASSERT_TRUE(calls.waits_for_one());  // the handler has it, and its bytes count
  SocketClient second(server.port());
  ASSERT_TRUE(second.send(post(half)));
  EXPECT_EQ(second.read_response().status, 503);
  server.on_loop([&] {
    calls.held().back()->reply(text("done"));
    calls.held().clear();
    return 0;
  });
  EXPECT_EQ(first.read_response().status, 200);
  SocketClient third(server.port());
  ASSERT_TRUE(third.send(post(half)));
  answer();
  EXPECT_EQ(third.read_response().status, 200);
}

TEST(ServerLimits, ASlowHeaderOrBodyGets408) {
  ServerOptions options;
  options.limits.header_time_max = options.limits.body_time_max = milliseconds(50);
  LoopServer server(echo, options);
  SocketClient slow_head(server.port());
  EXPECT_EQ(slow_head.exchange("GET / HTTP/1.1\r\nHo").status, 408);
  EXPECT_EQ(slow_head.wait_for_end(), End::kEof);
  SocketClient slow_body(server.port());
  EXPECT_EQ(slow_body.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc").status, 408);
  SocketClient silent(server.port());
  EXPECT_EQ(silent.read_to_end(), "");  // it asked for nothing
  SocketClient second(server.port());
  EXPECT_EQ(second.exchange(kGet).status, 200);
  EXPECT_EQ(second.exchange("GET /").status, 408);
}

TEST(ServerLimits, ClosesAnIdleConnectionButNotOneThatWaitsForItsAnswer) {
  ServerOptions options;
  options.limits.idle_time_max = options.limits.header_time_max = milliseconds(50);
  HeldCalls calls;
  LoopServer server(calls.handler(), options);
  SocketClient client(server.port());
  ASSERT_TRUE(client.send(kGet) && calls.waits_for_one());
  EXPECT_EQ(client.wait_for_end(milliseconds(200)), End::kStillOpen);
  server.on_loop([&] {
    calls.held()[0]->reply(text("done"));
    return 0;
  });
  EXPECT_EQ(client.read_response().body, "done");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
  EXPECT_TRUE(server.waits_for_connections(0));
}

TEST(ServerLimits, RefusesConnectionsOverItsCapWith503) {
  ServerOptions options;
  options.limits.connections_max = 2;
  LoopServer server(echo, options);
  SocketClient one(server.port()), two(server.port());
  EXPECT_EQ(one.exchange(kGet).status, 200);
  EXPECT_EQ(two.exchange(kGet).status, 200);
  SocketClient three(server.port());
  const SocketResponse refused = three.exchange(kGet);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(three.wait_for_end(), End::kEof);
  three.close();
  one.close();
  ASSERT_TRUE(server.waits_for_connections(1));
  EXPECT_EQ(SocketClient(server.port()).exchange(kGet).status, 200);
}

TEST(ServerLimits, QueuesHonestlyAndTellsWhenTheReaderHasTakenAll) {
  HeldCalls calls;
  LoopServer server(calls.handler());
  SocketClient client(server.port(), 128 << 10);
  ASSERT_TRUE(client.send(kGet) && calls.waits_for_one());
  const size_t queued = server.on_loop([&] {
    const auto call = calls.held()[0];
    call->begin_stream(200, {});
    call->write(std::string(6 << 20, 'x'));
    return call->queued_bytes();
  });
  EXPECT_GT(queued, 1u << 20);
  client.read_until("\r\n\r\n");
  client.read_until("xx\r\n");
  EXPECT_TRUE(calls.waits_for_drained());
  EXPECT_EQ(server.on_loop([&] { return calls.held()[0]->queued_bytes(); }), 0u);
}

TEST(ServerLimits, DropsAReaderThatTakesNothing) {
  ServerOptions options;
  options.limits.write_stall_max = milliseconds(100);
  HeldCalls calls;
  LoopServer server(calls.handler(), options);
  SocketClient client(server.port(), 4096);
  ASSERT_TRUE(client.send(kGet) && calls.waits_for_one());
  server.on_loop([&] {
    calls.held()[0]->begin_stream(200, {});
    calls.held()[0]->write(std::string(7 << 20, 'x'));
    return 0;
  });
  EXPECT_TRUE(calls.waits_for_closed());
  EXPECT_TRUE(server.waits_for_connections(0));
}

TEST(ServerLimits, DropsAStreamWhoseReaderFallsTooFarBehind) {
  ServerOptions options;
  options.limits.stream_bytes_max = 4 << 20;
  HeldCalls calls;
  LoopServer server(calls.handler(), options);
  SocketClient client(server.port(), 4096);
  ASSERT_TRUE(client.send(kGet) && calls.waits_for_one());
  server.on_loop([&] {
    calls.held()[0]->begin_stream(200, {});
    for (int i = 0; i < 300; ++i) calls.held()[0]->write(std::string(64 << 10, 'x'));
    calls.held()[0]->end();
    return 0;
  });
  EXPECT_TRUE(calls.waits_for_closed());
  EXPECT_FALSE(client.read_response().is_complete);
}

TEST(ServerLimits, DrainLetsAnswersEndAndClosesTheIdle) {
  HeldCalls calls;
  LoopServer server(calls.handler());
  SocketClient busy(server.port()), idle(server.port());
  ASSERT_TRUE(busy.send(kGet) && calls.waits_for_one());
  ASSERT_TRUE(server.waits_for_connections(2));
  std::promise<void> done;
  server.on_loop([&] {
    calls.held()[0]->begin_stream(200, {});
    server.server().drain(SocketClient::kWait, [&] { done.set_value(); });
    return 0;
  });
  EXPECT_EQ(idle.wait_for_end(), End::kEof);
  EXPECT_FALSE(SocketClient(server.port()).is_open());
  server.on_loop([&] {
    calls.held()[0]->write("last");
    calls.held()[0]->end();
    return 0;
  });
  EXPECT_EQ(busy.read_response().body, "last");
  EXPECT_EQ(busy.wait_for_end(), End::kEof);
  busy.close();
  EXPECT_EQ(done.get_future().wait_for(SocketClient::kWait), std::future_status::ready);
}

TEST(ServerLimits, DrainEndsAtItsDeadline) {
  HeldCalls calls;
  LoopServer server(calls.handler());
  SocketClient busy(server.port());
  ASSERT_TRUE(busy.send(kGet) && calls.waits_for_one());
  std::promise<void> done;
  server.on_loop([&] {
    server.server().drain(milliseconds(50), [&] { done.set_value(); });
    return 0;
  });
  EXPECT_EQ(done.get_future().wait_for(SocketClient::kWait), std::future_status::ready);
  EXPECT_TRUE(calls.waits_for_closed());
}

TEST(ServerLimits, AThousandIdleAndAbusiveConnectionsLeaveNothingBehind) {
  LoopServer server(echo);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<SocketClient>> clients;
    for (int i = 0; i < 450; ++i) {  // twice, and below the common limit of 1024 descriptors
      clients.push_back(std::make_unique<SocketClient>(server.port()));
      ASSERT_TRUE(clients.back()->is_open());
      if (i % 3 == 1) clients.back()->send("GET / HTTP/1.1\r\nHo");
      if (i % 3 == 2) clients.back()->send(kGet);
    }
    for (size_t i = 0; i < clients.size(); ++i) i % 2 == 0 ? clients[i]->reset() : clients[i]->close();
    ASSERT_TRUE(server.waits_for_connections(0));
  }
  EXPECT_EQ(SocketClient(server.port()).exchange(kGet).status, 200);
}

}  // namespace
}  // namespace cresset::net
