// The only unit that knows toml++.
#include <toml++/toml.h>

#include <algorithm>
#include <set>

#include "cli/config_table.h"
#include "cli/suggest.h"

namespace cresset::cli {
namespace {

constexpr size_t kEntriesMax = 256;  // [[key]] and [[alias]] each
constexpr size_t kCandidatesMax = 32;
constexpr int64_t kSecondsMax = 86'400;

// Sections of the contract that a later version brings: understood, and refused by name.
constexpr std::pair<std::string_view, std::string_view> kLater[] = {
    {"policy", "[policy] (rules and labels)"},
};

class Reader {
 public:
  Reader(const ConfigSources& sources, std::string directory, LoadedConfig& out,
         std::map<std::string, std::string>& origins)
      : file_(sources.file), directory_(std::move(directory)), out_(out), origins_(origins) {}

  void read(const toml::table& root) {
    for (const auto& [key_view, node] : root) {
      const std::string key(key_view.str());
      const auto later =
          std::find_if(std::begin(kLater), std::end(kLater), [&](const auto& l) { return l.first == key; });
      if (later != std::end(kLater)) {
        complain(node, Code::kUnsupported,
                 std::string(later->second) + " comes with a later version; this is " + CRESSET_VERSION +
                     "; remove it");
      } else if (key == "key") {
        read_entries(key, node, [this](const toml::table& t) { read_key(t); });
      } else if (key == "alias") {
        read_entries(key, node, [this](const toml::table& t) { read_alias(t); });
      } else if (key == "provider" || key == "engine") {
        read_entries(key, node, [this, &key](const toml::table& t) { read_provider(t, key == "engine"); });
      } else {
        read_section(key, node);
      }
    }
    // toml++ keeps sections in alphabetical order; the first provider that lists a model is the file's first.
    std::stable_sort(
        out_.config.providers.begin(), out_.config.providers.end(),
        [](const ProviderEntry& a, const ProviderEntry& b) { return line_of(a.where) < line_of(b.where); });
    check_candidates();
  }

  void complain(const toml::source_region& at, Code code, std::string what) {
    out_.errors.push_back({code, std::move(what), place(at)});
  }
  static unsigned long line_of(const std::string& where) {
    return std::stoul("0" + where.substr(where.rfind(':') + 1));
  }

 private:
  std::string place(const toml::source_region& at) const {
    return file_ + ":" + std::to_string(at.begin.line);
  }
  std::string place(const toml::node& node) const { return place(node.source()); }
  void complain(const toml::node& node, Code code, std::string what) {
    complain(node.source(), code, std::move(what));
  }

  void read_section(const std::string& section, const toml::node& node) {
    std::vector<std::string_view> sections{"key", "alias", "provider", "engine"}, keys;
    for (const ScalarSpec& spec : scalar_specs()) {
      const std::string_view name = spec.key;
      const size_t dot = name.find('.');
      sections.push_back(name.substr(0, dot));
      if (name.substr(0, dot) == section) keys.push_back(name.substr(dot + 1));
    }
    if (keys.empty()) {
      complain(node, Code::kInvalid,
               "unknown section or key \"" + section + "\"" + did_you_mean(section, sections));
      return;
    }
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      complain(node, Code::kInvalid, "\"" + section + "\" is a section: write [" + section + "]");
      return;
    }
    for (const auto& [key_view, value] : *table) {
      const std::string key(key_view.str());
      const std::string full = section + "." + key;
      const auto& specs = scalar_specs();
      const auto spec =
          std::find_if(specs.begin(), specs.end(), [&](const ScalarSpec& s) { return s.key == full; });
      if (spec == specs.end()) {
        complain(value, Code::kInvalid, "unknown key \"" + full + "\"" + did_you_mean(key, keys));
      } else {
        read_scalar(*spec, value);
      }
    }
  }

  void read_scalar(const ScalarSpec& spec, const toml::node& node) {
    const std::string where = place(node);
    auto value = read_value(spec, node);
    if (!value) {
      complain(node, Code::kInvalid, spec.key + " " + value.error().what);
      return;
    }
    if (spec.key == "server.tls_cert" || spec.key == "server.tls_key" || spec.key == "catalogue.file")
      value = Value(resolve(std::get<std::string>(*value)));
    const Status set = spec.set(out_.config, *value, where);
    if (!set) {
      out_.errors.push_back({set.error().code, spec.key + " " + set.error().what, where});
      return;
    }
    origins_[spec.key] = where;
  }

