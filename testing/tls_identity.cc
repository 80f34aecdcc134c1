#include "testing/tls_identity.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/check.h"

namespace cresset::testing {
namespace {

void add_extension(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
  CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TlsIdentity::TlsIdentity() {
  std::string path = (std::filesystem::temp_directory_path() / "cresset_tls_XXXXXX").string();
  CHECK(::mkdtemp(path.data()) != nullptr);
  directory_ = path;
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  CHECK(key != nullptr && certificate != nullptr);
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  const unsigned char common[] = "cresset test";
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common, -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate, NID_subject_alt_name, "IP:127.0.0.1");
  CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  std::FILE* file = std::fopen(certificate_file().c_str(), "w");
  CHECK(file != nullptr && PEM_write_X509(file, certificate) == 1);
  std::fclose(file);
  file = std::fopen(key_file().c_str(), "w");
  CHECK(file != nullptr && PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TlsIdentity::~TlsIdentity() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

struct TlsClient::Native {
  explicit Native(uint16_t port) : socket(port) {}
  SocketClient socket;
  SSL_CTX* context = nullptr;
  SSL* ssl = nullptr;
  bool is_open = false;
  std::string held;
};

TlsClient::TlsClient(uint16_t port, int version_max) : native_(std::make_unique<Native>(port)) {
  native_->context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(native_->context, SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_security_level(native_->context, 0);
  SSL_CTX_set_max_proto_version(native_->context, version_max);
  native_->ssl = SSL_new(native_->context);
  constexpr unsigned char kOffered[] = "\x02h2\x08http/1.1";
  SSL_set_alpn_protos(native_->ssl, kOffered, sizeof kOffered - 1);
  const timeval wait{.tv_sec = SocketClient::kWait.count() / 1000, .tv_usec = 0};
  ::setsockopt(native_->socket.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  SSL_set_fd(native_->ssl, native_->socket.descriptor());
  native_->is_open = SSL_connect(native_->ssl) == 1;
}

TlsClient::~TlsClient() {
  SSL_free(native_->ssl);
  SSL_CTX_free(native_->context);
}

bool TlsClient::is_open() const {
  return native_->is_open;
}
std::string TlsClient::version() const {
  return SSL_get_version(native_->ssl);
}

std::string TlsClient::protocol() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(native_->ssl, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

bool TlsClient::send(std::string_view bytes) {
  return SSL_write(native_->ssl, bytes.data(), static_cast<int>(bytes.size())) ==
         static_cast<int>(bytes.size());
}

std::string TlsClient::read_until(std::string_view mark) {
  size_t at = 0;
  size_t looked_at = 0;
  while ((at = native_->held.find(mark, looked_at)) == std::string::npos) {
    looked_at = native_->held.size() - std::min(native_->held.size(), mark.size());
    char buffer[16384];
    const int n = SSL_read(native_->ssl, buffer, sizeof buffer);
    if (n <= 0) return std::exchange(native_->held, {});
    native_->held.append(buffer, static_cast<size_t>(n));
  }
  std::string out = native_->held.substr(0, at + mark.size());
  native_->held.erase(0, at + mark.size());
  return out;
}

bool TlsClient::ends_cleanly() {
  char buffer[16384];
  int n = 0;
  while ((n = SSL_read(native_->ssl, buffer, sizeof buffer)) > 0) {
  }
  return SSL_get_error(native_->ssl, n) == SSL_ERROR_ZERO_RETURN;
}

void TlsClient::close() {
  native_->socket.close();
}

}  // namespace cresset::testing
