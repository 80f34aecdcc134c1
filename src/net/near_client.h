// NearClient: the client's way to servers on this machine (attached engines, another gateway): plain HTTP/1.1
// on kept connections, straight on the event loop. For these libcurl's own work is a third of what a request
// costs; everything that leaves the machine goes by libcurl (client.cc), with TLS, proxies and HTTP/2.
//
// client.cc owns one and sends requests here by their place. At most ClientOptions::connections_max
// connections; more requests wait. Loop thread only.
#pragma once

#include <memory>

#include "net/client.h"
#include "net/place.h"

namespace cresset::net {

class NearClient {
 public:
  static std::unique_ptr<NearClient> open(Loop& loop, const ClientOptions& options);
  virtual ~NearClient() = default;

  // `place` is near. kInvalid: a header that would be read as two.
  virtual Result<std::shared_ptr<ClientCall>> start(std::shared_ptr<const Place> place, ClientRequest request,
                                                    std::shared_ptr<Receiver> receiver) = 0;
};

}  // namespace cresset::net