  // Without a place: the caller adds it.
  static Result<Value> read_value(const ScalarSpec& spec, const toml::node& node) {
    switch (spec.kind) {
      case ValueKind::kText:
        if (const auto v = node.value_exact<std::string>()) return Value(*v);
        return fail(Code::kInvalid, "needs a text in quotes");
      case ValueKind::kNumber:
        if (const auto v = node.value_exact<int64_t>()) return Value(*v);
        return fail(Code::kInvalid, "needs a whole number");
      case ValueKind::kSwitch:
        if (const auto v = node.value_exact<bool>()) return Value(*v);
        return fail(Code::kInvalid, "is true or false");
      case ValueKind::kBytes:
        if (const auto v = node.value_exact<int64_t>(); v && *v >= 0) return Value(*v);
        if (const auto v = node.value_exact<std::string>()) {
          CRESSET_TRY(bytes, parse_bytes(*v, ""));
          return Value(bytes);
        }
        return fail(Code::kInvalid, "needs a size, as in \"512MiB\" or 1000000");
      case ValueKind::kTexts:
        if (auto texts = read_texts(node)) return Value(std::move(*texts));
        return fail(Code::kInvalid, "needs a list of texts, as in [\"a\", \"b\"]");
    }
    return fail(Code::kInternal, "a kind of value without a reader");
  }

  static std::optional<std::vector<std::string>> read_texts(const toml::node& node) {
    const toml::array* array = node.as_array();
    if (array == nullptr) return std::nullopt;
    std::vector<std::string> out;
    for (const toml::node& item : *array) {
      const auto text = item.value_exact<std::string>();
      if (!text) return std::nullopt;
      out.push_back(*text);
    }
    return out;
  }

  template <class Read>
  void read_entries(const std::string& name, const toml::node& node, Read read_one) {
    const toml::array* array = node.as_array();
    if (array == nullptr || !array->is_homogeneous(toml::node_type::table)) {
      complain(node, Code::kInvalid, "\"" + name + "\" is a list of sections: write [[" + name + "]]");
      return;
    }
    if (array->size() > kEntriesMax) {
      complain(node, Code::kLimit, "more than " + std::to_string(kEntriesMax) + " [[" + name + "]]");
      return;
    }
    for (const toml::node& entry : *array) read_one(*entry.as_table());
  }

  // Reads the texts of one entry; complains about what is unknown or of another type.
  void read_members(const toml::table& table, std::string_view entry,
                    std::map<std::string_view, std::string*> texts,
                    std::map<std::string_view, std::vector<std::string>*> lists,
                    std::map<std::string_view, int64_t*> seconds = {},
                    std::map<std::string_view, bool*> switches = {}) {
    std::vector<std::string_view> known;
    for (const auto& [name, to] : texts) known.push_back(name);
    for (const auto& [name, to] : lists) known.push_back(name);
    for (const auto& [name, to] : seconds) known.push_back(name);
    for (const auto& [name, to] : switches) known.push_back(name);
    for (const auto& [key_view, node] : table) {
      const std::string_view key = key_view.str();
      if (const auto text = texts.find(key); text != texts.end()) {
        const auto value = node.value_exact<std::string>();
        value && !value->empty()
            ? void(*text->second = *value)
            : complain(node, Code::kInvalid, std::string(key) + " needs a text in quotes");
      } else if (const auto list = lists.find(key); list != lists.end()) {
        auto value = read_texts(node);
        value && !value->empty()
            ? void(*list->second = std::move(*value))
            : complain(node, Code::kInvalid, std::string(key) + " needs a list of texts");
      } else if (const auto number = seconds.find(key); number != seconds.end()) {
        const auto value = node.value_exact<int64_t>();
        value && *value >= 1 && *value <= kSecondsMax
            ? void(*number->second = *value)
            : complain(node, Code::kInvalid, std::string(key) + " needs 1 to 86400 seconds");
      } else if (const auto sw = switches.find(key); sw != switches.end()) {
        const auto value = node.value_exact<bool>();
        value ? void(*sw->second = *value)
              : complain(node, Code::kInvalid, std::string(key) + " is true or false");
      } else {
        complain(node, Code::kInvalid,
                 "unknown key \"" + std::string(key) + "\" in [[" + std::string(entry) + "]]" +
                     did_you_mean(key, known));
      }
    }
  }

  void read_key(const toml::table& table) {
    KeyEntry key;
    key.where = place(table);
    read_members(table, "key",
                 {{"name", &key.name},
                  {"secret_env", &key.secret_env},
                  {"secret_file", &key.secret_file},
                  {"priority", &key.priority}},
                 {{"models", &key.models}});
    if (key.name.empty() && !table.contains("name"))
      complain(table, Code::kInvalid, "a [[key]] needs a name");
    if (key.secret_env.empty() == key.secret_file.empty()) {
      complain(table, Code::kInvalid,
               "a [[key]] needs secret_env or secret_file, one of them (never the secret itself)");
    }
    if (!key.name.empty() && !key_names_.insert(key.name).second) {
      complain(table, Code::kInvalid, "a second [[key]] named \"" + key.name + "\"");
    }
    if (key.priority != "interactive" && key.priority != "normal" && key.priority != "batch")
      complain(table, Code::kInvalid, "priority is one of interactive, normal, batch");
    if (!key.secret_file.empty()) key.secret_file = resolve(key.secret_file);
    out_.config.keys.push_back(std::move(key));
  }

