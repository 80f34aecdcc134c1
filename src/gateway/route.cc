#include "gateway/route.h"

#include <algorithm>
#include <utility>

namespace cresset::gateway {

namespace {

constexpr std::string_view kLocal = "local/";
constexpr std::string_view kLatest = ":latest";
constexpr std::string_view kDefault = "default";
constexpr size_t kShownBytesMax = 128;

// The installed name that a name under local/ means, or empty.
std::string find_installed(const Names& names, std::string_view name) {
  const auto has = [&names](std::string_view wanted) {
    return std::find(names.installed.begin(), names.installed.end(), wanted) != names.installed.end();
  };
  if (has(name)) return std::string(name);
  if (std::string latest = std::string(name) + std::string(kLatest); has(latest)) return latest;
  // A model without a tag is its own latest.
  if (name.ends_with(kLatest) && has(name.substr(0, name.size() - kLatest.size()))) {
    return std::string(name.substr(0, name.size() - kLatest.size()));
  }
  if (name == kDefault && has(names.default_name)) return names.default_name;
  return {};
}

// Every name an allow-list may mean this model by.
std::vector<std::string> names_of(std::string_view asked, const std::string& installed) {
  std::vector<std::string> out{std::string(asked), std::string(kLocal) + installed, installed};
  if (installed.ends_with(kLatest)) {
    const std::string bare = installed.substr(0, installed.size() - kLatest.size());
    out.push_back(bare);
    out.push_back(std::string(kLocal) + bare);
  }
  return out;
}

// Adds what one name that is not an alias means. `asked` is the name in the request.
void add(const Names& names, const policy::Principal& principal, std::string_view asked,
         std::string_view name, bool local_only, std::string reason, Plan& plan) {
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos && !name.starts_with(kLocal)) {
    plan.exclusions.push_back({std::string(name),
                               local_only
                                   ? "the request's label keeps it on this machine"
                                   : "there is no provider \"" + std::string(name.substr(0, slash)) + "\"",
                               local_only});
    return;
  }
  const std::string_view bare = name.starts_with(kLocal) ? name.substr(kLocal.size()) : name;
  const std::string installed = find_installed(names, bare);
  if (installed.empty()) {
    plan.exclusions.push_back({std::string(name), "no such model is installed", false});
  } else if (!principal.may_use(names_of(asked, installed))) {
    plan.exclusions.push_back({std::string(kLocal) + installed, "not in the key's list of models", false});
  } else {
    plan.candidates.push_back({std::string(kLocal) + installed, installed, std::move(reason)});
  }
}

}  // namespace

Plan make_plan(const Names& names, const policy::Principal& principal, std::string_view model,
               bool local_only) {
  Plan plan;
  for (const Alias& alias : names.aliases) {
    if (alias.name != model) continue;
    for (const std::string& candidate : alias.candidates) {
      add(names, principal, model, candidate, local_only, "own engine, by alias " + alias.name, plan);
    }
    return plan;
  }
  const bool is_default = model == kDefault || model == std::string(kLocal) + std::string(kDefault);
  add(names, principal, model, model, local_only, is_default ? "own engine, the default" : "own engine",
      plan);
  return plan;
}

wire::Fault no_candidate(const Plan& plan, std::string_view model, bool any_installed) {
  wire::Fault fault;
  const std::string shown(model.substr(0, kShownBytesMax));
  for (const Exclusion& exclusion : plan.exclusions) {
    if (!exclusion.is_label) continue;
    fault.code = Code::kRefused;
    fault.message = "The request carries a label, so only this server's own models may answer it; `" + shown +
                    "` is not one of them.";
    fault.reason = "label_refused";
    return fault;
  }
  fault.code = Code::kNotFound;
  fault.message = "The model `" + shown + "` does not exist or you do not have access to it.";
  if (!any_installed) {
    fault.message += " No model is installed here: `cresset import FILE` or `cresset pull REF` brings one.";
  }
  fault.reason = "model_not_found";
  return fault;
}

}  // namespace cresset::gateway
