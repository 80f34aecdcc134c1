#include "cli/config_table.h"

#include <charconv>

#include "cli/args.h"

namespace cresset::cli {
namespace {

constexpr int64_t kTokensMax = 1 << 24;
constexpr size_t kHostsMax = 64, kPinnedMax = 64;
constexpr int64_t kSecondsMax = 31'536'000;

ScalarSpec text(std::string key, std::string Config::* field) {
  return {std::move(key), ValueKind::kText,
          [field](Config& c, const Value& v, const std::string&) -> Status {
            c.*field = std::get<std::string>(v);
            return {};
          },
          [field](const Config& c) { return Json(c.*field); }};
}

ScalarSpec toggle(std::string key, bool Config::* field) {
  return {std::move(key), ValueKind::kSwitch,
          [field](Config& c, const Value& v, const std::string&) -> Status {
            c.*field = std::get<bool>(v);
            return {};
          },
          [field](const Config& c) { return Json(c.*field); }};
}

ScalarSpec number(std::string key, int engine::EngineOptions::* field, int64_t low, int64_t high) {
  return {std::move(key), ValueKind::kNumber,
          [=](Config& c, const Value& v, const std::string& where) -> Status {
            const int64_t n = std::get<int64_t>(v);
            if (n < low || n > high) {
              return fail(Code::kInvalid, "needs " + std::to_string(low) + " to " + std::to_string(high),
                          where);
            }
            c.own_engine.*field = static_cast<int>(n);
            return {};
          },
          [field](const Config& c) { return Json(c.own_engine.*field); }};
}

ScalarSpec whole(std::string key, int64_t Config::* field, int64_t low, int64_t high) {
  return {std::move(key), ValueKind::kNumber,
          [=](Config& c, const Value& v, const std::string& where) -> Status {
            const int64_t n = std::get<int64_t>(v);
            if (n < low || n > high) {
              return fail(Code::kInvalid, "needs " + std::to_string(low) + " to " + std::to_string(high),
                          where);
            }
            c.*field = n;
            return {};
          },
          [field](const Config& c) { return Json(c.*field); }};
}

// A word out of a few, each with its value.
template <class T>
ScalarSpec choice(std::string key, T engine::EngineOptions::* field,
                  std::vector<std::pair<std::string, T>> words) {
  return {std::move(key), ValueKind::kText,
          [field, words](Config& c, const Value& v, const std::string& where) -> Status {
            std::string known;
            for (const auto& [word, value] : words) {
              if (word == std::get<std::string>(v)) {
                c.own_engine.*field = value;
                return {};
              }
              known += (known.empty() ? "" : ", ") + word;
            }
            return fail(Code::kInvalid, "is one of " + known, where);
          },
          [field, words](const Config& c) {
            for (const auto& [word, value] : words) {
              if (value == c.own_engine.*field) return Json(word);
            }
            return Json();
          }};
}

std::vector<ScalarSpec> make_specs() {
  using engine::Arithmetic;
  using engine::EngineOptions;
  using engine::KernelKind;
  using engine::KvFormat;
  return {
      {"server.listen", ValueKind::kText,
       [](Config& c, const Value& v, const std::string& where) -> Status {
         CRESSET_TRY(listen, parse_listen(std::get<std::string>(v), where));
         c.listen = listen;
         return {};
       },
       [](const Config& c) { return Json(c.listen.text()); }},
      text("server.tls_cert", &Config::tls_cert),
      text("server.tls_key", &Config::tls_key),
      toggle("server.insecure", &Config::insecure),
      {"server.hosts", ValueKind::kTexts,
       [](Config& c, const Value& v, const std::string& where) -> Status {
         const auto& hosts = std::get<std::vector<std::string>>(v);
         if (hosts.size() > kHostsMax) return fail(Code::kLimit, "has more than 64 names", where);
         for (const std::string& host : hosts) {
           if (host.empty() || host.find_first_of("/*@ \t") != std::string::npos) {
             return fail(Code::kInvalid,
                         "holds host names as a browser sends them, as in \"cresset.home.arpa\"", where);
           }
         }
         c.hosts = hosts;
         return {};
       },
       [](const Config& c) {
         Json out = Json::array();
         for (const std::string& host : c.hosts) out.push(host);
         return out;
       }},
      text("model.default", &Config::model_default),
      text("catalogue.file", &Config::catalogue_file),
      number("own_engine.threads", &EngineOptions::threads, 0, 256),
      choice<KernelKind>("own_engine.kernels", &EngineOptions::kernels,
                         {{"auto", KernelKind::kAuto},
                          {"scalar", KernelKind::kScalar},
                          {"avx2", KernelKind::kAvx2},
                          {"avx512", KernelKind::kAvx512}}),
      choice<Arithmetic>("own_engine.arithmetic", &EngineOptions::arithmetic,
                         {{"int8", Arithmetic::kInt8}, {"float32", Arithmetic::kFloat32}}),
      number("own_engine.context_max", &EngineOptions::context_max, 0, kTokensMax),
      {"own_engine.kv_bytes_max", ValueKind::kBytes,
       [](Config& c, const Value& v, const std::string&) -> Status {
         c.own_engine.kv_bytes_max = static_cast<uint64_t>(std::get<int64_t>(v));
         return {};
       },
       [](const Config& c) { return Json(c.own_engine.kv_bytes_max); }},
      choice<KvFormat>("own_engine.kv_format", &EngineOptions::kv_format,
                       {{"bf16", KvFormat::kBf16},
                        {"q8_0", KvFormat::kQ8_0},
                        {"q8_q4", KvFormat::kQ8Q4},
                        {"q4", KvFormat::kQ4}}),
      number("own_engine.sequences_max", &EngineOptions::sequences_max, 1, 4096),
      number("own_engine.queue_max", &EngineOptions::queue_max, 0, 65'536),
      number("own_engine.step_tokens_max", &EngineOptions::step_tokens_max, 1, 65'536),
      {"own_engine.speculation", ValueKind::kSwitch,
       [](Config& c, const Value& v, const std::string&) -> Status {
         c.own_engine.speculation = std::get<bool>(v);
         return {};
       },
       [](const Config& c) { return Json(c.own_engine.speculation); }},
      toggle("own_engine.packed_cache", &Config::packed_cache),
      whole("own_engine.models_max", &Config::models_max, 1, 64),
      {"own_engine.memory_max", ValueKind::kBytes,
       [](Config& c, const Value& v, const std::string&) -> Status {
         c.memory_max = std::get<int64_t>(v);
         return {};
       },
       [](const Config& c) { return Json(c.memory_max); }},
      whole("own_engine.keep_alive_s", &Config::keep_alive_s, 0, kSecondsMax),
      {"own_engine.pinned", ValueKind::kTexts,
       [](Config& c, const Value& v, const std::string& where) -> Status {
         c.pinned = std::get<std::vector<std::string>>(v);
         if (c.pinned.size() > kPinnedMax) return fail(Code::kLimit, "has more than 64 names", where);
         return {};
       },
       [](const Config& c) {
         Json out = Json::array();
         for (const std::string& name : c.pinned) out.push(name);
         return out;
       }},
  };
}

}  // namespace

const std::vector<ScalarSpec>& scalar_specs() {
  static const std::vector<ScalarSpec> specs = make_specs();
  return specs;
}

std::string environment_name(const std::string& key) {
  std::string out = "CRESSET_";
  for (const char c : key) out += c == '.' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

Result<int64_t> parse_bytes(std::string_view input, const std::string& where) {
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {{"KiB", 1 << 10},
                                                             {"MiB", 1 << 20},
                                                             {"GiB", 1 << 30},
                                                             {"TiB", int64_t{1} << 40},
                                                             {"kB", 1000},
                                                             {"MB", 1'000'000},
                                                             {"GB", 1'000'000'000},
                                                             {"TB", 1'000'000'000'000},
                                                             {"B", 1},
                                                             {"", 1}};
  int64_t count = 0;
  const auto [end, error] = std::from_chars(input.data(), input.data() + input.size(), count);
  std::string_view unit = input.substr(static_cast<size_t>(end - input.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, factor] : kUnits) {
    if (error == std::errc() && count >= 0 && unit == name && count <= INT64_MAX / factor)
      return count * factor;
  }
  return fail(Code::kInvalid, "needs a size, as in \"512MiB\" or 1000000", where);
}

Result<Value> value_from_text(ValueKind kind, const std::string& input, const std::string& where) {
  switch (kind) {
    case ValueKind::kText:
      return Value(input);
    case ValueKind::kNumber: {
      CRESSET_TRY(n, parse_number(input, INT64_MIN, INT64_MAX, where));
      return Value(n);
    }
    case ValueKind::kBytes: {
      CRESSET_TRY(n, parse_bytes(input, where));
      return Value(n);
    }
    case ValueKind::kSwitch:
      if (input == "true" || input == "1") return Value(true);
      if (input == "false" || input == "0") return Value(false);
      return fail(Code::kInvalid, "is true or false", where);
    case ValueKind::kTexts: {
      std::vector<std::string> items;
      for (size_t at = 0; at < input.size();) {
        const size_t comma = std::min(input.find(',', at), input.size());
        items.push_back(input.substr(at, comma - at));
        at = comma + 1;
      }
      return Value(std::move(items));
    }
  }
  return fail(Code::kInternal, "a kind of value without a reader", where);
}

}  // namespace cresset::cli
