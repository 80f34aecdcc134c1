#include "store/models.h"

#include <algorithm>
#include <set>

#include "sys/crypto.h"

namespace cresset::store {
namespace {

constexpr uint64_t kRecordBytesMax = 4u << 20;  // a card holds the chat template
constexpr uint64_t kBlockBytes = 4u << 20;
constexpr size_t kNameBytesMax = 128;
constexpr int64_t kStagedAgeMaxS = 24 * 3600;         // a copy this old belongs to a process that died
constexpr int64_t kDownloadAgeMaxS = 30 * 24 * 3600;  // an interrupted download is kept this long
constexpr uint64_t kFreeBytesMin = 64u << 20;         // left on the disk after an import

bool is_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Json to_json(const ModelRecord& record) {
  return Json::object({{"format", 1},
                       {"name", record.name},
                       {"digest", record.digest},
                       {"size", record.size},
                       {"imported_unix_ms", record.imported_unix_ms},
                       {"source", record.source},
                       {"card", record.card}});
}

Result<ModelRecord> from_json(const Json& json, const std::string& where) {
  ModelRecord record;
  const auto damaged = [&](const char* what) {
    return fail(Code::kCorrupt, std::string("a damaged record (") + what + "); import the model again",
                where);
  };
  for (const char* key : {"name", "digest", "source"}) {
    const Json* value = json.find(key);
    if (value == nullptr || !value->is_string()) return damaged(key);
  }
  for (const char* key : {"format", "size", "imported_unix_ms"}) {
    const Json* value = json.find(key);
    if (value == nullptr || !value->is_integer() || value->as_integer() < 0) return damaged(key);
  }
  if (json.find("format")->as_integer() != 1) {
    return fail(Code::kUnsupported, "a record of a newer version; use that version", where);
  }
  const Json* card = json.find("card");
  if (card == nullptr || !card->is_object()) return damaged("card");
  record.name = json.find("name")->as_string();
  record.digest = json.find("digest")->as_string();
  record.source = json.find("source")->as_string();
  record.size = static_cast<uint64_t>(json.find("size")->as_integer());
  record.imported_unix_ms = json.find("imported_unix_ms")->as_integer();
  record.card = *card;
  if (!is_digest(record.digest)) return damaged("digest");
  if (!check_model_name(record.name)) return damaged("name");
  return record;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads the file once, block by block: its digest, and each block to `take`.
Result<std::string> digest_file(sys::Env& env, const std::string& path, const Progress& progress,
                                const std::function<Status(std::string_view)>& take) {
  CRESSET_TRY(file, env.map(path));
  const std::string_view bytes = as_text(file->bytes());
  sys::Sha256 hash;
  for (uint64_t at = 0; at < bytes.size(); at += kBlockBytes) {
    const std::string_view block = bytes.substr(at, kBlockBytes);
    hash.update(block);
    if (take) CRESSET_TRY_STATUS(take(block));
    if (progress) CRESSET_TRY_STATUS(progress(at + block.size(), bytes.size()));
  }
  file->release_pages();
  return sys::to_hex(hash.finish());
}

Status check_digest(const Addition& addition, const std::string& digest) {
  std::string expected = addition.expected_sha256;
  std::transform(expected.begin(), expected.end(), expected.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'F' ? c + 32 : c); });
  if (expected.empty() || expected == digest) return {};
  if (!is_digest(expected)) {
    return fail(Code::kInvalid, "a SHA-256 is 64 hexadecimal digits", addition.expected_sha256);
  }
  return fail(Code::kCorrupt, "the SHA-256 is " + digest + ", not the expected " + expected, addition.source);
}

}  // namespace

