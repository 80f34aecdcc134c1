// One download in the store's partial/ folder: bytes so far, where they come from, and how many of them are
// sure to be on the disk. It outlives the process: an interrupted pull continues from what was made durable.
//
//   partial/<id>.part       the bytes          partial/<id>.json   url, etag, total, durable
// <id> is the front of the URL's SHA-256. One owner at a time (a lock); one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/env.h"

namespace cresset::store {

class Download {
 public:
  static Result<std::unique_ptr<Download>> open(sys::Env& env, const std::string& partial_directory,
                                                const std::string& url);

  const std::string& url() const { return url_; }
  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  uint64_t total() const { return total_; }          // as the server stated it; 0: not known
  const std::string& etag() const { return etag_; }  // of the bytes so far
  bool is_complete() const { return total_ > 0 && size_ == total_; }

  // Before the first block of an answer. Not `resumed`: what was there is dropped.
  Status begin(bool resumed, const std::string& etag, uint64_t total);
  Status append(std::string_view bytes);
  // Makes everything so far durable and notes it; call it when the transfer ends, well or not.
  Status keep();
  // Forgets the bytes.
  void discard();
  // After the bytes were moved away.
  void forget_note();

 private:
  Download(sys::Env& env, std::string url, std::string base, std::unique_ptr<sys::FileLock> lock);
  Status read_note();
  Status write_note();

  sys::Env& env_;
  std::string url_, path_, note_path_, etag_;
  std::unique_ptr<sys::FileLock> lock_;
  std::unique_ptr<sys::WritableFile> file_;
  uint64_t size_ = 0, total_ = 0, durable_ = 0;
};

}  // namespace cresset::store
