#include "net/server.h"

#include <gtest/gtest.h>

#include <future>

#include "testing/loop_server.h"
#include "testing/socket_client.h"

namespace cresset::net {
namespace {

using std::chrono::milliseconds;
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

TEST(Server, AnswersARequestAndKeepsTheConnection) {
  LoopServer server(echo);
  SocketClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const SocketResponse response = client.exchange("POST /v1/x?y HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "POST /v1/x abc");
    EXPECT_EQ(response.header("Connection"), "");
  }
}

TEST(Server, StreamsInChunksAsTheyAreWritten) {
  std::shared_ptr<Call> held;
  std::promise<void> arrived;
  LoopServer server([&](std::shared_ptr<Call> call) {
    held = std::move(call);
    held->begin_stream(200, {{"Content-Type", "text/event-stream"}});
    held->write("one");
    arrived.set_value();
  });
  SocketClient client(server.port());
  ASSERT_TRUE(client.send(kGet));
  arrived.get_future().wait();
  EXPECT_TRUE(client.read_until("3\r\none\r\n").ends_with("3\r\none\r\n"));
  server.on_loop([&] {
    held->write("two!");
    held->end();
    held.reset();
    return 0;
  });
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "4\r\ntwo!\r\n0\r\n\r\n");
}

TEST(Server, TellsTheHandlerWhenTheClientLeavesWhileItIsStillThinking) {
  std::shared_ptr<Call> held;
  std::promise<void> arrived, closed;
  LoopServer server([&](std::shared_ptr<Call> call) {
    held = std::move(call);
    held->on_closed([&] { closed.set_value(); });
    arrived.set_value();
  });
  SocketClient client(server.port());
  ASSERT_TRUE(client.send(kGet));
  arrived.get_future().wait();
  client.close();
  EXPECT_EQ(closed.get_future().wait_for(SocketClient::kWait), std::future_status::ready);
  EXPECT_TRUE(server.waits_for_connections(0));
  server.on_loop([&] { held.reset(); return 0; });
}

}  // namespace
}  // namespace cresset::net
