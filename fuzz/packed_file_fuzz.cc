// Kept packed weights of any bytes: they open or they do not, and what opened lies within the file. The
// directory's digest is put right, so that what it guards is reached.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "engine/load/packed_file.h"
#include "testing/sim_env.h"

using namespace cresset;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHeader = 56, kCountAt = 12, kSizeAt = 16, kEntry = 32;
  if (size < kHeader + 2) return 0;
  // The last two bytes: how many sums there are.
  const size_t sums = data[size - 1] % 8;
  std::string bytes(reinterpret_cast<const char*>(data), size - 2);
  std::memcpy(bytes.data(), "CRSPACK\n", 8);
  std::memcpy(bytes.data() + 8, &engine::kPackedVersion, 4);
  const uint64_t length = bytes.size();
  std::memcpy(bytes.data() + kSizeAt, &length, 8);
  const sys::Digest model{};
  std::memcpy(bytes.data() + kSizeAt + 8, model.data(), model.size());
  uint32_t count;
  std::memcpy(&count, bytes.data() + kCountAt, 4);
  const size_t end = kHeader + size_t{count} * kEntry + sums * 16;
  if (end <= bytes.size() && bytes.size() - end >= 32) {
    const auto digest = sys::sha256(std::string_view(bytes).substr(0, end));
    std::memcpy(bytes.data() + end, digest.data(), digest.size());
  }
  testing::SimEnv env(1);
  env.put_file("/x.packed", bytes);
  engine::Pool pool(1);
  const auto file = engine::PackedFile::open(env, "/x.packed", model, pool);
  if (!file) return 0;
  uint64_t total = 0;
  for (const auto& part : (*file)->parts()) {
    const engine::PackedMatrix view(part.format, part.rows, part.columns, part.bytes);
    total += view.bytes();
  }
  if (total > bytes.size()) std::abort();
  return 0;
}
