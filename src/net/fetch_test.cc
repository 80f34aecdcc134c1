#include "net/fetch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

namespace cresset::net {
namespace {

// A server that says exactly what a test wants, also what no honest server says: one answer a connection.
class LiarServer {
 public:
  using Answer = std::function<std::string(const std::string& request)>;

  explicit LiarServer(Answer answer, bool stalls = false) : answer_(std::move(answer)), stalls_(stalls) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~LiarServer() {
    is_done_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    for (const int fd : held_) ::close(fd);
  }
  std::string url(const std::string& path = "/f") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    while (!is_done_) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      std::string request;
      char buffer[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) break;
        request.append(buffer, static_cast<size_t>(n));
      }
      const std::string reply = answer_(request);
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL);
      if (stalls_) {
        held_.push_back(fd);
      } else {
        ::close(fd);
      }
    }
  }

  const Answer answer_;
  const bool stalls_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> is_done_ = false;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<int> held_;
  std::thread thread_;
};

LiarServer::Answer always(std::string reply) {
  return [reply = std::move(reply)](const std::string&) { return reply; };
}

struct Fetched {
  Result<FetchResult> result;
  std::string bytes;
  int starts = 0;
};

Fetched run(const FetchOptions& options, const std::function<bool()>& is_cancelled = {}) {
  std::string bytes;
  int starts = 0;
  auto result = fetch(
      options,
      [&](const FetchResult&) {
        ++starts;
        return Status{};
      },
      [&](std::string_view block) {
        EXPECT_EQ(starts, 1);
        bytes += block;
        return Status{};
      },
      is_cancelled);
  return {std::move(result), std::move(bytes), starts};
}

Code code_of(const Fetched& fetched) {
  EXPECT_FALSE(fetched.result.has_value());
  return fetched.result ? Code::kInternal : fetched.result.error().code;
}

TEST(Fetch, BringsTheFileWithItsSizeAndETag) {
  LiarServer server(always("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\n0123456789"));
  const Fetched f = run({.url = server.url()});
  ASSERT_TRUE(f.result) << f.result.error().message();
  EXPECT_EQ(f.bytes, "0123456789");
  EXPECT_EQ(f.result->status, 200);
  EXPECT_EQ(f.result->total_bytes, 10u);
  EXPECT_EQ(f.result->etag, "\"v1\"");
  EXPECT_FALSE(f.result->resumed);
  EXPECT_EQ(server.requests().at(0).find("Authorization"), std::string::npos);
}

