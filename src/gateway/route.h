// Route: what a model's name means. A pure function of the name, a snapshot of what there is and who asks, to
// a plan: ordered candidates with reasons, and what was left out and why. The names are CONTRACT's: an alias,
// `default`, NAME, NAME:latest, local/NAME. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/principal.h"
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
};

struct Candidate {
  std::string id;      // "local/smollm2:latest"
  std::string model;   // "smollm2:latest"
  std::string reason;  // "own engine"
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