Status check_model_name(std::string_view name) {
  const auto is_part = [](std::string_view part) {
    return !part.empty() &&
           part.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string_view::npos &&
           part.front() != '.' && part.front() != '-' && part.front() != '_';
  };
  const size_t colon = name.find(':');
  const bool good = name.size() <= kNameBytesMax && name != "default" && is_part(name.substr(0, colon)) &&
                    (colon == std::string_view::npos || is_part(name.substr(colon + 1)));
  if (good) return {};
  return fail(Code::kInvalid,
              "not a model name: use a-z, 0-9, '.', '_', '-' and one ':tag' (not \"default\"), as in "
              "\"smollm2:135m\"",
              std::string(name.substr(0, kNameBytesMax)));
}

std::string packed_directory(const std::string& data_directory) {
  return data_directory + "/packed";
}

std::string digest_of_path(const std::string& data_directory, std::string_view path) {
  const std::string blobs = data_directory + "/blobs/sha256/";
  if (!path.starts_with(blobs) || !is_digest(path.substr(blobs.size()))) return {};
  return std::string(path.substr(blobs.size()));
}

Result<std::unique_ptr<ModelStore>> ModelStore::open(sys::Env& env, const std::string& data_directory) {
  for (const char* folder : {"/blobs/sha256", "/models", "/partial"}) {
    CRESSET_TRY_STATUS(env.make_directories(data_directory + folder));
  }
  return std::unique_ptr<ModelStore>(new ModelStore(env, data_directory));
}

std::string ModelStore::record_path(std::string_view name) const {
  return directory_ + "/models/" + std::string(name) + ".json";
}

std::string ModelStore::blob_path(std::string_view digest) const {
  return directory_ + "/blobs/sha256/" + std::string(digest);
}

std::string ModelStore::path_of(const ModelRecord& record) const {
  return blob_path(record.digest);
}

Result<ModelRecord> ModelStore::read_record(const std::string& name) const {
  const std::string path = record_path(name);
  CRESSET_TRY(text, env_.read_file(path, kRecordBytesMax));
  const auto json = parse_json(text);
  if (!json) return fail(Code::kCorrupt, "a damaged record; import the model again", path);
  CRESSET_TRY(record, from_json(*json, path));
  if (record.name != name) return fail(Code::kCorrupt, "the record is of another name: " + record.name, path);
  const auto blob = env_.stat(blob_path(record.digest));
  record.is_whole = blob && !blob->is_directory && blob->size == record.size;
  return record;
}

Result<std::vector<ModelRecord>> ModelStore::list(std::vector<Error>* damaged) const {
  CRESSET_TRY(files, env_.list(directory_ + "/models"));
  std::vector<ModelRecord> records;
  for (const std::string& file : files) {
    if (!file.ends_with(".json")) continue;
    auto record = read_record(file.substr(0, file.size() - 5));
    if (record) {
      records.push_back(std::move(*record));
    } else if (damaged != nullptr && record.error().code != Code::kNotFound) {
      damaged->push_back(record.error());
    }
  }
  return records;
}

Result<ModelRecord> ModelStore::find(std::string_view name) const {
  constexpr std::string_view kLatest = ":latest";
  std::vector<std::string> candidates{std::string(name)};
  if (name.ends_with(kLatest)) {
    candidates.emplace_back(name.substr(0, name.size() - kLatest.size()));
  } else if (name.find(':') == std::string_view::npos) {
    candidates.push_back(std::string(name) + std::string(kLatest));
  }
  for (const std::string& candidate : candidates) {
    if (!check_model_name(candidate)) continue;
    auto record = read_record(candidate);
    if (record || record.error().code != Code::kNotFound) return record;
  }
  return fail(Code::kNotFound, "no such model; `cresset ls` shows what is installed", std::string(name));
}

Result<ModelRecord> ModelStore::find_default() const {
  CRESSET_TRY(records, list());
  const ModelRecord* first = nullptr;
  for (const ModelRecord& record : records) {
    const Json* has_template = record.card.find("has_chat_template");
    if (!record.is_whole || has_template == nullptr || *has_template != Json(true)) continue;
    if (first == nullptr || record.imported_unix_ms < first->imported_unix_ms) first = &record;
  }
  if (first != nullptr) return *first;
  return fail(Code::kNotFound,
              "no instruction model is installed; `cresset import FILE.gguf` or `cresset pull REF` first");
}

