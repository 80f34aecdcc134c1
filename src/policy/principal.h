// Principal: who a request comes from, and what they may use. Keys: the static API keys of the configuration.
// Immutable after open: any thread. Keeps the digest of a key, never the key.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "chat/request.h"

namespace cresset::policy {

// True when `text` matches `pattern`, in which "*" stands for any run of characters, none and '/' included.
bool matches_glob(std::string_view pattern, std::string_view text);

struct Principal {
  std::string name;
  std::vector<std::string> models{"*"};  // globs
  chat::Priority priority = chat::Priority::kNormal;

  // Any of the model's names ("local/m:latest", "m:latest", "m", the alias it was asked by) may match.
  bool may_use(const std::vector<std::string>& names) const;
};

struct KeyEntry {
  std::string name;
  Secret secret;
  std::vector<std::string> models{"*"};
  chat::Priority priority = chat::Priority::kNormal;
};

constexpr size_t kKeysMax = 4096;

class Keys {
 public:
  Keys() = default;  // none: nobody needs a key
  // Names and secrets must be set and unique.
  static Result<Keys> open(std::vector<KeyEntry> entries);

  bool are_required() const { return !entries_.empty(); }
  // Whose key this is, or null. Looks at every entry, each in the same time: how long it takes says nothing
  // about the keys.
  std::shared_ptr<const Principal> find(std::string_view presented) const;

 private:
  struct Entry {
    std::string digest;  // SHA-256
    std::shared_ptr<const Principal> principal;
  };
  std::vector<Entry> entries_;
};

// The key that these headers present: Authorization: Bearer, x-api-key or x-goog-api-key; empty when none
// does. Two different keys in one request are kInvalid: nobody can say which is meant. Takes pairs of name
// and value.
Result<std::string_view> presented_key(const std::vector<std::pair<std::string, std::string>>& headers);

}  // namespace cresset::policy
