// PackedShelf: where the packed form of one model lies between starts, and the thread that puts it there.
//
// It is kept under the digest of the model's bytes, so only for a model whose digest is known: one of the
// store. (Size, time and a sample would do for most files, and for the rest give the weights of another.)
// Nothing here may fail a start: a directory that cannot be written, a full disk or a damaged file mean that
// the weights are packed again, as if there were no shelf. Owned by the engine; keep_later's thread is joined
// when this dies, and what it has not finished is dropped.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/load/packed_file.h"
#include "sys/crypto.h"
#include "sys/env.h"

namespace cresset::engine {

class PackedShelf {
 public:
  // A first answer has most likely begun by then.
  static constexpr std::chrono::milliseconds kDelay{2000};

  // `model_sha256`: of the file, in hex. Either empty: keeps nothing. `delay`: of keep_later.
  PackedShelf(sys::Env& env, std::string directory, std::string_view model_sha256,
              std::chrono::milliseconds delay = kDelay);
  ~PackedShelf();

  bool keeps() const { return !path_.empty(); }
  // What was kept, checked; null where it is not there or not right.
  std::unique_ptr<PackedFile> find(Pool& pool) const;
  // Writes now. For a shelf that keeps.
  Status keep(const std::vector<PackedPart>& parts) const;
  // Writes on a thread of low priority, a moment later, so that the first answer does not wait for the disk.
  // `parts` are views that outlive this.
  void keep_later(std::vector<PackedPart> parts);

 private:
  bool is_stopped() const;

  sys::Env& env_;
  const std::string directory_;
  std::string path_;  // empty: keeps nothing
  sys::Digest key_{};
  const std::chrono::milliseconds delay_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool is_stopping_ = false;
  std::thread writer_;
};

}  // namespace cresset::engine
