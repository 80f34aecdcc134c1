#include "engine/load/packed_file.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace cresset::engine {
namespace {

constexpr std::string_view kMagic = "CRSPACK\n";
constexpr size_t kChunkBytes = 1u << 20;
constexpr size_t kMatricesMax = 1u << 20;
constexpr uint64_t kSyncEvery = 64u << 20;
constexpr uint64_t kFreeBytesMin = 1u << 30;  // left on the disk

struct Header {
  char magic[8];
  uint32_t version, matrices;
  uint64_t file_bytes;
  sys::Digest model;
};
static_assert(sizeof(Header) == 56);

struct Entry {
  uint32_t tensor, format;  // format: ggml's number
  uint64_t rows, columns, offset;
};
static_assert(sizeof(Entry) == 32);

uint64_t chunks_of(uint64_t bytes) {
  return (bytes + kChunkBytes - 1) / kChunkBytes;
}
uint64_t align(uint64_t offset) {
  return (offset + kPackedAlignment - 1) / kPackedAlignment * kPackedAlignment;
}

template <class T>
T read_at(std::span<const std::byte> bytes, size_t offset) {
  T out;
  std::memcpy(&out, bytes.data() + offset, sizeof out);
  return out;
}
template <class T>
void append(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Bytes of such a matrix, or nothing where there is no such matrix.
std::optional<uint64_t> packed_bytes(Format format, uint64_t rows, uint64_t columns) {
  constexpr uint64_t kMost = uint64_t{1} << 31;  // of either: their product and its bytes stay in 64 bits
  if (rows == 0 || columns == 0 || rows > kMost || columns > kMost) return std::nullopt;
  if (columns % packed_columns(format) != 0) return std::nullopt;
  const uint64_t panel = panel_bytes(format, static_cast<size_t>(columns)), panels = (rows + 15) / 16;
  if (panel > std::numeric_limits<uint64_t>::max() / 2 / panels) return std::nullopt;
  return panel * panels;
}

}  // namespace

class PackedFile::Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  Result<std::vector<PackedPart>> read(const sys::Digest& model, Pool& pool) {
    if (bytes_.size() < sizeof(Header)) return damaged("shorter than its header");
    const Header header = read_at<Header>(bytes_, 0);
    if (std::string_view(header.magic, sizeof header.magic) != kMagic) return damaged("not a packed model");
    if (header.version != kPackedVersion || header.model != model) {
      return fail(Code::kUnsupported, "packed from another model or by another version", where_);
    }
    if (header.file_bytes != bytes_.size()) return damaged("not as long as it says");
    CRESSET_TRY_STATUS(read_entries(header.matrices));
    CRESSET_TRY_STATUS(check_content(pool));
    return std::move(parts_);
  }

 private:
  struct Chunk {
    std::span<const std::byte> bytes;
    sys::Checksum sum;
  };

  tl::unexpected<Error> damaged(const char* what) const { return fail(Code::kCorrupt, what, where_); }

  Status read_entries(size_t count) {
    if (count > kMatricesMax || count > (bytes_.size() - sizeof(Header)) / sizeof(Entry)) {
      return damaged("more matrices than it can hold");
    }
    uint64_t content_bytes = 0;
    for (size_t i = 0; i < count; ++i) {
      const Entry entry = read_at<Entry>(bytes_, sizeof(Header) + i * sizeof(Entry));
      const auto format = format_of_ggml(entry.format);
      if (!format) return damaged("a format that is not known");
      const auto size = packed_bytes(*format, entry.rows, entry.columns);
      if (!size || entry.offset % kPackedAlignment != 0 || entry.offset > bytes_.size() ||
          *size > bytes_.size() - entry.offset) {
        return damaged("a matrix that is not in it");
      }
      content_bytes += *size;  // cannot wrap: each is at most the file, and there are few
      if (content_bytes > bytes_.size()) return damaged("matrices that overlap");
      parts_.push_back({entry.tensor, *format, static_cast<size_t>(entry.rows),
                        static_cast<size_t>(entry.columns),
                        bytes_.subspan(static_cast<size_t>(entry.offset), static_cast<size_t>(*size))});
    }
    return read_sums(sizeof(Header) + count * sizeof(Entry));
  }

  Status read_sums(size_t end) {
    for (const PackedPart& part : parts_) {
      for (size_t at = 0; at < part.bytes.size(); at += kChunkBytes) {
        if (bytes_.size() - end < sizeof(sys::Checksum)) return damaged("shorter than its sums");
        chunks_.push_back({part.bytes.subspan(at, std::min(kChunkBytes, part.bytes.size() - at)),
                           read_at<sys::Checksum>(bytes_, end)});
        end += sizeof(sys::Checksum);
      }
    }
    if (bytes_.size() - end < sizeof(sys::Digest)) return damaged("shorter than its digest");
    if (sys::sha256(bytes_.first(end)) != read_at<sys::Digest>(bytes_, end)) {
      return damaged("a directory that is not what was written");
    }
    return {};
  }

