// The GGUF loader on any bytes: it opens or it refuses, and what it opened can be read to the last byte.
#include <cstddef>
#include <cstdint>

#include "testing/gguf_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = cresset::engine::Gguf::open(std::as_bytes(std::span(data, size)), "fuzz");
  if (file) cresset::testing::walk_gguf(*file);
  return 0;
}
