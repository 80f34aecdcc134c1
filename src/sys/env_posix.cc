// Env over POSIX. Every call that fails gives the path and the system's own reason.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "base/check.h"
#include "sys/env.h"

namespace cresset::sys {
namespace {

tl::unexpected<Error> os_error(const std::string& path, const char* doing) {
  const int number = errno;
  const Code code = number == ENOENT                      ? Code::kNotFound
                    : number == EEXIST                    ? Code::kExists
                    : number == EACCES || number == EPERM ? Code::kRefused
                                                          : Code::kIo;
  return fail(code, std::string("cannot ") + doing + ": " + std::strerror(number), path);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class PosixMapped final : public MappedFile {
 public:
  PosixMapped(int fd, void* data, size_t size) : fd_(fd), data_(data), size_(size) {}
  ~PosixMapped() override {
    if (size_ > 0) ::munmap(data_, size_);
  }
  std::span<const std::byte> bytes() const override { return {static_cast<const std::byte*>(data_), size_}; }
  void release_pages() const override {
    if (size_ > 0) ::madvise(data_, size_, MADV_DONTNEED);
  }
  void copy(const std::byte* from, std::span<std::byte> to) const override {
    const off_t offset = from - static_cast<const std::byte*>(data_);
    const ssize_t n = ::pread(fd_.get(), to.data(), to.size(), offset);
    if (n != static_cast<ssize_t>(to.size())) std::memcpy(to.data(), from, to.size());
  }

 private:
  Descriptor fd_;
  void* data_;
  size_t size_;
};

Status write_all(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return os_error(path, "write");
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

class PosixWritable final : public WritableFile {
 public:
  PosixWritable(int fd, uint64_t size, std::string path) : fd_(fd), size_(size), path_(std::move(path)) {}
  Status append(std::string_view bytes) override {
    CRESSET_TRY_STATUS(write_all(fd_.get(), path_, bytes));
    size_ += bytes.size();
    return {};
  }
  Status sync() override {
    if (::fsync(fd_.get()) != 0) return os_error(path_, "sync");
    return {};
  }
  uint64_t size() const override { return size_; }

 private:
  Descriptor fd_;
  uint64_t size_;
  std::string path_;
};

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}

 private:
  Descriptor fd_;  // closing it lets go
};

Status sync_directory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const Descriptor fd(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) return os_error(parent, "sync the directory");
  return {};
}

class PosixEnv final : public Env {
 public:
  Instant now() override {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
  }
  int64_t unix_time_ms() override {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1000000;
  }
  void fill_random(std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t n = ::getrandom(out.data(), std::min<size_t>(out.size(), 256), 0);
      if (n < 0 && errno == EINTR) continue;
      CHECK(n > 0);
      out = out.subspan(static_cast<size_t>(n));
    }
  }
  Result<FileStat> stat(const std::string& path) override {
    struct ::stat s{};
    if (::stat(path.c_str(), &s) != 0) return os_error(path, "look at the file");
    return FileStat{static_cast<uint64_t>(s.st_size), S_ISDIR(s.st_mode), static_cast<int64_t>(s.st_mtime)};
  }
  bool exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }
  Result<std::string> read_file(const std::string& path, uint64_t bytes_max) override {
    const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return os_error(path, "open");
    std::string out;
    char buffer[65536];
    for (;;) {
      const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error(path, "read");
      if (n == 0) return out;
      out.append(buffer, static_cast<size_t>(n));
      if (out.size() > bytes_max) {
        return fail(Code::kLimit,
                    "the file is larger than the limit of " + std::to_string(bytes_max) + " bytes", path);
      }
    }
  }
  Result<std::unique_ptr<MappedFile>> map(const std::string& path) override {
    Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return os_error(path, "open");
    struct ::stat s{};
    if (::fstat(fd.get(), &s) != 0) return os_error(path, "look at the file");
    if (!S_ISREG(s.st_mode)) return fail(Code::kInvalid, "not a regular file", path);
    const auto size = static_cast<size_t>(s.st_size);
    if (size == 0) return std::unique_ptr<MappedFile>(new PosixMapped(-1, nullptr, 0));
    void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) return os_error(path, "map");
    return std::unique_ptr<MappedFile>(new PosixMapped(fd.release(), data, size));
  }
  Result<std::unique_ptr<WritableFile>> open_append(const std::string& path, bool truncate) override {
    Descriptor fd(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (truncate ? O_TRUNC : 0), 0644));
    if (fd.get() < 0) return os_error(path, "open for writing");
    struct ::stat s{};
    if (::fstat(fd.get(), &s) != 0) return os_error(path, "look at the file");
    return std::unique_ptr<WritableFile>(
        new PosixWritable(fd.release(), static_cast<uint64_t>(s.st_size), path));
  }
  Status write_atomic(const std::string& path, std::string_view bytes, bool is_private) override {
    const std::string temporary = path + "." + random_hex(4) + ".tmp";
    {
      const Descriptor fd(
          ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, is_private ? 0600 : 0644));
      if (fd.get() < 0) return os_error(temporary, "create");
      Status status = write_all(fd.get(), temporary, bytes);
      if (status && ::fsync(fd.get()) != 0) status = os_error(temporary, "sync");
      if (!status) {
        ::unlink(temporary.c_str());
        return status;
      }
    }
    return rename(temporary, path);
  }
  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return os_error(from, "rename");
    return sync_directory(to);
  }
  Status remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return os_error(path, "remove");
    return sync_directory(path);
  }
  Status make_directories(const std::string& path) override {
    std::error_code ec;
    std::filesystem::create_directories(path, ec);
    if (ec) return fail(Code::kIo, "cannot make the directory: " + ec.message(), path);
    return {};
  }
  Result<std::vector<std::string>> list(const std::string& path) override {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) return os_error(path, "list");
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, bool wait) override {
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (fd.get() < 0) return os_error(path, "open the lock");
    while (::flock(fd.get(), LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return fail(Code::kUnavailable, "held by another process", path);
      return os_error(path, "lock");
    }
    return std::unique_ptr<FileLock>(new PosixLock(fd.release()));
  }
  Result<uint64_t> free_bytes(const std::string& path) override {
    std::filesystem::path p(path.empty() ? "." : path);
    while (!p.empty() && !exists(p.string()) && p.has_parent_path() && p != p.parent_path())
      p = p.parent_path();
    struct ::statvfs s{};
    if (::statvfs(p.empty() ? "." : p.c_str(), &s) != 0) return os_error(path, "measure free space");
    return static_cast<uint64_t>(s.f_bavail) * s.f_frsize;
  }
};

}  // namespace

std::unique_ptr<Env> make_posix_env() {
  return std::make_unique<PosixEnv>();
}

}  // namespace cresset::sys
