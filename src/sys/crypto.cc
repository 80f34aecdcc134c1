#include "sys/crypto.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"

namespace cresset::sys {

namespace {

// Asked for once: finding it among OpenSSL's providers costs more than hashing a key.
const EVP_MD* sha256_method() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return method != nullptr ? method : EVP_sha256();
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = nullptr;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->context = EVP_MD_CTX_new();
  CHECK(state_->context != nullptr);
  CHECK(EVP_DigestInit_ex(state_->context, sha256_method(), nullptr) == 1);
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(state_->context);
}

void Sha256::update(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

void Sha256::update(std::string_view bytes) {
  update(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

Digest Sha256::finish() {
  Digest digest{};
  unsigned length = 0;
  CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &length) == 1);
  CHECK(length == digest.size());
  return digest;
}

Digest sha256(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

Digest sha256(std::string_view bytes) {
  return sha256(std::as_bytes(std::span(bytes.data(), bytes.size())));
}

// GMAC (NIST SP 800-38D) with a fixed key and nonce: GHASH is a polynomial over GF(2^128), so two texts of
// n blocks have the same sum with probability n / 2^128, and CPUs have an instruction for it.
Checksum checksum(std::span<const std::byte> bytes) {
  constexpr unsigned char kKey[16] = {'c', 'r', 'e', 's', 's', 'e', 't', ' ',
                                      'c', 'h', 'e', 'c', 'k', 's', 'u', 'm'};
  constexpr unsigned char kNonce[12] = {};
  constexpr size_t kMost = size_t{1} << 30;  // OpenSSL counts in int
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                EVP_CIPHER_CTX_free);
  CHECK(context != nullptr);
  CHECK(EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, kKey, kNonce) == 1);
  int length = 0;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kMost));
    CHECK(EVP_EncryptUpdate(context.get(), nullptr, &length,
                            reinterpret_cast<const unsigned char*>(part.data()),
                            static_cast<int>(part.size())) == 1);
    bytes = bytes.subspan(part.size());
  }
  Checksum sum{};
  CHECK(EVP_EncryptFinal_ex(context.get(), nullptr, &length) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(sum.size()), sum.data()) ==
        1);
  return sum;
}

std::string to_hex(std::span<const unsigned char> bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const unsigned char b : bytes) {
    out += kHex[b >> 4];
    out += kHex[b & 15];
  }
  return out;
}

}  // namespace cresset::sys
