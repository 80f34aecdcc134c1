#include "net/client.h"

#include <gtest/gtest.h>

#include <semaphore>

#include "testing/held_calls.h"
#include "testing/loop_server.h"
#include "testing/tls_identity.h"

namespace cresset::net {
namespace {

using testing::HeldCalls;
using testing::LoopServer;

struct Heard final : Receiver {
  void on_head(int s, const Headers& h) override {
    status = s;
    headers = h;
    head.release();
  }
  void on_bytes(std::string_view bytes) override {
    body += bytes;
    more.release();
  }
  void on_end(Status s) override {
    end = std::move(s);
    over.release();
  }
  bool waits() { return over.try_acquire_for(testing::SocketClient::kWait); }

  int status = 0;
  Headers headers;
  std::string body;
  Status end;
  std::counting_semaphore<> head{0}, more{0}, over{0};
};

// Both ways of the client are held to the same words: plain http to this machine, and libcurl.
class ClientTest : public ::testing::TestWithParam<const char*> {
 protected:
  ~ClientTest() override {
    server.on_loop([this] {
      calls.held().clear();
      client.reset();
      return 0;
    });
  }
  std::string url(const std::string& path) {
    return GetParam() + std::string("://127.0.0.1:") + std::to_string(server.port()) + path;
  }
  ServerOptions options() {
    if (GetParam() == std::string("http")) return {};
    return {.tls_certificate_file = identity.certificate_file(), .tls_key_file = identity.key_file()};
  }
  std::shared_ptr<ClientCall> start(ClientRequest request, std::shared_ptr<Receiver> receiver) {
    return server.on_loop([&] {
      if (!client) client = Client::open(server.loop());
      auto call = client->start(std::move(request), std::move(receiver));
      EXPECT_TRUE(call) << call.error().message();
      return call ? *call : nullptr;
    });
  }
  ClientRequest request(const std::string& path) {
    ClientRequest r;
    r.url = url(path);
    r.body = "{}";
    r.ca_file = identity.certificate_file();
    r.headers = {{"Content-Type", "application/json"}};
    return r;
  }

