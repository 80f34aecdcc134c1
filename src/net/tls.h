// TLS for the server: certificate and key from PEM files, TLS 1.2 and later.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace boost::asio::ssl {
class context;
}

namespace cresset::net {

// Reads both files and checks that they belong together; an error names the file.
Result<std::shared_ptr<boost::asio::ssl::context>> open_tls(const std::string& certificate_file,
                                                            const std::string& key_file);

}  // namespace cresset::net