  Status check_content(Pool& pool) const {
    std::atomic<bool> is_whole{true};
    pool.run([&](Worker& worker) {
      worker.parallel_for(chunks_.size(), 1, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end && is_whole.load(std::memory_order_relaxed); ++i) {
          if (sys::checksum(chunks_[i].bytes) != chunks_[i].sum) is_whole = false;
        }
      });
    });
    if (!is_whole) return damaged("weights that are not what was written");
    return {};
  }

  std::span<const std::byte> bytes_;
  std::string where_;
  std::vector<PackedPart> parts_;
  std::vector<Chunk> chunks_;
};

Result<std::unique_ptr<PackedFile>> PackedFile::open(sys::Env& env, const std::string& path,
                                                     const sys::Digest& model, Pool& pool) {
  CRESSET_TRY(file, env.map(path));
  const auto bytes = file->bytes();
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kPackedAlignment != 0) {
    return fail(Code::kUnsupported, "not aligned in memory", path);
  }
  CRESSET_TRY(parts, Reader(bytes, path).read(model, pool));
  std::unique_ptr<PackedFile> out(new PackedFile);
  out->file_ = std::move(file);
  out->parts_ = std::move(parts);
  return out;
}

namespace {

// All that comes before the matrices.
Result<std::string> make_directory(const sys::Digest& model, const std::vector<PackedPart>& parts,
                                   const std::function<bool()>& is_stopped) {
  uint64_t sums = 0;
  for (const PackedPart& part : parts) sums += chunks_of(part.bytes.size());
  uint64_t offset = align(sizeof(Header) + parts.size() * sizeof(Entry) + sums * sizeof(sys::Checksum) +
                          sizeof(sys::Digest));
  std::string entries;
  for (const PackedPart& part : parts) {
    append(entries, Entry{part.tensor, traits(part.format).ggml_id, part.rows, part.columns, offset});
    offset = align(offset + part.bytes.size());
  }
  Header header{{}, kPackedVersion, static_cast<uint32_t>(parts.size()), offset, model};
  std::copy(kMagic.begin(), kMagic.end(), header.magic);
  std::string out;
  append(out, header);
  out += entries;
  for (const PackedPart& part : parts) {
    for (size_t at = 0; at < part.bytes.size(); at += kChunkBytes) {
      if (is_stopped()) return fail(Code::kCancelled, "stopped");
      append(out, sys::checksum(part.bytes.subspan(at, std::min(kChunkBytes, part.bytes.size() - at))));
    }
  }
  append(out, sys::sha256(out));
  return out;
}

Status write_parts(sys::WritableFile& out, const std::vector<PackedPart>& parts,
                   const std::function<bool()>& is_stopped) {
  const std::string zeros(kPackedAlignment, '\0');
  const auto pad = [&] {
    return out.append(std::string_view(zeros).substr(0, align(out.size()) - out.size()));
  };
  CRESSET_TRY_STATUS(pad());
  uint64_t synced = 0;
  for (const PackedPart& part : parts) {
    for (size_t at = 0; at < part.bytes.size(); at += kChunkBytes) {
      if (is_stopped()) return fail(Code::kCancelled, "stopped");
      CRESSET_TRY_STATUS(
          out.append(as_text(part.bytes.subspan(at, std::min(kChunkBytes, part.bytes.size() - at)))));
      // Bit by bit, so that the memory never fills with what is still to be written.
      if (out.size() - synced < kSyncEvery) continue;
      CRESSET_TRY_STATUS(out.sync());
      synced = out.size();
    }
    CRESSET_TRY_STATUS(pad());
  }
  return out.sync();
}

}  // namespace

Status write_packed_file(sys::Env& env, const std::string& path, const sys::Digest& model,
                         const std::vector<PackedPart>& parts, const std::function<bool()>& is_stopped) {
  uint64_t needed = kFreeBytesMin;
  for (const PackedPart& part : parts) needed += part.bytes.size();
  const auto free = env.free_bytes(path);
  if (free && *free < needed) return fail(Code::kLimit, "the disk is nearly full", path);
  CRESSET_TRY(directory, make_directory(model, parts, is_stopped));
  const std::string temporary = path + "." + env.random_hex(4) + ".tmp";
  const auto write = [&]() -> Status {
    CRESSET_TRY(out, env.open_append(temporary, true));
    CRESSET_TRY_STATUS(out->append(directory));
    CRESSET_TRY_STATUS(write_parts(*out, parts, is_stopped));
    return env.rename(temporary, path);
  };
  Status status = write();
  if (!status && env.exists(temporary)) static_cast<void>(env.remove(temporary));
  return status;
}

}  // namespace cresset::engine
