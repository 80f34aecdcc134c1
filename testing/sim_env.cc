#include "testing/sim_env.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace cresset::testing {
namespace {

constexpr int64_t kStartUnixMs = 1'800'000'000'000;  // an ordinary day

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

class SimMapped final : public sys::MappedFile {
 public:
  explicit SimMapped(const std::string& bytes)
      : size_(bytes.size()), pages_((size_ + sizeof(Page) - 1) / sizeof(Page)) {
    if (size_ > 0) std::memcpy(pages_.data(), bytes.data(), size_);
  }
  std::span<const std::byte> bytes() const override { return std::as_bytes(std::span(pages_)).first(size_); }
  void release_pages() const override {}
  void copy(const std::byte* from, std::span<std::byte> to) const override {
    std::memcpy(to.data(), from, to.size());
  }

 private:
  struct alignas(4096) Page {
    std::byte bytes[4096];
  };
  size_t size_;
  std::vector<Page> pages_;  // mapped files begin on a page
};

}  // namespace

struct SimEnv::Node {
  std::string bytes;
  size_t durable = 0;
  bool entry_durable = false;  // its directory entry survives a crash
  int64_t modified_unix_s = 0;
};

class SimEnv::Handle final : public sys::WritableFile {
 public:
  Handle(SimEnv& env, std::shared_ptr<Node> node, std::string path)
      : env_(env), node_(std::move(node)), path_(std::move(path)) {}
  Status append(std::string_view bytes) override {
    const std::scoped_lock hold(env_.mutex_);
    const Fate fate = env_.next_fate();
    if (fate == Fate::kWorks) {
      node_->bytes += bytes;
      node_->modified_unix_s = (kStartUnixMs + env_.clock_.count() / 1'000'000) / 1000;
      return {};
    }
    if (fate == Fate::kCrashes) node_->bytes += bytes.substr(0, env_.random_() % (bytes.size() + 1));
    return env_.torn(path_);
  }
  Status sync() override {
    const std::scoped_lock hold(env_.mutex_);
    const Fate fate = env_.next_fate();
    if (fate == Fate::kWorks || (fate == Fate::kCrashes && env_.toss())) {
      node_->durable = node_->bytes.size();
      node_->entry_durable = true;
    }
    return fate == Fate::kWorks ? Status{} : env_.torn(path_);
  }
  uint64_t size() const override {
    const std::scoped_lock hold(env_.mutex_);
    return node_->bytes.size();
  }

 private:
  SimEnv& env_;
  std::shared_ptr<Node> node_;
  std::string path_;
};

class SimEnv::Held final : public sys::FileLock {
 public:
  Held(SimEnv& env, std::string path) : env_(env), path_(std::move(path)) {}
  ~Held() override {
    const std::scoped_lock hold(env_.mutex_);
    env_.locks_.erase(path_);
  }

 private:
  SimEnv& env_;
  std::string path_;
};

SimEnv::SimEnv(uint64_t seed) : random_(seed) {}
SimEnv::~SimEnv() = default;

void SimEnv::advance(std::chrono::nanoseconds by) {
  const std::scoped_lock hold(mutex_);
  clock_ += by;
}

void SimEnv::put_file(const std::string& path, std::string bytes) {
  const std::scoped_lock hold(mutex_);
  const auto node = make(path);
  node->durable = bytes.size();
  node->bytes = std::move(bytes);
  node->entry_durable = true;
}

std::map<std::string, std::string> SimEnv::files() const {
  const std::scoped_lock hold(mutex_);
  std::map<std::string, std::string> out;
  for (const auto& [path, node] : nodes_) out[path] = node->bytes;
  return out;
}

size_t SimEnv::operations() const {
  const std::scoped_lock hold(mutex_);
  return operations_;
}

void SimEnv::fail_operation(size_t n) {
  const std::scoped_lock hold(mutex_);
  fail_at_ = operations_ + n;
}

void SimEnv::crash_operation(size_t n) {
  const std::scoped_lock hold(mutex_);
  crash_at_ = operations_ + n;
}

