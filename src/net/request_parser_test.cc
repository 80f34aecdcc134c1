#include "net/request_parser.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cresset::net {
namespace {

struct Parsed {
  std::vector<HttpRequest> requests;
  int status = 0;  // of the fault, 0: none
  std::string fault;
};

// Feeds the bytes as a socket would, `step` at a time.
Parsed parse(std::string_view bytes, size_t step = 1u << 20, ParseLimits limits = {}) {
  Parsed parsed;
  RequestParser parser(limits);
  size_t begin = 0, end = 0;
  for (;;) {
    begin += parser.feed(bytes.substr(begin, end - begin));
    if (parser.state() == RequestParser::State::kDone) {
      parsed.requests.push_back(parser.take());
      continue;
    }
    if (parser.state() == RequestParser::State::kFailed) {
      parsed.status = parser.fault().status;
      parsed.fault = parser.fault().message;
      return parsed;
    }
    if (end == bytes.size()) return parsed;
    end = std::min(bytes.size(), end + step);
  }
}

int fault_of(std::string_view bytes) {
  const Parsed whole = parse(bytes);
  const Parsed cut = parse(bytes, 1);
  EXPECT_EQ(whole.status, cut.status) << bytes;
  EXPECT_TRUE(whole.requests.empty()) << bytes;
  return whole.status;
}

std::string get(std::string_view fields) {
  return "GET / HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n";
}
std::string post(std::string_view fields, std::string_view rest) {
  return "POST / HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n" + std::string(rest);
}

TEST(RequestParser, ReadsMethodTargetFieldsAndBody) {
  for (const size_t step : {1, 2, 3, 7, 1000}) {
    const Parsed p = parse(
        "POST /v1/a%2Fb%20c?q=%41 HTTP/1.1\r\nHost: x:1\r\nX-A:  v \t\r\nContent-Length: 5\r\n\r\nhello",
        step);
    ASSERT_EQ(p.requests.size(), 1u) << p.fault;
    const HttpRequest& r = p.requests[0];
    EXPECT_EQ(r.method, "POST");
    EXPECT_EQ(r.path, "/v1/a/b c");
    EXPECT_EQ(r.raw_path, "/v1/a%2Fb%20c");
    EXPECT_EQ(r.query, "q=%41");
    EXPECT_EQ(find_header(r.headers, "x-a"), "v");
    EXPECT_EQ(r.body, "hello");
  }
}

TEST(RequestParser, ReadsChunkedBodiesAndBelievesNoTrailer) {
  const std::string bytes = post("Transfer-Encoding: chunked\r\n",
                                 "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nAuthorization: root\r\n\r\n") +
                            get("");
  for (const size_t step : {1, 2, 5, 11, 1000}) {
    const Parsed p = parse(bytes, step);
    ASSERT_EQ(p.requests.size(), 2u) << p.fault;
    EXPECT_EQ(p.requests[0].body, "hello world");
    EXPECT_EQ(count_header(p.requests[0].headers, "Authorization"), 0u);
  }
}

TEST(RequestParser, ReadsPipelinedRequestsInOrder) {
  const Parsed p = parse("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n" + post("Content-Length: 1\r\n", "b") +
                             "\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n",
                         4);
  ASSERT_EQ(p.requests.size(), 3u) << p.fault;
  EXPECT_EQ(p.requests[0].path, "/1");
  EXPECT_EQ(p.requests[1].body, "b");
  EXPECT_EQ(p.requests[2].path, "/3");
}

TEST(RequestParser, RefusesEveryAmbiguousFraming) {
  const std::vector<std::string> smuggled = {
      post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
      post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"),
      post("Content-Length: 4\r\nContent-Length: 5\r\n", "abcd"),
      post("Content-Length: 4, 4\r\n", "abcd"),
      post("Content-Length: +4\r\n", "abcd"),
      post("Content-Length: -1\r\n", "abcd"),
      post("Content-Length: 0x4\r\n", "abcd"),
      post("Content-Length: 4 4\r\n", "abcd"),
      post("Content-Length:\r\n", "abcd"),
      post("Content-Length: 99999999999999999999\r\n", "abcd"),
      post("Content-Length : 4\r\n", "abcd"),
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: identity\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding: \x0b"
           "chunked\r\n",
           "0\r\n\r\n"),
      post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
      post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
      "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  };
  for (const std::string& bytes : smuggled) EXPECT_EQ(fault_of(bytes), 400) << bytes;
}

TEST(RequestParser, RefusesBrokenChunks) {
  for (const std::string_view rest :
       {"x\r\n", "-1\r\n", "+5\r\nhello\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "0x5\r\nhello\r\n",
        "5\nhello\r\n", "5\r\nhelloX\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "\r\n", ";a\r\n",
        "10000000000000000\r\n", "ffffffffffffffff1\r\n", "5;a=\nb\r\nhello\r\n", "5;a=\rb\r\nhello\r\n",
        "0\r\nX: a\nY: b\r\n\r\n", "0\r\n\n"}) {
    EXPECT_EQ(fault_of(post("Transfer-Encoding: chunked\r\n", rest)), 400) << rest;
  }
  const std::string endless = post("Transfer-Encoding: chunked\r\n", "5;" + std::string(20000, 'a'));
  EXPECT_EQ(fault_of(endless), 400);
  const std::string trailer = post("Transfer-Encoding: chunked\r\n", "0\r\nX: " + std::string(20000, 'a'));
  EXPECT_EQ(fault_of(trailer), 400);
  std::string extended = post("Transfer-Encoding: chunked\r\n", "");
  for (int i = 0; i < 10; ++i) extended += "1;a=" + std::string(2000, 'b') + "\r\nx\r\n";
  EXPECT_EQ(parse(extended).status, 400);
}

TEST(RequestParser, RefusesWhatAHeaderMayNotHold) {
  using namespace std::string_literals;
  const std::vector<std::string> heads = {
      "GET / HTTP/1.1\nHost: x\n\n",
      "GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
      get("X: a\r\n b\r\n"),
      get("X: a\r\n\tb\r\n"),
      "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
      get("X: a\0b\r\n"s),
      get("X: a\x01"
          "b\r\n"),
      get("X: a\x7f"
          "b\r\n"),
      get("X\0Y: a\r\n"s),
      get("X Y: a\r\n"),
      get(": a\r\n"),
      get("no colon\r\n"),
      "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"s,
      "GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET / x HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /%4 HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET x HTTP/1.1\r\nHost: x\r\n\r\n",
      "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
      "get / HTTP/1.1\r\nHost: x\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s,
      "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
  };
  for (const std::string& bytes : heads) EXPECT_EQ(fault_of(bytes), 400) << bytes;
  EXPECT_EQ(fault_of("GET / HTTP/1.2\r\nHost: x\r\n\r\n"), 505);
  EXPECT_EQ(fault_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(fault_of(get("Expect: 200-maybe\r\n")), 417);
}

TEST(RequestParser, NeedsExactlyOneHost) {
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(get("Host: y\r\n")), 400);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
  EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n").requests.size(), 1u);
}

TEST(RequestParser, TakesAbsoluteTargetsWhoseHostIsTheHostHeader) {
  const Parsed p = parse("GET http://x:71/a/b?c HTTP/1.1\r\nHost: X:71\r\n\r\n");
  ASSERT_EQ(p.requests.size(), 1u) << p.fault;
  EXPECT_EQ(p.requests[0].path, "/a/b");
  EXPECT_EQ(p.requests[0].query, "c");
  EXPECT_EQ(parse("GET http://x?c HTTP/1.1\r\nHost: x\r\n\r\n").requests.at(0).path, "/");
  EXPECT_EQ(fault_of("GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET http:///a HTTP/1.1\r\nHost:\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").requests.at(0).path, "*");
}

TEST(RequestParser, StopsAtItsLimits) {
  const ParseLimits limits{.head_bytes_max = 200, .body_bytes_max = 10};
  EXPECT_EQ(parse(get("X: " + std::string(100, 'a') + "\r\n"), 9, limits).requests.size(), 1u);
  EXPECT_EQ(parse(get("X: " + std::string(200, 'a') + "\r\n"), 9, limits).status, 431);
  EXPECT_EQ(parse("GET /" + std::string(300, 'a'), 9, limits).status, 431);
  EXPECT_EQ(parse(post("Content-Length: 10\r\n", "0123456789"), 9, limits).requests.size(), 1u);
  EXPECT_EQ(parse(post("Content-Length: 11\r\n", ""), 9, limits).status, 413);
  EXPECT_EQ(parse(post("Transfer-Encoding: chunked\r\n", "6\r\nabcdef\r\n5\r\n"), 9, limits).status, 413);
  std::string many;
  for (int i = 0; i < 300; ++i) many += "A: b\r\n";
  EXPECT_EQ(parse(get(many)).status, 431);
}

}  // namespace
}  // namespace cresset::net
