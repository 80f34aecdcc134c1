#include "net/response_parser.h"

#include <gtest/gtest.h>

#include <vector>

namespace cresset::net {
namespace {

struct Parsed {
  int status = 0;
  Headers headers;
  std::string body, fault;
  size_t used = 0;
  bool is_whole = false, keeps_alive = false;
};

// Gives the bytes as a socket would, `step` at a time, and then the end.
Parsed parse(std::string_view bytes, size_t step, bool is_head_request = false,
             size_t head_bytes_max = 4096) {
  ResponseParser parser(head_bytes_max);
  parser.begin(is_head_request);
  Parsed out;
  while (out.used < bytes.size() && parser.state() != ResponseParser::State::kDone) {
    const auto piece = parser.take(bytes.substr(out.used, step));
    if (!piece) {
      out.fault = piece.error().what;
      return out;
    }
    out.used += piece->used;
    out.body += piece->body;
  }
  out.is_whole = parser.end();
  out.status = parser.status();
  out.headers = parser.headers();
  out.keeps_alive = parser.keeps_alive();
  return out;
}

// However the bytes are cut, they mean the same.
Parsed parse(std::string_view bytes) {
  Parsed whole = parse(bytes, bytes.size());
  for (const size_t step : {1, 2, 3, 5, 17}) {
    const Parsed cut = parse(bytes, step);
    EXPECT_EQ(cut.fault.empty(), whole.fault.empty()) << step << bytes;
    if (!cut.fault.empty()) continue;
    EXPECT_EQ(cut.body, whole.body) << step;
    EXPECT_EQ(cut.used, whole.used) << step;
    EXPECT_EQ(cut.headers, whole.headers) << step;
    EXPECT_EQ(cut.is_whole, whole.is_whole) << step;
  }
  return whole;
}

TEST(ResponseParser, ABodyEndsWhereItsLengthSays) {
  const Parsed p = parse("HTTP/1.1 200 OK\r\nX-A:  b c \r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 ");
  EXPECT_EQ(p.status, 200);
  EXPECT_EQ(find_header(p.headers, "x-a"), "b c");
  EXPECT_EQ(p.body, "hello");
  EXPECT_TRUE(p.is_whole && p.keeps_alive);
  EXPECT_FALSE(parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell").is_whole);
}

TEST(ResponseParser, AChunkedBodyEndsWithItsLastChunk) {
  const Parsed p = parse(
      "HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\nConnection: x, "
      "Close\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
  EXPECT_EQ(p.body, "hello");
  EXPECT_TRUE(p.is_whole);
  EXPECT_FALSE(p.keeps_alive);
  EXPECT_FALSE(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n").is_whole);
}

TEST(ResponseParser, WithoutALengthTheBodyGoesOnToTheEnd) {
  const Parsed p = parse("HTTP/1.0 200 OK\r\n\r\nhello");
  EXPECT_EQ(p.body, "hello");
  EXPECT_TRUE(p.is_whole);
  EXPECT_FALSE(p.keeps_alive);
}

TEST(ResponseParser, SomeAnswersHaveNoBodyAndSomeWordsAreNoAnswer) {
  EXPECT_TRUE(parse("HTTP/1.1 204 No Content\r\n\r\n").is_whole);
  EXPECT_TRUE(parse("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 100, true).is_whole);
  const Parsed p =
      parse("HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(p.status, 404);
  EXPECT_EQ(find_header(p.headers, "x-early"), "");
  EXPECT_TRUE(p.is_whole);
}

TEST(ResponseParser, WhatSaysItsEndTwiceOrIsNoHttpIsRefused) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const std::string& bytes : std::vector<std::string>{
           "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
           "HTTP/1.1 101 Switching\r\n\r\n", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
           ok + "Content-Length: -1\r\n\r\n", ok + "Content-Length: 1x\r\n\r\n",
           ok + "Content-Length:\r\n\r\n", ok + "Content-Length: 99999999999999999999\r\n\r\n",
           ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", ok + "X-A: b\r\n folded\r\n\r\n",
           ok + "X A: b\r\n\r\n", ok + ": b\r\n\r\n", ok + "no colon\r\n\r\n", ok + "X-A: a\rb\r\n\r\n",
           ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    EXPECT_NE(parse(bytes).fault, "") << bytes;
  }
}

TEST(ResponseParser, AHeadHasALimit) {
  const std::string head = "HTTP/1.1 200 OK\r\nX: " + std::string(5000, 'x') + "\r\n\r\n";
  EXPECT_NE(parse(head, head.size()).fault, "");
  EXPECT_NE(parse(head, 100).fault, "");
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 300; ++i) many += "X: 1\r\n";
  EXPECT_NE(parse(many + "\r\n", 100).fault, "");
}

}  // namespace
}  // namespace cresset::net