bool SimEnv::has_crashed() const {
  const std::scoped_lock hold(mutex_);
  return crashed_;
}

void SimEnv::restart() {
  const std::scoped_lock hold(mutex_);
  crashed_ = false;
  fail_at_ = crash_at_ = 0;
  locks_.clear();
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    Node& node = *it->second;
    if (!node.entry_durable && toss()) {
      it = nodes_.erase(it);
      continue;
    }
    if (node.bytes.size() > node.durable) {
      node.bytes.resize(node.durable + random_() % (node.bytes.size() - node.durable + 1));
      // The file system may have given the length before the data: the end reads as zeros.
      if (node.bytes.size() > node.durable && toss()) {
        const size_t from = node.durable + random_() % (node.bytes.size() - node.durable);
        std::fill(node.bytes.begin() + static_cast<std::ptrdiff_t>(from), node.bytes.end(), '\0');
      }
    }
    node.durable = node.bytes.size();
    node.entry_durable = true;
    ++it;
  }
}

void SimEnv::set_free_bytes(uint64_t bytes) {
  const std::scoped_lock hold(mutex_);
  free_bytes_ = bytes;
}

SimEnv::Fate SimEnv::next_fate() {
  if (crashed_) return Fate::kFails;
  ++operations_;
  if (operations_ == crash_at_) {
    crashed_ = true;
    return Fate::kCrashes;
  }
  return operations_ == fail_at_ ? Fate::kFails : Fate::kWorks;
}

bool SimEnv::toss() {
  return (random_() & 1) != 0;
}

Status SimEnv::torn(const std::string& path) const {
  return fail(Code::kIo, crashed_ ? "the simulated machine has stopped" : "a simulated fault", path);
}

std::shared_ptr<SimEnv::Node> SimEnv::find(const std::string& path) const {
  const auto it = nodes_.find(path);
  return it == nodes_.end() ? nullptr : it->second;
}

std::shared_ptr<SimEnv::Node> SimEnv::make(const std::string& path) {
  for (std::string up = parent_of(path); directories_.insert(up).second && up != "/" && up != ".";)
    up = parent_of(up);
  const auto node = std::make_shared<Node>();
  node->modified_unix_s = (kStartUnixMs + clock_.count() / 1'000'000) / 1000;
  nodes_[path] = node;
  return node;
}

sys::Instant SimEnv::now() {
  const std::scoped_lock hold(mutex_);
  return clock_;
}

int64_t SimEnv::unix_time_ms() {
  const std::scoped_lock hold(mutex_);
  return kStartUnixMs + clock_.count() / 1'000'000;
}

void SimEnv::fill_random(std::span<std::byte> out) {
  const std::scoped_lock hold(mutex_);
  for (std::byte& b : out) b = static_cast<std::byte>(random_() & 0xFF);
}

Result<sys::FileStat> SimEnv::stat(const std::string& path) {
  const std::scoped_lock hold(mutex_);
  if (const auto node = find(path)) return sys::FileStat{node->bytes.size(), false, node->modified_unix_s};
  if (directories_.contains(path)) return sys::FileStat{0, true, 0};
  return fail(Code::kNotFound, "cannot look at the file: no such file", path);
}

bool SimEnv::exists(const std::string& path) {
  const std::scoped_lock hold(mutex_);
  return find(path) != nullptr || directories_.contains(path);
}

Result<std::string> SimEnv::read_file(const std::string& path, uint64_t bytes_max) {
  const std::scoped_lock hold(mutex_);
  const auto node = find(path);
  if (!node) return fail(Code::kNotFound, "cannot open: no such file", path);
  if (node->bytes.size() > bytes_max) return fail(Code::kLimit, "the file is larger than the limit", path);
  return node->bytes;
}

Result<std::unique_ptr<sys::MappedFile>> SimEnv::map(const std::string& path) {
  const std::scoped_lock hold(mutex_);
  const auto node = find(path);
  if (!node) return fail(Code::kNotFound, "cannot open: no such file", path);
  return std::unique_ptr<sys::MappedFile>(new SimMapped(node->bytes));
}

