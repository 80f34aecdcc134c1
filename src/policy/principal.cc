#include "policy/principal.h"

#include <set>

#include "sys/crypto.h"

namespace cresset::policy {

namespace {

std::string digest_of(std::string_view text) {
  const sys::Digest digest = sys::sha256(text);
  return std::string(digest.begin(), digest.end());
}

bool equal_digests(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0u : 1u;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_without_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The key in one header, empty when it holds none. Another scheme than Bearer presents no key.
std::string_view key_in(std::string_view name, std::string_view value) {
  constexpr std::string_view kBearer = "bearer ";
  if (equal_without_case(name, "x-api-key") || equal_without_case(name, "x-goog-api-key")) return trim(value);
  if (!equal_without_case(name, "authorization") || value.size() < kBearer.size()) return {};
  if (!equal_without_case(value.substr(0, kBearer.size()), kBearer)) return {};
  return trim(value.substr(kBearer.size()));
}

}  // namespace

bool matches_glob(std::string_view pattern, std::string_view text) {
  // Greedy with one point of return: the last star. Linear in practice, never exponential.
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool Principal::may_use(const std::vector<std::string>& names) const {
  for (const std::string& pattern : models) {
    for (const std::string& candidate : names) {
      if (matches_glob(pattern, candidate)) return true;
    }
  }
  return false;
}

Result<Keys> Keys::open(std::vector<KeyEntry> entries) {
  if (entries.size() > kKeysMax)
    return fail(Code::kLimit, "more than " + std::to_string(kKeysMax) + " keys", "key");
  Keys keys;
  std::set<std::string> names, digests;
  for (KeyEntry& entry : entries) {
    if (entry.name.empty()) return fail(Code::kInvalid, "a key needs a name", "key.name");
    const std::string where = "key \"" + entry.name + "\"";
    if (!names.insert(entry.name).second) return fail(Code::kInvalid, "this name appears twice", where);
    if (entry.secret.empty()) return fail(Code::kInvalid, "the secret is empty", where);
    std::string digest = digest_of(entry.secret.expose());
    if (!digests.insert(digest).second) return fail(Code::kInvalid, "another key has the same secret", where);
    keys.entries_.push_back(
        {std::move(digest), std::make_shared<const Principal>(
                                Principal{std::move(entry.name), std::move(entry.models), entry.priority})});
  }
  return keys;
}

std::shared_ptr<const Principal> Keys::find(std::string_view presented) const {
  const std::string digest = digest_of(presented);
  std::shared_ptr<const Principal> found;
  for (const Entry& entry : entries_) {
    if (equal_digests(entry.digest, digest)) found = entry.principal;
  }
  return found;
}

Result<std::string_view> presented_key(const std::vector<std::pair<std::string, std::string>>& headers) {
  std::string_view found;
  for (const auto& [name, value] : headers) {
    const std::string_view key = key_in(name, value);
    if (key.empty()) continue;
    if (!found.empty() && found != key)
      return fail(Code::kInvalid, "the request presents two different API keys");
    found = key;
  }
  return found;
}

}  // namespace cresset::policy