TEST(Fetch, BringsAnEmptyFileAndOneWithoutAStatedLength) {
  LiarServer empty(always("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  const Fetched none = run({.url = empty.url()});
  EXPECT_TRUE(none.result && none.starts == 1 && none.bytes.empty());
  LiarServer chunked(always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
  const Fetched some = run({.url = chunked.url()});
  ASSERT_TRUE(some.result) << some.result.error().message();
  EXPECT_EQ(some.bytes, "abc");
  EXPECT_EQ(some.result->total_bytes, 0u);
}

TEST(Fetch, ACutBodyIsCorruptAndSaysHowMuchCame) {
  LiarServer server(always("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"));
  const Fetched f = run({.url = server.url()});
  EXPECT_EQ(code_of(f), Code::kCorrupt);
  EXPECT_NE(f.result.error().what.find("got 5 of 10 bytes"), std::string::npos) << f.result.error().what;
  LiarServer chunked(always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
  EXPECT_FALSE(run({.url = chunked.url()}).result);
}

TEST(Fetch, TakesNoMoreThanTheStatedLength) {
  LiarServer server(always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n0123456789"));
  const Fetched f = run({.url = server.url()});
  ASSERT_TRUE(f.result);
  EXPECT_EQ(f.bytes, "01234");
}

TEST(Fetch, AStalledBodyTimesOut) {
  LiarServer server(always("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"), true);
  EXPECT_EQ(code_of(run({.url = server.url(), .stall_time_max_s = 1})), Code::kTimeout);
}

TEST(Fetch, ACancelIsNoticedWithinASecondAlsoWhenNothingComes) {
  LiarServer server(always(""), true);
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<int> asked = 0;
  EXPECT_EQ(code_of(run({.url = server.url()}, [&] { return ++asked > 2; })), Code::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));  // curl alone would wait 30 s
}

TEST(Fetch, ResumesWhereThePartialFileEnds) {
  LiarServer server(
      always("HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 6-9/10\r\n"
             "Content-Length: 4\r\n\r\n6789"));
  const Fetched f = run({.url = server.url(), .from = 6, .if_range = "\"v1\""});
  ASSERT_TRUE(f.result) << f.result.error().message();
  EXPECT_EQ(f.bytes, "6789");
  EXPECT_TRUE(f.result->resumed);
  EXPECT_EQ(f.result->total_bytes, 10u);
  const std::string request = server.requests().at(0);
  EXPECT_NE(request.find("Range: bytes=6-\r\n"), std::string::npos) << request;
  EXPECT_NE(request.find("If-Range: \"v1\"\r\n"), std::string::npos) << request;
}

TEST(Fetch, BeginsAgainWhenTheServerIgnoresTheRange) {
  LiarServer server(always("HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Length: 10\r\n\r\n0123456789"));
  const Fetched f = run({.url = server.url(), .from = 6, .if_range = "\"v1\""});
  ASSERT_TRUE(f.result) << f.result.error().message();
  EXPECT_FALSE(f.result->resumed);
  EXPECT_EQ(f.bytes, "0123456789");
}

TEST(Fetch, RefusesAPartThatWasNotAskedFor) {
  const std::vector<std::string> lies = {
      "Content-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n56789",  // another start
      "Content-Range: bytes 6-9/10\r\nContent-Length: 5\r\n\r\n56789",  // another length
      "Content-Range: bytes 6-7/10\r\nContent-Length: 2\r\n\r\n67",     // not to the end
      "Content-Range: bytes 6-x/10\r\nContent-Length: 4\r\n\r\n6789",
      "Content-Range: bytes 6-99999999999999999999/10\r\nContent-Length: 4\r\n\r\n6789",
      "Content-Length: 4\r\n\r\n6789",
      "ETag: \"v2\"\r\nContent-Range: bytes 6-9/10\r\nContent-Length: 4\r\n\r\n6789",  // another file
  };
  for (const std::string& lie : lies) {
    LiarServer server(always("HTTP/1.1 206 Partial Content\r\n" + lie));
    const Fetched f = run({.url = server.url(), .from = 6, .if_range = "\"v1\""});
    EXPECT_EQ(code_of(f), Code::kCorrupt) << lie;
    EXPECT_EQ(f.bytes, "") << lie;
  }
  LiarServer whole(
      always("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 6-9/10\r\nContent-Length: 4\r\n\r\n6789"));
  EXPECT_EQ(code_of(run({.url = whole.url()})), Code::kCorrupt);
}

TEST(Fetch, AFileThatIsHereAlreadyNeedsNoBytes) {
  LiarServer server(always(
      "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\nContent-Length: 2\r\n\r\nno"));
  const Fetched f = run({.url = server.url(), .from = 10});
  ASSERT_TRUE(f.result) << f.result.error().message();
  EXPECT_TRUE(f.result->resumed);
  EXPECT_EQ(f.result->total_bytes, 10u);
  EXPECT_EQ(f.bytes, "");
  EXPECT_EQ(code_of(run({.url = server.url(), .from = 11})), Code::kCorrupt);
}

TEST(Fetch, NamesTheStatusOfARefusal) {
  const auto status = [](const std::string& line) {
    LiarServer server(always("HTTP/1.1 " + line + "\r\nContent-Length: 4\r\n\r\npage"));
    const Fetched f = run({.url = server.url("/f?signature=s3cret")});
    EXPECT_EQ(f.bytes, "");
    EXPECT_EQ(f.result.error().message().find("s3cret"), std::string::npos);
    return code_of(f);
  };
  EXPECT_EQ(status("404 Not Found"), Code::kNotFound);
  EXPECT_EQ(status("403 Forbidden"), Code::kRefused);
  EXPECT_EQ(status("503 Service Unavailable"), Code::kUnavailable);
}

TEST(Fetch, FollowsRedirectsButNotInALoopNorToOtherSchemes) {
  LiarServer target(always("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"));
  LiarServer server([&](const std::string& request) {
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    std::string to = target.url();
    if (path == "/loop") to = "/loop";
    if (path == "/file") to = "file:///etc/hostname";
    if (path == "/ftp") to = "ftp://127.0.0.1/f";
    if (path == "/plain") to = "http://192.0.2.1/f";
    if (path == "/user") to = "http://user:word@127.0.0.1/f";
    return "HTTP/1.1 302 Found\r\nLocation: " + to + "\r\nContent-Length: 4\r\n\r\npage";
  });
  EXPECT_EQ(run({.url = server.url()}).bytes, "abc");
  EXPECT_EQ(code_of(run({.url = server.url("/loop"), .redirects_max = 3})), Code::kLimit);
  EXPECT_EQ(server.requests().size(), 1u + 4u);
  EXPECT_EQ(code_of(run({.url = server.url("/file")})), Code::kRefused);
  EXPECT_EQ(code_of(run({.url = server.url("/ftp")})), Code::kInvalid);
  EXPECT_EQ(code_of(run({.url = server.url("/plain")})), Code::kRefused);
  EXPECT_EQ(code_of(run({.url = server.url("/user")})), Code::kRefused);
}

TEST(Fetch, RefusesPlainHttpBeyondThisMachineAndOtherUrls) {
  EXPECT_EQ(code_of(run({.url = "http://192.0.2.1/f"})), Code::kRefused);
  EXPECT_EQ(code_of(run({.url = "http://127.0.0.1.example.com/f"})), Code::kRefused);
  EXPECT_EQ(code_of(run({.url = "ftp://127.0.0.1/f"})), Code::kInvalid);
  EXPECT_EQ(code_of(run({.url = "nonsense"})), Code::kInvalid);
  EXPECT_EQ(code_of(run({.url = "https://user:word@example.com/f"})), Code::kRefused);
}

TEST(Fetch, StopsAtTheLimitOfBytes) {
  LiarServer stated(always("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"));
  EXPECT_EQ(code_of(run({.url = stated.url(), .bytes_max = 9})), Code::kLimit);
  LiarServer silent(
      always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"));
  EXPECT_EQ(code_of(run({.url = silent.url(), .bytes_max = 9})), Code::kLimit);
  EXPECT_TRUE(run({.url = stated.url(), .bytes_max = 10}).result);
}

TEST(Fetch, AnErrorOfTheCallerEndsTheFetchWithIt) {
  LiarServer server(always("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"));
  const auto full = [](std::string_view) { return Status(fail(Code::kIo, "disk full")); };
  const auto result = fetch({.url = server.url()}, {}, full, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "disk full");
}

TEST(Fetch, ReadsAFileUrlWholeAndFromAnOffset) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("cresset_fetch_" + std::to_string(::getpid()));
  std::ofstream(path) << "0123456789";
  const Fetched whole = run({.url = "file://" + path});
  ASSERT_TRUE(whole.result) << whole.result.error().message();
  EXPECT_EQ(whole.bytes, "0123456789");
  EXPECT_EQ(whole.result->total_bytes, 10u);
  const Fetched rest = run({.url = "file://" + path, .from = 6});
  ASSERT_TRUE(rest.result) << rest.result.error().message();
  EXPECT_EQ(rest.bytes, "6789");
  EXPECT_TRUE(rest.result->resumed);
  EXPECT_EQ(rest.result->total_bytes, 10u);
  const Fetched nothing = run({.url = "file://" + path, .from = 10});
  ASSERT_TRUE(nothing.result) << nothing.result.error().message();
  EXPECT_EQ(nothing.bytes, "");
  EXPECT_EQ(nothing.result->total_bytes, 10u);
  EXPECT_EQ(code_of(run({.url = "file://" + path, .from = 11})), Code::kCorrupt);
  std::filesystem::remove(path);
  EXPECT_EQ(code_of(run({.url = "file://" + path})), Code::kNotFound);
}

}  // namespace
}  // namespace cresset::net