Result<std::unique_ptr<sys::WritableFile>> SimEnv::open_append(const std::string& path, bool truncate) {
  const std::scoped_lock hold(mutex_);
  if (next_fate() != Fate::kWorks) return tl::unexpected(torn(path).error());
  auto node = find(path);
  if (!node && !directories_.contains(parent_of(path))) {
    return fail(Code::kNotFound, "cannot open for writing: no such directory", path);
  }
  if (!node) node = make(path);
  if (truncate) {
    node->bytes.clear();
    node->durable = 0;
  }
  return std::unique_ptr<sys::WritableFile>(new Handle(*this, node, path));
}

Status SimEnv::write_atomic(const std::string& path, std::string_view bytes, bool) {
  const std::scoped_lock hold(mutex_);
  const Fate fate = next_fate();
  if (fate != Fate::kFails && !directories_.contains(parent_of(path))) {
    return fail(Code::kNotFound, "cannot create: no such directory", path);
  }
  if (fate == Fate::kWorks || (fate == Fate::kCrashes && toss())) {
    const auto node = make(path);
    node->bytes = bytes;
    node->durable = bytes.size();
    node->entry_durable = true;
  } else if (fate == Fate::kCrashes) {
    make(path + ".5eed.tmp")->bytes = bytes.substr(0, random_() % (bytes.size() + 1));
  }
  return fate == Fate::kWorks ? Status{} : torn(path);
}

Status SimEnv::rename(const std::string& from, const std::string& to) {
  const std::scoped_lock hold(mutex_);
  const Fate fate = next_fate();
  const auto node = find(from);
  if (!node) return fail(Code::kNotFound, "cannot rename: no such file", from);
  if (!directories_.contains(parent_of(to)))
    return fail(Code::kNotFound, "cannot rename: no such directory", to);
  if (fate == Fate::kWorks || (fate == Fate::kCrashes && toss())) {
    nodes_.erase(from);
    nodes_[to] = node;
    node->entry_durable = true;
  }
  return fate == Fate::kWorks ? Status{} : torn(from);
}

Status SimEnv::remove(const std::string& path) {
  const std::scoped_lock hold(mutex_);
  const Fate fate = next_fate();
  if (!find(path)) return fail(Code::kNotFound, "cannot remove: no such file", path);
  if (fate == Fate::kWorks || (fate == Fate::kCrashes && toss())) nodes_.erase(path);
  return fate == Fate::kWorks ? Status{} : torn(path);
}

Status SimEnv::make_directories(const std::string& path) {
  const std::scoped_lock hold(mutex_);
  if (directories_.contains(path)) return {};
  if (next_fate() != Fate::kWorks) return torn(path);
  for (std::string up = path; directories_.insert(up).second && up != "/" && up != ".";) up = parent_of(up);
  return {};
}

Result<std::vector<std::string>> SimEnv::list(const std::string& path) {
  const std::scoped_lock hold(mutex_);
  if (!directories_.contains(path)) return fail(Code::kNotFound, "cannot list: no such directory", path);
  std::set<std::string> names;
  for (const auto& [file, node] : nodes_) {
    if (parent_of(file) == path) names.insert(file.substr(path.size() + 1));
  }
  for (const std::string& directory : directories_) {
    if (directory != path && parent_of(directory) == path) names.insert(directory.substr(path.size() + 1));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Result<std::unique_ptr<sys::FileLock>> SimEnv::lock(const std::string& path, bool) {
  const std::scoped_lock hold(mutex_);
  // One simulated process has nobody to wait for: a second hold is a fault of the program under test.
  if (!locks_.insert(path).second) return fail(Code::kUnavailable, "held by another process", path);
  return std::unique_ptr<sys::FileLock>(new Held(*this, path));
}

Result<uint64_t> SimEnv::free_bytes(const std::string&) {
  const std::scoped_lock hold(mutex_);
  return free_bytes_;
}

}  // namespace cresset::testing
