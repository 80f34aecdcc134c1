#include "net/tls.h"

#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>

namespace cresset::net {
namespace {

namespace ssl = boost::asio::ssl;

// We speak HTTP/1.1 alone; a client that offers it among others hears so.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                    unsigned int offered_length, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  const int outcome =
      SSL_select_next_proto(&chosen, out_length, kHttp11, sizeof kHttp11 - 1, offered, offered_length);
  *out = chosen;
  return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

Result<std::shared_ptr<ssl::context>> open_tls(const std::string& certificate_file,
                                               const std::string& key_file) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native,
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // an idle connection keeps no 16 KiB records
  SSL_CTX_set_alpn_select_cb(native, choose_protocol, nullptr);
  boost::system::error_code ec;
  // OpenSSL would ask at the terminal for the passphrase of an encrypted key.
  context->set_password_callback([](size_t, ssl::context::password_purpose) { return std::string(); }, ec);
  context->use_certificate_chain_file(certificate_file, ec);
  if (ec) {
    return fail(Code::kInvalid, "cannot use the TLS certificate chain (PEM): " + ec.message(),
                certificate_file);
  }
  context->use_private_key_file(key_file, ssl::context::pem, ec);  // and compares it with the certificate
  if (ec) {
    return fail(Code::kInvalid, "cannot use the TLS private key (PEM, without a passphrase): " + ec.message(),
                key_file);
  }
  return context;
}

}  // namespace cresset::net
