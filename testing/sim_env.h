// SimEnv: the simulated twin of sys::Env. A virtual clock, entropy from one seed, files in memory, and faults
// on demand: the n-th operation that changes something fails, or is cut by a crash in its middle.
//
// After a crash everything fails until restart(), which loses what was not synced: in part, as the seed
// decides, and with a torn end. What write_atomic, rename and remove completed stays. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>

#include "sys/env.h"

namespace cresset::testing {

class SimEnv final : public sys::Env {
 public:
  explicit SimEnv(uint64_t seed);
  ~SimEnv() override;

  void advance(std::chrono::nanoseconds by);
  // A file that has always been there.
  void put_file(const std::string& path, std::string bytes);
  // Every path with its bytes as they are now.
  std::map<std::string, std::string> files() const;

  // Operations that change something (append, sync, write_atomic, rename, remove, open_append,
  // make_directories) are counted from 1.
  size_t operations() const;
  // The n-th operation from now gives kIo and changes nothing; the ones after it work. 0: none.
  void fail_operation(size_t n);
  // The n-th operation from now happens in part, and the machine stops. 0: none.
  void crash_operation(size_t n);
  bool has_crashed() const;
  void restart();
  void set_free_bytes(uint64_t bytes);

  sys::Instant now() override;
  int64_t unix_time_ms() override;
  void fill_random(std::span<std::byte> out) override;
  Result<sys::FileStat> stat(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::string> read_file(const std::string& path, uint64_t bytes_max) override;
  Result<std::unique_ptr<sys::MappedFile>> map(const std::string& path) override;
  Result<std::unique_ptr<sys::WritableFile>> open_append(const std::string& path, bool truncate) override;
  Status write_atomic(const std::string& path, std::string_view bytes, bool is_private) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status make_directories(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Result<std::unique_ptr<sys::FileLock>> lock(const std::string& path, bool wait) override;
  Result<uint64_t> free_bytes(const std::string& path) override;

 private:
  struct Node;
  class Handle;
  class Held;
  enum class Fate { kWorks, kFails, kCrashes };

  Fate next_fate();  // counts one operation
  bool toss();
  Status torn(const std::string& path) const;
  std::shared_ptr<Node> find(const std::string& path) const;
  std::shared_ptr<Node> make(const std::string& path);

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<Node>> nodes_;
  std::set<std::string> directories_, locks_;
  std::chrono::nanoseconds clock_{0};
  size_t operations_ = 0, fail_at_ = 0, crash_at_ = 0;  // 0: never
  bool crashed_ = false;
  uint64_t free_bytes_ = uint64_t{1} << 50;
};

}  // namespace cresset::testing
