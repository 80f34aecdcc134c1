// The keys of the configuration as a table, and the reader of its TOML. For config.cc only.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cli/config.h"

namespace cresset::cli {

enum class ValueKind { kText, kNumber, kSwitch, kTexts, kBytes };
using Value = std::variant<std::string, int64_t, bool, std::vector<std::string>>;

// One key with one value. A newcomer is one line in the table.
struct ScalarSpec {
  std::string key;  // "server.listen"
  ValueKind kind;
  std::function<Status(Config&, const Value&, const std::string& where)> set;
  std::function<Json(const Config&)> show;
};
const std::vector<ScalarSpec>& scalar_specs();

std::string environment_name(const std::string& key);  // "CRESSET_SERVER_LISTEN"
// From the environment or a flag: lists split at commas.
Result<Value> value_from_text(ValueKind kind, const std::string& text, const std::string& where);
// "512MiB", "2 GB", "1000".
Result<int64_t> parse_bytes(std::string_view text, const std::string& where);

// Reads sources.text into out.config; paths in it are relative to `directory`. Every fault goes to
// out.errors.
void read_toml(const ConfigSources& sources, const std::string& directory, LoadedConfig& out,
               std::map<std::string, std::string>& origins);

}  // namespace cresset::cli