Status ModelStore::check_free_name(const Addition& addition, std::string_view digest) const {
  const auto there = read_record(addition.name);
  if (!there || there->digest == digest || !there->is_whole) return {};
  return fail(Code::kExists,
              "the name is taken by another model; choose one with --name, or `cresset rm " + addition.name +
                  "` first",
              addition.name);
}

Result<ModelRecord> ModelStore::import_file(const std::string& path, const Addition& addition) {
  CRESSET_TRY_STATUS(check_model_name(addition.name));
  CRESSET_TRY(stat, env_.stat(path));
  if (stat.is_directory) return fail(Code::kInvalid, "a directory, not a model file", path);
  const auto free = env_.free_bytes(directory_);
  if (free && *free < stat.size + kFreeBytesMin) {
    return fail(Code::kLimit,
                "needs " + std::to_string(stat.size) + " bytes and the disk has " + std::to_string(*free),
                directory_);
  }
  const std::string staged = directory_ + "/partial/copy-" + env_.random_hex(8);
  const auto copy = [&]() -> Result<ModelRecord> {
    uint64_t size = 0;
    std::string digest;
    {
      CRESSET_TRY(out, env_.open_append(staged, true));
      CRESSET_TRY(hex, digest_file(env_, path, addition.progress,
                                   [&](std::string_view block) { return out->append(block); }));
      CRESSET_TRY_STATUS(out->sync());
      size = out->size();
      digest = hex;
    }
    return publish_file(staged, digest, size, addition);
  };
  auto record = copy();
  if (!record && env_.exists(staged)) (void)env_.remove(staged);
  return record;
}

Result<std::unique_ptr<Download>> ModelStore::open_download(const std::string& url) {
  return Download::open(env_, directory_ + "/partial", url);
}

Result<ModelRecord> ModelStore::publish(std::unique_ptr<Download> download, const Addition& addition) {
  CRESSET_TRY_STATUS(check_model_name(addition.name));
  CRESSET_TRY_STATUS(download->keep());
  CRESSET_TRY(digest, digest_file(env_, download->path(), addition.progress, nullptr));
  auto record = publish_file(download->path(), digest, download->size(), addition);
  if (record) {
    download->forget_note();
  } else if (record.error().code == Code::kCorrupt || record.error().code == Code::kUnsupported) {
    download->discard();  // continuing such a file would give the same bytes
  }
  return record;
}

// The one way to a name. Order: bytes checked, bytes under their digest, then the name.
Result<ModelRecord> ModelStore::publish_file(const std::string& staged, const std::string& digest,
                                             uint64_t size, const Addition& addition) {
  CRESSET_TRY_STATUS(check_digest(addition, digest));
  CRESSET_TRY(card, addition.check(staged));
  const auto lock = env_.lock(directory_ + "/lock", true);
  if (!lock) return tl::unexpected(lock.error());
  CRESSET_TRY_STATUS(check_free_name(addition, digest));
  ModelRecord record{addition.name, digest, size, env_.unix_time_ms(), addition.source, card, true};
  const auto there = read_record(addition.name);
  if (there && there->digest == digest) record.imported_unix_ms = there->imported_unix_ms;
  // Also when the digest is there already: good bytes take the place of bytes that may have been damaged.
  CRESSET_TRY_STATUS(env_.rename(staged, blob_path(digest)));
  CRESSET_TRY_STATUS(env_.write_atomic(record_path(record.name), to_json(record).write()));
  sweep();
  return record;
}

