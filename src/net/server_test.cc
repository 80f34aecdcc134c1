#include "net/server.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

#include "sys/env.h"
#include "testing/held_calls.h"
#include "testing/loop_server.h"
#include "testing/socket_client.h"

namespace cresset::net {
namespace {

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

TEST(Server, AnswersARequestAndKeepsTheConnection) {
  LoopServer server(echo);
  SocketClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const SocketResponse response =
        client.exchange("POST /v1/x?y HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
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

TEST(Server, TellsTheHandlerOnceWhenTheClientLeavesWhileItIsStillThinking) {
  HeldCalls calls;
  LoopServer server(calls.handler());
  for (const bool resets : {false, true}) {
    SocketClient client(server.port());
    ASSERT_TRUE(client.send(kGet) && calls.waits_for_one());
    resets ? client.reset() : client.close();
    EXPECT_TRUE(calls.waits_for_closed());
    EXPECT_TRUE(server.waits_for_connections(0));
    server.on_loop([&] {
      calls.held().back()->reply(text("too late"));  // does nothing
      calls.held().clear();
      return 0;
    });
    EXPECT_FALSE(calls.has_more_closed());
  }
}

TEST(Server, TellsTheHandlerWhenTheClientLeavesAStream) {
  HeldCalls calls;
  LoopServer server(calls.handler());
  SocketClient client(server.port());
  ASSERT_TRUE(client.send(kGet) && calls.waits_for_one());
  server.on_loop([&] {
    calls.held()[0]->begin_stream(200, {});
    calls.held()[0]->write("a");
    return 0;
  });
  client.read_until("a\r\n");
  client.close();
  EXPECT_TRUE(calls.waits_for_closed());
}

TEST(Server, AHalfClosedClientStillGetsWhatIsAnsweredAtOnce) {
  LoopServer server(echo);
  SocketClient client(server.port());
  ASSERT_TRUE(client.send(std::string(kGet) + std::string(kGet)));
  client.finish_sending();
  EXPECT_EQ(client.read_response().body, "GET /a ");
  EXPECT_EQ(client.read_response().body, "GET /a ");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

TEST(Server, AnswersPipelinedRequestsInOrderAndLosesNone) {
  HeldCalls calls;
  LoopServer server(calls.handler());
  SocketClient client(server.port());
  std::string bytes;
  for (int i = 0; i < 50; ++i) {
    bytes += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n" +
             std::string(3000, 'b');
  }
  ASSERT_TRUE(client.send(bytes));  // 150 KB: more than the server reads ahead
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(calls.waits_for_one());
    server.on_loop([&] {
      EXPECT_EQ(calls.held().size(), 1u);  // one at a time
      const auto call = calls.held()[0];
      calls.held().clear();
      EXPECT_EQ(call->request().body.size(), 3000u);
      call->reply(text(call->request().path));
      return 0;
    });
    EXPECT_EQ(client.read_response().body, "/" + std::to_string(i));
  }
}

TEST(Server, ALongChainOfPipelinedRequestsAnsweredAtOnceIsFine) {
  LoopServer server(echo);
  SocketClient client(server.port());
  std::string bytes;
  for (int i = 0; i < 2000; ++i) bytes += kGet;
  ASSERT_TRUE(client.send(bytes));
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(client.read_response().body, "GET /a ");
}

TEST(Server, ACallDroppedUnansweredIsA500AndADroppedStreamIsCut) {
  LoopServer server([](const std::shared_ptr<Call>& call) {
    if (call->request().path == "/a") return;
    call->begin_stream(200, {});
    call->write("x");
  });
  SocketClient client(server.port());
  const SocketResponse dropped = client.exchange(kGet);
  EXPECT_EQ(dropped.status, 500);
  EXPECT_NE(dropped.body.find("\"server_error\""), std::string::npos);
  EXPECT_FALSE(client.exchange("GET /b HTTP/1.1\r\nHost: x\r\n\r\n").is_complete);
}

TEST(Server, AnAbortedStreamEndsWithoutItsLastChunk) {
  HeldCalls calls;
  LoopServer server(calls.handler());
  SocketClient client(server.port());
  ASSERT_TRUE(client.send(kGet) && calls.waits_for_one());
  server.on_loop([&] {
    calls.held()[0]->begin_stream(200, {});
    calls.held()[0]->write("x");
    calls.held()[0]->write("the reason");  // while the first is in flight
    calls.held()[0]->abort();
    return 0;
  });
  const SocketResponse response = client.read_response();
  EXPECT_FALSE(response.is_complete);
  EXPECT_EQ(response.body, "xthe reason");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
  EXPECT_FALSE(calls.has_more_closed());
}

TEST(Server, AnswersHeadWithTheLengthAndNoBody) {
  LoopServer server(echo);
  SocketClient client(server.port());
  ASSERT_TRUE(client.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_EQ(client.read_response(false).header("Content-Length"), "8");
  EXPECT_EQ(client.exchange(kGet).body, "GET /a ");
}

TEST(Server, OptionsAndAbsoluteTargetsReachTheHandler) {
  LoopServer server(echo);
  SocketClient client(server.port());
  EXPECT_EQ(client.exchange("OPTIONS /o HTTP/1.1\r\nHost: x\r\n\r\n").body, "OPTIONS /o ");
  EXPECT_EQ(client.exchange("GET http://x/abs HTTP/1.1\r\nHost: x\r\n\r\n").body, "GET /abs ");
}

TEST(Server, ServesHttp10WithoutChunksAndCloses) {
  LoopServer server([](const std::shared_ptr<Call>& call) {
    call->begin_stream(200, {});
    call->write("one");
    call->write("two");
    call->end();
  });
  SocketClient client(server.port());
  const SocketResponse response = client.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(response.header("Connection"), "close");
  EXPECT_EQ(response.header("Transfer-Encoding"), "");
  EXPECT_EQ(response.body, "onetwo");
  EXPECT_TRUE(response.is_complete);
}

TEST(Server, ClosesWhenTheClientAsksForIt) {
  LoopServer server(echo);
  SocketClient client(server.port());
  EXPECT_EQ(client.exchange("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").header("Connection"),
            "close");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

TEST(Server, Says100WhenTheClientWaitsForIt) {
  LoopServer server(echo);
  SocketClient client(server.port());
  ASSERT_TRUE(
      client.send("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(client.read_response().status, 100);
  EXPECT_EQ(client.exchange("ok").body, "POST /p ok");
}

TEST(Server, AMalformedRequestGetsAnErrorInOpenAiShapeAndAClose) {
  LoopServer server(echo);
  SocketClient client(server.port());
  const SocketResponse response = client.exchange("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.header("Content-Type"), "application/json");
  EXPECT_EQ(response.header("Connection"), "close");
  EXPECT_EQ(
      response.body,
      R"({"error":{"message":"the Host header is missing","type":"invalid_request_error","param":null,"code":null}})");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
  EXPECT_EQ(SocketClient(server.port()).exchange(kGet).status, 200);
}

TEST(Server, DatesItsAnswersByTheClockItIsGiven) {
  const auto env = sys::make_posix_env();
  ServerOptions options;
  options.env = env.get();
  LoopServer dated(echo, options);
  const std::string date = SocketClient(dated.port()).exchange(kGet).header("Date");
  EXPECT_EQ(date.size(), std::string("Sun, 06 Nov 1994 08:49:37 GMT").size()) << date;
  EXPECT_TRUE(date.ends_with(" GMT"));
  LoopServer undated(echo);
  EXPECT_EQ(SocketClient(undated.port()).exchange(kGet).header("Date"), "");
}

TEST(Server, SendsALongReplyWhole) {
  const std::string body(5 << 20, 'y');
  LoopServer server([&](const std::shared_ptr<Call>& call) { call->reply(text(body)); });
  SocketClient client(server.port());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(client.exchange(kGet).body, body);
}

TEST(Server, AHeaderValueOfOursCannotBeginAnotherHeader) {
  LoopServer server([](const std::shared_ptr<Call>& call) {
    call->reply({.status = 200, .headers = {{"X-Cresset-Dropped", "a\r\nSet-Cookie: b"}}, .body = ""});
  });
  const SocketResponse response = SocketClient(server.port()).exchange(kGet);
  EXPECT_EQ(response.header("Set-Cookie"), "");
  EXPECT_EQ(response.header("X-Cresset-Dropped"), "a  Set-Cookie: b");
}

TEST(Server, SaysWhyItCannotListen) {
  LoopServer server(echo);
  Loop loop;
  const auto taken = Server::open(loop, {.port = server.port()}, echo);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message(), "127.0.0.1:" + std::to_string(server.port()) + ": address in use");
  EXPECT_FALSE(Server::open(loop, {.host = "example.com", .port = 0}, echo));
  EXPECT_TRUE(Server::open(loop, {.host = "localhost", .port = 0}, echo));
  const auto half = Server::open(loop, {.port = 0, .tls_certificate_file = "a.pem"}, echo);
  ASSERT_FALSE(half);
}

}  // namespace
}  // namespace cresset::net
