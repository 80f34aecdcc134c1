#include "engine/load/packed_shelf.h"

#include "base/check.h"
#include "sys/cpu.h"

namespace cresset::engine {

PackedShelf::PackedShelf(sys::Env& env, std::string directory, std::string_view model_sha256,
                         std::chrono::milliseconds delay)
    : env_(env), directory_(std::move(directory)), key_(sys::sha256(model_sha256)), delay_(delay) {
  if (directory_.empty() || model_sha256.empty()) return;
  path_ = directory_ + "/" + std::string(model_sha256) + ".packed";
}

PackedShelf::~PackedShelf() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_all();
  if (writer_.joinable()) writer_.join();
}

bool PackedShelf::is_stopped() const {
  const std::lock_guard lock(mutex_);
  return is_stopping_;
}

std::unique_ptr<PackedFile> PackedShelf::find(Pool& pool) const {
  if (!keeps()) return nullptr;
  return PackedFile::open(env_, path_, key_, pool).value_or(nullptr);
}

Status PackedShelf::keep(const std::vector<PackedPart>& parts) const {
  CHECK(keeps());
  CRESSET_TRY_STATUS(env_.make_directories(directory_));
  return write_packed_file(env_, path_, key_, parts, [this] { return is_stopped(); });
}

void PackedShelf::keep_later(std::vector<PackedPart> parts) {
  if (!keeps() || writer_.joinable()) return;
  writer_ = std::thread([this, kept = std::move(parts)] {
    sys::lower_thread_priority();
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, delay_, [this] { return is_stopping_; })) return;
    }
    static_cast<void>(keep(kept));  // the next start packs again
  });
}

}  // namespace cresset::engine