Result<ModelStore::Removed> ModelStore::remove(std::string_view name) {
  const auto lock = env_.lock(directory_ + "/lock", true);
  if (!lock) return tl::unexpected(lock.error());
  CRESSET_TRY(record, find(name));
  CRESSET_TRY_STATUS(env_.remove(record_path(record.name)));
  Removed removed{record, 0};
  CRESSET_TRY(others, list());
  const bool shared = std::any_of(others.begin(), others.end(),
                                  [&](const ModelRecord& other) { return other.digest == record.digest; });
  if (!shared && env_.exists(blob_path(record.digest))) {
    CRESSET_TRY_STATUS(env_.remove(blob_path(record.digest)));
    removed.bytes_freed = record.size + remove_packed(record.digest);
  }
  sweep();
  return removed;
}

uint64_t ModelStore::packed_bytes(const ModelRecord& record) const {
  const auto stat = env_.stat(packed_directory(directory_) + "/" + record.digest + ".packed");
  return stat ? stat->size : 0;
}

// Gives the bytes that this freed.
uint64_t ModelStore::remove_packed(std::string_view digest) {
  uint64_t freed = 0;
  const std::string folder = packed_directory(directory_);
  for (const std::string& file : env_.list(folder).value_or(std::vector<std::string>())) {
    if (!file.starts_with(digest)) continue;
    const auto stat = env_.stat(folder + "/" + file);
    if (env_.remove(folder + "/" + file) && stat) freed += stat->size;
  }
  return freed;
}

// What a crash left behind. Under the lock, so a blob without a name is nobody's; best effort.
void ModelStore::sweep() {
  const int64_t now_s = env_.unix_time_ms() / 1000;
  const auto drop_old = [&](const std::string& folder, std::string_view prefix, std::string_view suffix,
                            int64_t age_max_s) {
    const auto names = env_.list(folder);
    if (!names) return;
    for (const std::string& file : *names) {
      if (!file.starts_with(prefix) || !file.ends_with(suffix)) continue;
      const auto stat = env_.stat(folder + "/" + file);
      if (stat && now_s - stat->modified_unix_s > age_max_s) (void)env_.remove(folder + "/" + file);
    }
  };
  drop_old(directory_ + "/partial", "copy-", "", kStagedAgeMaxS);
  for (const char* suffix : {".part", ".json", ".tmp"}) {
    drop_old(directory_ + "/partial", "", suffix, kDownloadAgeMaxS);
  }
  drop_old(directory_ + "/models", "", ".tmp", kStagedAgeMaxS);
  drop_old(packed_directory(directory_), "", ".tmp", kStagedAgeMaxS);

  std::vector<Error> damaged;
  const auto records = list(&damaged);
  const auto blobs = env_.list(directory_ + "/blobs/sha256");
  // A record that cannot be read may mean any blob: then none is dropped.
  if (!records || !damaged.empty() || !blobs) return;
  std::set<std::string> used;
  for (const ModelRecord& record : *records) used.insert(record.digest);
  for (const std::string& blob : *blobs) {
    if (!used.contains(blob)) (void)env_.remove(blob_path(blob));
  }
  const std::string folder = packed_directory(directory_);
  for (const std::string& file : env_.list(folder).value_or(std::vector<std::string>())) {
    const std::string digest = file.substr(0, 64);
    if (is_digest(digest) && !used.contains(digest)) (void)env_.remove(folder + "/" + file);
  }
}

std::vector<std::pair<std::string, uint64_t>> ModelStore::list_partial() const {
  std::vector<std::pair<std::string, uint64_t>> out;
  const auto names = env_.list(directory_ + "/partial");
  if (!names) return out;
  for (const std::string& name : *names) {
    if (!name.ends_with(".json")) continue;
    const std::string base = directory_ + "/partial/" + name.substr(0, name.size() - 5);
    const auto text = env_.read_file(base + ".json", kRecordBytesMax);
    const auto note = text ? parse_json(*text) : Result<Json>(Json());
    const auto stat = env_.stat(base + ".part");
    const Json* url = note ? note->find("url") : nullptr;
    if (stat && url != nullptr && url->is_string()) out.emplace_back(url->as_string(), stat->size);
  }
  return out;
}

}  // namespace cresset::store
