#include "cli/context.h"

#include <algorithm>

namespace cresset::cli {
namespace {

constexpr std::string_view kLocal = "local/";

Result<ModelFile> find_installed(Context& context, std::string_view name) {
  CRESSET_TRY(store, context.open_store());
  if (name == "default") {
    if (!context.config.model_default.empty() && context.config.model_default != "default") {
      return find_model(context, context.config.model_default);
    }
    CRESSET_TRY(record, store->find_default());
    return ModelFile{record.name, store->path_of(record)};
  }
  CRESSET_TRY(record, store->find(name));
  if (!record.is_whole) {
    return fail(Code::kCorrupt,
                "its bytes are missing or cut; `cresset rm " + record.name + "` and import it again",
                record.name);
  }
  return ModelFile{record.name, store->path_of(record)};
}

// Of a model in the store the repacked weights are kept; of a file that is tried out they are not.
engine::EngineOptions engine_options(const Context& context, const std::string& path) {
  engine::EngineOptions options = context.config.own_engine;
  options.model_sha256 = store::digest_of_path(context.data_directory, path);
  if (context.config.packed_cache) options.packed_directory = store::packed_directory(context.data_directory);
  return options;
}

}  // namespace

Result<ModelFile> find_model(Context& context, const std::string& name) {
  if (name.ends_with(".gguf")) {
    if (!context.env.exists(name)) return fail(Code::kNotFound, "no such file", name);
    return ModelFile{name, name};
  }
  if (name.empty() || name == "default") return find_installed(context, "default");
  if (name.starts_with(kLocal)) return find_installed(context, std::string_view(name).substr(kLocal.size()));
  const auto& aliases = context.config.aliases;
  const auto alias =
      std::find_if(aliases.begin(), aliases.end(), [&](const AliasEntry& a) { return a.name == name; });
  if (alias != aliases.end()) {
    // An alias leads to models, never to another alias.
    Error last{Code::kNotFound, "the alias has no candidate that is installed", name};
    for (const std::string& candidate : alias->candidates) {
      const bool is_local = candidate.starts_with(kLocal);
      auto found =
          find_installed(context, is_local ? std::string_view(candidate).substr(kLocal.size()) : candidate);
      if (found) return found;
    }
    return tl::unexpected(last);
  }
  if (name.find('/') != std::string::npos) {
    return fail(Code::kNotFound,
                "no provider or engine of that name is configured; an installed model is local/NAME", name);
  }
  return find_installed(context, name);
}

bool names_model(Context& context, const std::string& name) {
  if (name.ends_with(".gguf") && name.find(' ') == std::string::npos) return true;
  const auto found = find_model(context, name);
  return found.has_value() || found.error().code == Code::kCorrupt;
}

Result<std::unique_ptr<engine::Engine>> open_engine(Context& context, const std::string& path,
                                                    uint64_t kv_bytes_ready) {
  engine::EngineOptions options = engine_options(context, path);
  options.kv_bytes_ready = kv_bytes_ready;
  return context.parts.open_engine(context.env, path, options);
}

void prepare_model(Context& context, const store::ModelStore& store, const store::ModelRecord& record) {
  if (!context.config.packed_cache || !context.parts.keep_packed) return;
  const std::string path = store.path_of(record);
  static_cast<void>(context.parts.keep_packed(context.env, path, engine_options(context, path)));
}

}  // namespace cresset::cli
