// NoFilesEnv: an Env without any file, for tests of what only needs a clock or entropy.
#pragma once

#include <string>

#include "sys/env.h"

namespace cresset::testing {

class NoFilesEnv : public sys::Env {
 public:
  int64_t unix_time_ms() override { return 0; }
  void fill_random(std::span<std::byte>) override {}

  Result<sys::FileStat> stat(const std::string& path) override { return no_file(path); }
  bool exists(const std::string&) override { return false; }
  Result<std::string> read_file(const std::string& path, uint64_t) override { return no_file(path); }
  Result<std::unique_ptr<sys::MappedFile>> map(const std::string& path) override { return no_file(path); }
  Result<std::unique_ptr<sys::WritableFile>> open_append(const std::string& path, bool) override {
    return no_file(path);
  }
  Status write_atomic(const std::string& path, std::string_view, bool) override { return no_file(path); }
  Status rename(const std::string& from, const std::string&) override { return no_file(from); }
  Status remove(const std::string& path) override { return no_file(path); }
  Status make_directories(const std::string& path) override { return no_file(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return no_file(path); }
  Result<uint64_t> free_bytes(const std::string& path) override { return no_file(path); }

 private:
  static tl::unexpected<Error> no_file(const std::string& path) {
    return fail(Code::kNotFound, "no files here", path);
  }
};

}  // namespace cresset::testing