  const testing::TlsIdentity identity;
  HeldCalls calls;
  LoopServer server{calls.handler(), options()};
  std::unique_ptr<Client> client;
};

TEST_P(ClientTest, AnAnswerComesInPiecesAndTheConnectionIsUsedAgain) {
  for (int round = 0; round < 3; ++round) {
    auto heard = std::make_shared<Heard>();
    auto call = start(request("/x"), heard);
    ASSERT_TRUE(calls.waits_for_one());
    server.on_loop([&] {
      auto& held = calls.held().back();
      EXPECT_EQ(held->request().body, "{}");
      held->begin_stream(200, {{"X-A", "1"}});
      held->write("one");
      return 0;
    });
    ASSERT_TRUE(heard->head.try_acquire_for(testing::SocketClient::kWait));
    ASSERT_TRUE(heard->more.try_acquire_for(testing::SocketClient::kWait));
    EXPECT_EQ(heard->body, "one");
    server.on_loop([&] {
      calls.held().back()->write("two");
      calls.held().back()->end();
      calls.held().clear();
      return 0;
    });
    ASSERT_TRUE(heard->waits());
    EXPECT_TRUE(heard->end);
    EXPECT_EQ(heard->status, 200);
    EXPECT_EQ(find_header(heard->headers, "x-a"), "1");
    EXPECT_EQ(heard->body, "onetwo");
    EXPECT_EQ(server.on_loop([&] { return server.server().connections(); }), 1u);
  }
}

TEST_P(ClientTest, ASecretIsSentInItsHeaderAndNowhereElse) {
  auto heard = std::make_shared<Heard>();
  ClientRequest r = request("/x");
  r.secret_header = "Authorization";
  r.secret_prefix = "Bearer ";
  r.secret = std::make_shared<const Secret>(Secret("s3cret"));
  auto call = start(std::move(r), heard);
  ASSERT_TRUE(calls.waits_for_one());
  server.on_loop([&] {
    EXPECT_EQ(find_header(calls.held().back()->request().headers, "authorization"), "Bearer s3cret");
    calls.held().back()->reply({200, {}, "ok"});
    calls.held().clear();
    return 0;
  });
  ASSERT_TRUE(heard->waits());
}

TEST_P(ClientTest, ARedirectIsAnAnswerAndNotFollowed) {
  auto heard = std::make_shared<Heard>();
  auto call = start(request("/x"), heard);
  ASSERT_TRUE(calls.waits_for_one());
  server.on_loop([&] {
    calls.held().back()->reply({307, {{"Location", url("/elsewhere")}}, ""});
    calls.held().clear();
    return 0;
  });
  ASSERT_TRUE(heard->waits());
  EXPECT_EQ(heard->status, 307);
  EXPECT_TRUE(server.on_loop([&] { return calls.held().empty(); })) << "one that is followed arrives again";
}

TEST_P(ClientTest, SilenceIsATimeout) {
  auto late = std::make_shared<Heard>(), stalled = std::make_shared<Heard>();
  ClientRequest r = request("/late");
  r.first_byte_time_max = std::chrono::milliseconds(150);
  auto a = start(std::move(r), late);
  ASSERT_TRUE(late->waits());
  EXPECT_EQ(late->end.error().code, Code::kTimeout);
  ASSERT_TRUE(calls.waits_for_one());
  r = request("/stall");
  r.stall_time_max = std::chrono::milliseconds(150);
  auto b = start(std::move(r), stalled);
  ASSERT_TRUE(calls.waits_for_one());
  server.on_loop([&] {
    calls.held().back()->begin_stream(200, {});
    calls.held().back()->write("x");
    return 0;
  });
  ASSERT_TRUE(stalled->waits());
  EXPECT_EQ(stalled->end.error().code, Code::kTimeout);
  EXPECT_EQ(stalled->body, "x");
}

TEST_P(ClientTest, ACutIsAnErrorAndACancelClosesTheConnection) {
  auto cut = std::make_shared<Heard>(), gone = std::make_shared<Heard>();
  auto a = start(request("/cut"), cut);
  ASSERT_TRUE(calls.waits_for_one());
  server.on_loop([&] {
    calls.held().back()->begin_stream(200, {});
    calls.held().back()->write("half");
    return 0;
  });
  ASSERT_TRUE(cut->more.try_acquire_for(testing::SocketClient::kWait));
  server.on_loop([&] {
    calls.held().back()->abort();
    return 0;
  });
  ASSERT_TRUE(cut->waits());
  EXPECT_EQ(cut->end.error().code, Code::kUnavailable);
  auto b = start(request("/gone"), gone);
  ASSERT_TRUE(calls.waits_for_one());
  server.on_loop([&] {
    b->cancel();
    return 0;
  });
  EXPECT_TRUE(calls.waits_for_closed());
  EXPECT_FALSE(gone->over.try_acquire());
}

TEST_P(ClientTest, WhoIsPausedTakesNothingUntilItIsResumed) {
  auto heard = std::make_shared<Heard>();
  auto call = start(request("/x"), heard);
  ASSERT_TRUE(calls.waits_for_one());
  server.on_loop([&] {
    calls.held().back()->begin_stream(200, {});
    calls.held().back()->write("first");
    return 0;
  });
  ASSERT_TRUE(heard->more.try_acquire_for(testing::SocketClient::kWait));
  server.on_loop([&] {
    call->pause();
    calls.held().back()->write(std::string(6 << 20, 'x'));  // more than the sockets hold
    return 0;
  });
  server.on_loop([&] {
    EXPECT_LE(heard->body.size(), 5u + (64u << 10)) << "what was on its way already may still come";
    EXPECT_GT(calls.held().back()->queued_bytes(), 0u) << "the other side feels it";
    call->resume();
    calls.held().back()->end();
    return 0;
  });
  ASSERT_TRUE(heard->waits());
  EXPECT_EQ(heard->body.size(), 5u + (6u << 20));
}

TEST_P(ClientTest, AnAnswerThatComesBeforeTheWholeRequestIsHeard) {
  auto heard = std::make_shared<Heard>();
  ClientRequest r = request("/x");
  r.body = std::string(40u << 20, 'x');  // more than the server takes
  auto call = start(std::move(r), heard);
  ASSERT_TRUE(heard->waits());
  if (heard->end) {
    EXPECT_EQ(heard->status, 413);
  } else {
    EXPECT_EQ(heard->end.error().code, Code::kUnavailable) << "the reset overtook the answer";
  }
}

INSTANTIATE_TEST_SUITE_P(BothWays, ClientTest, ::testing::Values("http", "https"));

TEST(Client, PlainHttpIsForThisMachineUnlessItsOwnerSaysSo) {
  EXPECT_TRUE(check_client_url("https://api.example.com/v1", false));
  EXPECT_TRUE(check_client_url("http://127.0.0.1:8000/v1", false));
  EXPECT_TRUE(check_client_url("http://localhost:8000", false));
  EXPECT_TRUE(check_client_url("http://[::1]:8000", false));
  EXPECT_TRUE(check_client_url("http://box.lan/v1", true));
  for (const char* url : {"http://box.lan/v1", "http://127.0.0.1.example.com", "ftp://x.org",
                          "file:///etc/passwd", "https://user:pass@x.org", "not a url", ""}) {
    EXPECT_FALSE(check_client_url(url, false)) << url;
  }
}

TEST(Client, NobodyThereIsUnavailable) {
  LoopServer server([](std::shared_ptr<Call>) {});
  std::unique_ptr<Client> client;
  auto heard = std::make_shared<Heard>();
  std::shared_ptr<ClientCall> call;
  server.on_loop([&] {
    client = Client::open(server.loop());
    ClientRequest request;
    request.url = "http://127.0.0.1:1/x";
    call = *client->start(std::move(request), heard);
    return 0;
  });
  ASSERT_TRUE(heard->waits());
  EXPECT_EQ(heard->end.error().code, Code::kUnavailable);
  server.on_loop([&] {
    call.reset();
    client.reset();
    return 0;
  });
}

}  // namespace
}  // namespace cresset::net
