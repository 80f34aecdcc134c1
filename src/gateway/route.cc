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

struct Question {
  const Names& names;
  const policy::Principal& principal;
  std::string_view asked;  // the name in the request
  bool local_only;
  std::string_view by;  // ", by alias NAME", or nothing
};

void add_remote(const Question& q, const provider::RemoteCard& card, std::string_view model, Plan& plan) {
  std::string id = card.name + "/" + std::string(model);
  if (q.local_only) {
    plan.exclusions.push_back({std::move(id), "the request's label keeps it on this machine", true});
  } else if (!q.principal.may_use({std::string(q.asked), id, std::string(model)})) {
    plan.exclusions.push_back({std::move(id), "not in the key's list of models", false});
  } else {
    std::string reason = (card.is_engine ? "attached engine " : "provider ") + card.name + std::string(q.by);
    plan.candidates.push_back({std::move(id), std::string(model), std::move(reason), &card});
  }
}

const provider::RemoteCard* find_remote(const Names& names, std::string_view name) {
  for (const provider::RemoteCard& card : names.remotes) {
    if (card.name == name) return &card;
  }
  return nullptr;
}

const provider::RemoteCard* find_listing(const Names& names, std::string_view model) {
  for (const provider::RemoteCard& card : names.remotes) {
    for (const provider::RemoteModel& known : card.models) {
      if (known.id == model) return &card;
    }
  }
  return nullptr;
}

// Adds what one name that is not an alias means.
void add(const Question& q, std::string_view name, std::string_view reason, Plan& plan) {
  const size_t slash = name.find('/');
  if (slash != std::string_view::npos && !name.starts_with(kLocal)) {
    const provider::RemoteCard* card = find_remote(q.names, name.substr(0, slash));
    if (card != nullptr && slash + 1 < name.size()) return add_remote(q, *card, name.substr(slash + 1), plan);
    plan.exclusions.push_back({std::string(name),
                               q.local_only
                                   ? "the request's label keeps it on this machine"
                                   : "there is no provider \"" + std::string(name.substr(0, slash)) + "\"",
                               q.local_only});
    return;
  }
  const bool is_bare = !name.starts_with(kLocal);
  const std::string installed = find_installed(q.names, is_bare ? name : name.substr(kLocal.size()));
  if (installed.empty()) {
    const provider::RemoteCard* card = is_bare ? find_listing(q.names, name) : nullptr;
    if (card != nullptr) return add_remote(q, *card, name, plan);
    plan.exclusions.push_back({std::string(name), "no such model is installed", false});
  } else if (!q.principal.may_use(names_of(q.asked, installed))) {
    plan.exclusions.push_back({std::string(kLocal) + installed, "not in the key's list of models", false});
  } else {
    plan.candidates.push_back(
        {std::string(kLocal) + installed, installed, std::string(reason) + std::string(q.by)});
  }
}

}  // namespace

Plan make_plan(const Names& names, const policy::Principal& principal, std::string_view model,
               bool local_only) {
  Plan plan;
  for (const Alias& alias : names.aliases) {
    if (alias.name != model) continue;
    const std::string by = ", by alias " + alias.name;
    const Question q{names, principal, model, local_only, by};
    for (const std::string& candidate : alias.candidates) add(q, candidate, "own engine", plan);
    return plan;
  }
  const bool is_default = model == kDefault || model == std::string(kLocal) + std::string(kDefault);
  add({names, principal, model, local_only, {}}, model, is_default ? "own engine, the default" : "own engine",
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
