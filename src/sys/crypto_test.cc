#include "sys/crypto.h"

#include <gtest/gtest.h>

#include <string>

namespace cresset::sys {
namespace {

Checksum checksum_of(const std::string& text) {
  return checksum(std::as_bytes(std::span(text)));
}

TEST(Checksum, IsGmacAsOthersComputeIt) {
  // python3 cryptography: AESGCM(b"cresset checksum").encrypt(bytes(12), b"", data), its 16 bytes.
  EXPECT_EQ(to_hex(checksum_of("")), "3cea1b70d5b1e8c35fbfd9da8182a6d2");
  EXPECT_EQ(to_hex(checksum_of("the quick brown fox")), "70d830c5698133978b10cfde3201acc8");
  EXPECT_EQ(to_hex(checksum_of(std::string(1u << 20, 'x'))), "1ac3436783e966b4bfcae7aa930ad1fa");
}

TEST(Checksum, ChangesWithEveryBitAndWithTheLength) {
  std::string text(1000, '\0');
  const Checksum whole = checksum_of(text);
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ 1 << bit % 8);
    EXPECT_NE(checksum_of(text), whole) << bit;
    text[bit / 8] = '\0';
  }
  EXPECT_NE(checksum_of(text.substr(1)), whole);
}

}  // namespace
}  // namespace cresset::sys
