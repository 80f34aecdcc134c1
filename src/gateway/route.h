// Route: what a model's name means. A pure function of the name, a snapshot of what there is and who asks, to
// a plan: ordered candidates with reasons, and what was left out and why. A bare NAME is an alias, then
// local/NAME (also NAME:latest), then a model of the first provider whose catalogue lists it; with a '/' it
// is local/NAME or PROVIDER/MODEL, whatever MODEL is. Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/principal.h"
#include "provider/provider.h"
#include "wire/fault.h"

namespace cresset::gateway {

struct Alias {
  std::string name;
  std::vector<std::string> candidates;  // tried in order
};

struct Names {
  std::vector<std::string> installed;  // "smollm2:latest"
  std::string default_name;            // one of them, or empty
  std::vector<Alias> aliases;
  std::span<const provider::RemoteCard> remotes{};  // outlive the names
};

struct Candidate {
  std::string id;                                // "local/smollm2:latest", "anthropic/claude-sonnet-5"
  std::string model;                             // "smollm2:latest", "claude-sonnet-5"
  std::string reason;                            // "own engine"
  const provider::RemoteCard* remote = nullptr;  // null: the own engine

  bool is_local() const { return remote == nullptr; }
  // Its label in the metrics: a client may ask a provider for any name, so that is none.
  const std::string& counted_as() const { return is_local() ? model : remote->name; }
};

struct Exclusion {
  std::string id;
  std::string reason;
  bool is_label = false;  // left out because of the request's label
};

struct Plan {
  std::vector<Candidate> candidates;
  std::vector<Exclusion> exclusions;
};

// `local_only`: nothing that leaves this machine (the request is labelled).
Plan make_plan(const Names& names, const policy::Principal& principal, std::string_view model,
               bool local_only);

// Why a plan without candidates cannot answer: 403 when only the label stands in the way, else 404, in the
// same words whether the model is absent or not this key's to use. Where none is installed it says what
// brings one.
wire::Fault no_candidate(const Plan& plan, std::string_view model, bool any_installed = true);

}  // namespace cresset::gateway
