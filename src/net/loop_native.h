// What a Loop is made of, for the files of net/ that open sockets on it.
#pragma once

#include <memory>

#include "net/loop.h"

namespace boost::asio {
class io_context;
}

namespace cresset::net {

struct Loop::Native {
  Native();
  ~Native();

  struct Parts;
  std::unique_ptr<Parts> parts;
  boost::asio::io_context& io;
};

}  // namespace cresset::net
