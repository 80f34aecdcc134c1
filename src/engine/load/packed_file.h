// PackedFile: the packed form of a model's weights in a file, so that the next start maps it instead of
// packing again.
//
//   "CRSPACK\n"  u32 version (kPackedVersion)  u32 matrices  u64 file size
//   SHA-256 of the model's identity
//   for each matrix: u32 tensor (its index in the model file)  u32 format  u64 rows  u64 columns  u64 offset
//   for each MiB of each matrix: its checksum, 16 bytes
//   SHA-256 of all of the above
//   the matrices' bytes, each aligned to 64
//
// Little-endian; numbers as this machine has them, which the version's bytes would show otherwise. A file is
// a copy of what can be made again: whatever is wrong with it, it is not used, and nobody is told but the
// caller. Everything is read and checked before use, by all of the pool's threads, which also brings the
// pages in. The sums find accidents; they keep out nobody who may write in the directory, and who may, may
// replace models. Immutable once open; the matrices that it gives are views into it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/kernel/packed.h"
#include "engine/run/pool.h"
#include "sys/crypto.h"
#include "sys/env.h"

namespace cresset::engine {

// One matrix of a packed model, in the order in which the weights are loaded.
struct PackedPart {
  uint32_t tensor = 0;  // index in the model file's directory
  Format format = Format::kF32;
  size_t rows = 0, columns = 0;
  std::span<const std::byte> bytes;
};

class PackedFile {
 public:
  // `model`: what the file must have been made of. Absent: kNotFound; of another model or version:
  // kUnsupported; damaged: kCorrupt.
  static Result<std::unique_ptr<PackedFile>> open(sys::Env& env, const std::string& path,
                                                  const sys::Digest& model, Pool& pool);

  const std::vector<PackedPart>& parts() const { return parts_; }

 private:
  class Reader;  // packed_file.cc

  std::unique_ptr<sys::MappedFile> file_;
  std::vector<PackedPart> parts_;
};

// Writes `parts` to `path`: under another name, synced, renamed, so that a crash leaves the old file or the
// new one. kCancelled when `is_stopped` said so, kLimit when the disk would be nearly full; then, as after
// any error, nothing is left behind.
Status write_packed_file(sys::Env& env, const std::string& path, const sys::Digest& model,
                         const std::vector<PackedPart>& parts, const std::function<bool()>& is_stopped);

}  // namespace cresset::engine
