// Env: the operating system as one interface: clock, entropy and files. Everything above takes an Env, so the
// whole program runs against a simulated twin (testing/sim_env.h) from one seed. Sockets are in net/.
// Thread-safe. Paths are plain strings; errors name the path.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cresset::sys {

using Instant = std::chrono::nanoseconds;  // since an unspecified start; never goes back

// A file's bytes, mapped read-only (or held in memory by the simulated twin); valid while this lives.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual std::span<const std::byte> bytes() const = 0;
  // Tells the system that these pages are not needed soon (they stay readable).
  virtual void release_pages() const = 0;
  // Copies to.size() bytes of a part of bytes() that begins at `from`, without mapping their pages.
  virtual void copy(const std::byte* from, std::span<std::byte> to) const = 0;
};

// An append-only handle for writing one file. Nothing is durable before sync() returned.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Status append(std::string_view bytes) = 0;
  virtual Status sync() = 0;
  virtual uint64_t size() const = 0;
};

// Held until it dies; also let go of when the process ends, however it ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct FileStat {
  uint64_t size = 0;
  bool is_directory = false;
  int64_t modified_unix_s = 0;
};

class Env {
 public:
  virtual ~Env() = default;

  virtual Instant now() = 0;           // monotonic
  virtual int64_t unix_time_ms() = 0;  // wall clock
  virtual void fill_random(std::span<std::byte> out) = 0;
  uint64_t random_u64();
  // `bytes` random bytes as lower-case hex.
  std::string random_hex(size_t bytes);

  virtual Result<FileStat> stat(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual Result<std::string> read_file(const std::string& path, uint64_t bytes_max) = 0;
  virtual Result<std::unique_ptr<MappedFile>> map(const std::string& path) = 0;
  // Opens for appending; creates it; `truncate` starts at zero.
  virtual Result<std::unique_ptr<WritableFile>> open_append(const std::string& path, bool truncate) = 0;
  // Whole or not at all: writes beside, syncs, renames, syncs the directory. Mode 0600 when `is_private`.
  virtual Status write_atomic(const std::string& path, std::string_view bytes, bool is_private = false) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  // Durable when it returns: the file does not come back after a power cut.
  virtual Status remove(const std::string& path) = 0;
  virtual Status make_directories(const std::string& path) = 0;
  // Names (not paths) in a directory, sorted; an absent directory is kNotFound.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
  // Holds `path` (created; it stays) against every other holder, in this process or another. Without `wait` a
  // held lock is kUnavailable. An Env without files has none: kUnsupported.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path, bool wait);
  // Free bytes on the file system that holds `path` (or its nearest existing parent).
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
};

// The real one. One per process, made in main and passed down.
std::unique_ptr<Env> make_posix_env();

}  // namespace cresset::sys
