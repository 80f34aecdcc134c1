// TlsIdentity: a self-signed certificate for 127.0.0.1 and its key as PEM files in a directory of their own,
// gone with this object. TlsClient: a blocking TLS client that trusts anybody.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "testing/socket_client.h"

namespace cresset::testing {

class TlsIdentity {
 public:
  TlsIdentity();
  ~TlsIdentity();
  TlsIdentity(const TlsIdentity&) = delete;
  TlsIdentity& operator=(const TlsIdentity&) = delete;

  std::string certificate_file() const { return directory_ + "/certificate.pem"; }
  std::string key_file() const { return directory_ + "/key.pem"; }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

class TlsClient {
 public:
  // `version_max`: OpenSSL's number, 0x0302 for TLS 1.1; 0: the newest.
  explicit TlsClient(uint16_t port, int version_max = 0);
  ~TlsClient();

  bool is_open() const;          // the handshake succeeded
  std::string version() const;   // "TLSv1.3"
  std::string protocol() const;  // what ALPN agreed on, of "h2" and "http/1.1"
  bool send(std::string_view bytes);
  std::string read_until(std::string_view mark);
  bool ends_cleanly();  // with close_notify
  void close();         // the socket, without a word

 private:
  struct Native;
  std::unique_ptr<Native> native_;
};

}  // namespace cresset::testing
