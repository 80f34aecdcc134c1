#include "store/download.h"

#include "base/json.h"
#include "sys/crypto.h"

namespace cresset::store {
namespace {

constexpr uint64_t kSyncBytes = 64u << 20;  // a power cut costs at most this much of a download
constexpr uint64_t kNoteBytesMax = 64u << 10;
constexpr uint64_t kCopyBytes = 4u << 20;

uint64_t read_count(const Json& note, std::string_view key) {
  const Json* value = note.find(key);
  return value != nullptr && value->is_integer() && value->as_integer() > 0
             ? static_cast<uint64_t>(value->as_integer())
             : 0;
}

std::string read_text(const Json& note, std::string_view key) {
  const Json* value = note.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

}  // namespace

Download::Download(sys::Env& env, std::string url, std::string base, std::unique_ptr<sys::FileLock> lock)
    : env_(env),
      url_(std::move(url)),
      path_(base + ".part"),
      note_path_(base + ".json"),
      lock_(std::move(lock)) {}

Result<std::unique_ptr<Download>> Download::open(sys::Env& env, const std::string& partial_directory,
                                                 const std::string& url) {
  const std::string base = partial_directory + "/" + sys::to_hex(sys::sha256(url)).substr(0, 24);
  auto lock = env.lock(base + ".lock", false);
  if (!lock) {
    if (lock.error().code != Code::kUnavailable) return tl::unexpected(lock.error());
    return fail(Code::kUnavailable, "another cresset is downloading this; wait for it or stop it", url);
  }
  std::unique_ptr<Download> download(new Download(env, url, base, std::move(*lock)));
  CRESSET_TRY_STATUS(download->read_note());
  return download;
}

// Trusts only what the note calls durable: after a power cut a longer file may end in anything.
Status Download::read_note() {
  const auto stat = env_.stat(path_);
  const auto text = env_.read_file(note_path_, kNoteBytesMax);
  if (!stat || !text) return {};
  const auto note = parse_json(*text);
  if (!note || read_text(*note, "url") != url_) return {};
  const uint64_t durable = read_count(*note, "durable");
  if (durable == 0 || durable > stat->size) return {};
  etag_ = read_text(*note, "etag");
  total_ = read_count(*note, "total");
  durable_ = size_ = durable;
  if (stat->size == durable) return {};
  const std::string rebuilt = path_ + ".tmp";
  {
    CRESSET_TRY(old, env_.map(path_));
    CRESSET_TRY(fresh, env_.open_append(rebuilt, true));
    const auto bytes = old->bytes();
    const std::string_view text_view(reinterpret_cast<const char*>(bytes.data()), durable);
    for (uint64_t at = 0; at < durable; at += kCopyBytes) {
      CRESSET_TRY_STATUS(fresh->append(text_view.substr(at, kCopyBytes)));
    }
    CRESSET_TRY_STATUS(fresh->sync());
  }
  return env_.rename(rebuilt, path_);
}

Status Download::begin(bool resumed, const std::string& etag, uint64_t total) {
  if (!resumed) size_ = durable_ = 0;
  CRESSET_TRY(file, env_.open_append(path_, !resumed));
  file_ = std::move(file);
  if (file_->size() != size_)
    return fail(Code::kCorrupt, "the partial file changed under us; pull again", path_);
  etag_ = etag;
  total_ = total;
  return write_note();
}

Status Download::append(std::string_view bytes) {
  if (!file_) return fail(Code::kInternal, "bytes before begin()", path_);
  CRESSET_TRY_STATUS(file_->append(bytes));
  size_ += bytes.size();
  return size_ - durable_ >= kSyncBytes ? keep() : Status{};
}

Status Download::keep() {
  if (!file_ || durable_ == size_) return {};
  CRESSET_TRY_STATUS(file_->sync());
  durable_ = size_;
  return write_note();
}

Status Download::write_note() {
  const Json note = Json::object({{"url", url_}, {"etag", etag_}, {"total", total_}, {"durable", durable_}});
  return env_.write_atomic(note_path_, note.write());
}

void Download::discard() {
  file_.reset();
  forget_note();
  if (env_.exists(path_)) (void)env_.remove(path_);
  size_ = durable_ = total_ = 0;
  etag_.clear();
}

void Download::forget_note() {
  if (env_.exists(note_path_)) (void)env_.remove(note_path_);
}

}  // namespace cresset::store
