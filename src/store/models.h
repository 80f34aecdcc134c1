// The model store: names for model files that are kept once each, under the digest of their bytes.
//
//   blobs/sha256/<hex>      the bytes; never changed, shared by every name that means them
//   models/<name>.json      one record a name: digest, size, source, card
//   packed/<hex>.packed     what the engine derived from those bytes; may be removed at any time
//   partial/                copies and downloads that are not complete; never under a name
//   lock                    held while blobs and names change together
//
// Crash-safe: the bytes are durable and checked before a name points at them; a name goes before its bytes.
// Any thread, any number of processes. The store does not know what a model is: the caller's check decides,
// and gives the card to keep. A later version seals the store per tenant: open() is the one place that will
// know it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "store/download.h"
#include "sys/env.h"

namespace cresset::store {

struct ModelRecord {
  std::string name;
  std::string digest;  // SHA-256, lower-case hex
  uint64_t size = 0;
  int64_t imported_unix_ms = 0;
  std::string source;    // the path or URL it came from
  Json card;             // what the check said of it: an object
  bool is_whole = true;  // the bytes are there, with the right size
};

// done and total bytes; an error stops the work. Total 0: not known.
using Progress = std::function<Status(uint64_t done, uint64_t total)>;

struct Addition {
  std::string name;
  std::string source;
  std::string expected_sha256;  // empty: not checked
  // Says whether the complete file is a model, and describes it.
  std::function<Result<Json>(const std::string& path)> check;
  Progress progress;
};

// [a-z0-9._-]+ with at most one ":tag" of the same letters; starts with a letter or digit; "default" is
// reserved.
Status check_model_name(std::string_view name);

// Where the engine keeps what it derives from stored models. A file there that starts with a digest goes with
// the bytes of that digest.
std::string packed_directory(const std::string& data_directory);
// The digest of the stored model whose bytes lie at `path`; empty where they are not the store's.
std::string digest_of_path(const std::string& data_directory, std::string_view path);

class ModelStore {
 public:
  static Result<std::unique_ptr<ModelStore>> open(sys::Env& env, const std::string& data_directory);

  // By name. Records that cannot be read are left out and described in `damaged`, when given.
  Result<std::vector<ModelRecord>> list(std::vector<Error>* damaged = nullptr) const;
  // NAME or NAME:latest, whichever is there.
  Result<ModelRecord> find(std::string_view name) const;
  // The first imported record whose card has "has_chat_template": true.
  Result<ModelRecord> find_default() const;
  std::string path_of(const ModelRecord& record) const;
  // Bytes that the engine keeps of it in packed/.
  uint64_t packed_bytes(const ModelRecord& record) const;

  // Copies the file in. The same bytes under the same name again are fine; other bytes under a name that is
  // taken are kExists, and nothing changes.
  Result<ModelRecord> import_file(const std::string& path, const Addition& addition);
  // The download of `url`, new or where it stopped; kUnavailable when another process has it open.
  Result<std::unique_ptr<Download>> open_download(const std::string& url);
  // A complete download becomes a model. When it is refused (digest, check) its bytes are dropped.
  Result<ModelRecord> publish(std::unique_ptr<Download> download, const Addition& addition);

  struct Removed {
    ModelRecord record;
    uint64_t bytes_freed = 0;  // with what was derived from them; 0: another name means the same bytes
  };
  Result<Removed> remove(std::string_view name);

  // Unfinished downloads: URL and bytes so far.
  std::vector<std::pair<std::string, uint64_t>> list_partial() const;
  const std::string& directory() const { return directory_; }

 private:
  ModelStore(sys::Env& env, std::string directory) : env_(env), directory_(std::move(directory)) {}
  Result<ModelRecord> read_record(const std::string& name) const;
  std::string record_path(std::string_view name) const;
  std::string blob_path(std::string_view digest) const;
  Status check_free_name(const Addition& addition, std::string_view digest) const;
  Result<ModelRecord> publish_file(const std::string& staged, const std::string& digest, uint64_t size,
                                   const Addition& addition);
  uint64_t remove_packed(std::string_view digest);
  void sweep();

  sys::Env& env_;
  std::string directory_;
};

}  // namespace cresset::store