  void read_alias(const toml::table& table) {
    AliasEntry alias;
    alias.where = place(table);
    read_members(table, "alias", {{"name", &alias.name}, {"strategy", &alias.strategy}},
                 {{"candidates", &alias.candidates}});
    if (!table.contains("name")) complain(table, Code::kInvalid, "an [[alias]] needs a name");
    if (!table.contains("candidates")) complain(table, Code::kInvalid, "an [[alias]] needs candidates");
    if (!alias.name.empty() && !alias_names_.insert(alias.name).second) {
      complain(table, Code::kInvalid, "a second [[alias]] named \"" + alias.name + "\"");
    }
    if (alias.strategy != "ordered") {
      complain(table, Code::kUnsupported,
               "strategy \"" + alias.strategy + "\" comes with a later version; use \"ordered\"");
    }
    if (alias.candidates.size() > kCandidatesMax) complain(table, Code::kLimit, "more than 32 candidates");
    out_.config.aliases.push_back(std::move(alias));
  }

  void read_provider(const toml::table& table, bool is_engine) {
    const std::string entry = is_engine ? "engine" : "provider";
    ProviderEntry p;
    p.is_engine = is_engine;
    p.where = place(table);
    read_members(table, entry,
                 {{"name", &p.name},
                  {"dialect", &p.dialect},
                  {"base_url", &p.base_url},
                  {"key_env", &p.key_env},
                  {"key_file", &p.key_file},
                  {"region", &p.region},
                  {"clearance", &p.clearance},
                  {"catalogue", &p.catalogue},
                  {"ca_file", &p.ca_file},
                  {"proxy", &p.proxy}},
                 {},
                 {{"connect_time_max_s", &p.connect_time_max_s},
                  {"first_token_time_max_s", &p.first_token_time_max_s},
                  {"stall_time_max_s", &p.stall_time_max_s}},
                 {{"allow_plain", &p.allow_plain}});
    for (const char* needed : {"name", "dialect", "base_url"}) {
      if (!table.contains(needed)) complain(table, Code::kInvalid, "a [[" + entry + "]] needs " + needed);
    }
    constexpr std::string_view kDialects[] = {"openai_chat", "openai_responses", "anthropic", "gemini"};
    if (!p.dialect.empty() &&
        std::find(std::begin(kDialects), std::end(kDialects), p.dialect) == std::end(kDialects))
      complain(table, Code::kInvalid, "dialect is one of openai_chat, openai_responses, anthropic, gemini");
    constexpr std::string_view kLevels[] = {"public", "internal", "confidential", "secret"};
    if (!p.clearance.empty() &&
        std::find(std::begin(kLevels), std::end(kLevels), p.clearance) == std::end(kLevels))
      complain(table, Code::kInvalid, "clearance is one of public, internal, confidential, secret");
    if (!p.key_env.empty() && !p.key_file.empty())
      complain(table, Code::kInvalid, "a [[" + entry + "]] takes key_env or key_file, not both");
    if (p.name == "local" || p.name.find('/') != std::string::npos)
      complain(table, Code::kInvalid, "the name of a [[" + entry + "]] has no '/' and is not \"local\"");
    if (!p.name.empty() && !provider_names_.insert(p.name).second)
      complain(table, Code::kInvalid, "a second [[provider]] or [[engine]] named \"" + p.name + "\"");
    for (std::string* file : {&p.key_file, &p.ca_file}) {
      if (!file->empty()) *file = resolve(*file);
    }
    out_.config.providers.push_back(std::move(p));
  }

  // A candidate's provider may stand below its alias.
  void check_candidates() {
    for (const AliasEntry& alias : out_.config.aliases) {
      for (const std::string& candidate : alias.candidates) {
        const size_t slash = candidate.find('/');
        const std::string provider = candidate.substr(0, slash);
        if (slash == std::string::npos || provider == "local" || provider_names_.contains(provider)) continue;
        out_.errors.push_back({Code::kInvalid,
                               "the candidate \"" + candidate +
                                   "\" is of a provider that is not configured: add a "
                                   "[[provider]] named \"" +
                                   provider + "\"",
                               alias.where});
      }
    }
  }

  std::string resolve(const std::string& path) const {
    return path.starts_with('/') ? path : directory_ + path;
  }

  std::string file_, directory_;
  LoadedConfig& out_;
  std::map<std::string, std::string>& origins_;
  std::set<std::string> key_names_, alias_names_, provider_names_;
};

}  // namespace

void read_toml(const ConfigSources& sources, const std::string& directory, LoadedConfig& out,
               std::map<std::string, std::string>& origins) {
  Reader reader(sources, directory, out, origins);
  try {
    reader.read(toml::parse(sources.text));
  } catch (const toml::parse_error& error) {
    reader.complain(error.source(), Code::kInvalid, "not TOML: " + std::string(error.description()));
  }
  // toml++ keeps a table's keys in alphabetical order; a person reads a file from its top.
  std::stable_sort(out.errors.begin(), out.errors.end(), [](const Error& a, const Error& b) {
    const auto line = [](const Error& e) { return std::stoul("0" + e.where.substr(e.where.rfind(':') + 1)); };
    return line(a) < line(b);
  });
}

}  // namespace cresset::cli
