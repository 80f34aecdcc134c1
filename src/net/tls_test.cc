#include "net/tls.h"

#include <gtest/gtest.h>

#include <fstream>
#include <semaphore>

#include "net/fetch.h"
#include "net/server.h"
#include "testing/loop_server.h"
#include "testing/tls_identity.h"

namespace cresset::net {
namespace {

using testing::LoopServer;
using testing::SocketClient;
using testing::TlsClient;
using testing::TlsIdentity;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

ServerOptions options_of(const TlsIdentity& identity) {
  return {.tls_certificate_file = identity.certificate_file(), .tls_key_file = identity.key_file()};
}

void say_path(const std::shared_ptr<Call>& call) {
  call->reply({.status = 200,
               .headers = {},
               .body = (call->is_tls() ? "tls " : "plain ") + call->request().path + "!"});
}

TEST(Tls, ServesHttp11OverTls13AndKeepsTheConnection) {
  const TlsIdentity identity;
  LoopServer server(say_path, options_of(identity));
  TlsClient client(server.port());
  ASSERT_TRUE(client.is_open());
  EXPECT_EQ(client.version(), "TLSv1.3");
  EXPECT_EQ(client.protocol(), "http/1.1");
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(client.send(kGet));
    EXPECT_TRUE(client.read_until("!").ends_with("tls /a!"));
  }
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(client.ends_cleanly());
}

TEST(Tls, RefusesTls11AndSurvivesThoseWhoDoNotSpeakTls) {
  const TlsIdentity identity;
  LoopServer server(say_path, options_of(identity));
  EXPECT_FALSE(TlsClient(server.port(), 0x0302).is_open());
  TlsClient tls12(server.port(), 0x0303);
  EXPECT_TRUE(tls12.is_open());
  SocketClient plain(server.port());
  ASSERT_TRUE(plain.send(kGet));
  EXPECT_NE(plain.wait_for_end(), SocketClient::End::kStillOpen);
  EXPECT_TRUE(TlsClient(server.port()).is_open());
}

TEST(Tls, StreamsAndNoticesThatTheClientLeft) {
  const TlsIdentity identity;
  std::shared_ptr<Call> held;
  std::binary_semaphore closed(0);
  LoopServer server(
      [&](std::shared_ptr<Call> call) {
        held = std::move(call);
        held->on_closed([&] { closed.release(); });
        held->begin_stream(200, {});
        held->write("one");
      },
      options_of(identity));
  TlsClient client(server.port());
  ASSERT_TRUE(client.send(kGet));
  EXPECT_TRUE(client.read_until("one\r\n").ends_with("3\r\none\r\n"));
  client.close();
  EXPECT_TRUE(closed.try_acquire_for(SocketClient::kWait));
  EXPECT_TRUE(server.waits_for_connections(0));
}

TEST(Tls, SendsALongReplyWhole) {
  const TlsIdentity identity;
  LoopServer server(
      [](const std::shared_ptr<Call>& call) {
        call->reply({.status = 200, .headers = {}, .body = std::string(3 << 20, 'x') + "end"});
      },
      options_of(identity));
  TlsClient client(server.port());
  ASSERT_TRUE(client.send(kGet));
  EXPECT_GT(client.read_until("xend").size(), 3u << 20);
}

TEST(Tls, ASilentHandshakeEndsAtTheHeaderTime) {
  const TlsIdentity identity;
  ServerOptions options = options_of(identity);
  options.limits.header_time_max = std::chrono::milliseconds(50);
  LoopServer server(say_path, options);
  SocketClient silent(server.port());
  EXPECT_EQ(silent.wait_for_end(), SocketClient::End::kEof);
}

TEST(Tls, NamesTheFileThatIsWrong) {
  const TlsIdentity identity, other;
  Loop loop;
  const auto error = [&](const std::string& certificate, const std::string& key) {
    const auto server =
        Server::open(loop, {.port = 0, .tls_certificate_file = certificate, .tls_key_file = key}, say_path);
    return server ? std::string("none") : server.error().message();
  };
  EXPECT_EQ(error(identity.certificate_file(), identity.key_file()), "none");
  const std::string absent = identity.directory() + "/absent.pem";
  EXPECT_NE(error(absent, identity.key_file()).find(absent + ": cannot use the TLS certificate"),
            std::string::npos);
  EXPECT_NE(error(identity.certificate_file(), absent).find(absent + ": cannot use the TLS private key"),
            std::string::npos);
  const std::string garbage = identity.directory() + "/garbage.pem";
  std::ofstream(garbage) << "garbage";
  EXPECT_NE(error(identity.certificate_file(), garbage).find(garbage), std::string::npos);
  EXPECT_NE(error(identity.certificate_file(), other.key_file()).find("key values mismatch"),
            std::string::npos);
  EXPECT_NE(error(identity.certificate_file(), identity.directory()).find(identity.directory()),
            std::string::npos);
}

TEST(Tls, FetchTrustsOnlyWhomItIsToldToAndNeverLeavesHttps) {
  const TlsIdentity identity;
  LoopServer server(
      [](const std::shared_ptr<Call>& call) {
        const std::string host(find_header(call->request().headers, "Host"));
        if (call->request().path != "/plain") return say_path(call);
        call->reply({.status = 302, .headers = {{"Location", "http://" + host + "/a"}}, .body = ""});
      },
      options_of(identity));
  const std::string base = "https://127.0.0.1:" + std::to_string(server.port());
  std::string bytes;
  const auto get = [&](const std::string& path, const std::string& ca_file) {
    bytes.clear();
    return fetch({.url = base + path, .allow_plain = true, .ca_file = ca_file}, {},
                 [&](std::string_view block) {
                   bytes += block;
                   return Status{};
                 },
                 {});
  };
  EXPECT_TRUE(get("/a", identity.certificate_file()));
  EXPECT_EQ(bytes, "tls /a!");
  const auto stranger = get("/a", "");
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().code, Code::kRefused) << stranger.error().message();
  const auto plain = get("/plain", identity.certificate_file());
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code, Code::kRefused);
}

}  // namespace
}  // namespace cresset::net
