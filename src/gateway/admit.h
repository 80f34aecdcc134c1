// Admit: may this request be looked at at all. Guards the owner's machine against a web page in the owner's
// browser (DNS rebinding, cross-site requests) by Host, Origin and content type; asks for a key where keys
// are configured. Stateless after open; on the loop.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange.h"
#include "policy/principal.h"

namespace cresset::gateway {

class Admission {
 public:
  // `hosts`: names under which this server may be addressed beside localhost, 127.0.0.1 and [::1]; without
  // ports.
  Admission(policy::Keys keys, const std::vector<std::string>& hosts);

  Verdict admit(Exchange& exchange) const;

 private:
  Verdict check_browser(Exchange& exchange) const;
  Verdict check_key(Exchange& exchange) const;
  bool is_allowed_host(std::string_view host) const;

  const policy::Keys keys_;
  std::vector<std::string> hosts_;  // lower case
  const std::shared_ptr<const policy::Principal> anyone_;
};

// "localhost:7171" -> {"localhost", "7171"}; "[::1]" keeps its brackets. Empty host: not an authority.
struct Authority {
  std::string host;  // lower case, without a final dot
  std::string port;  // empty: not given
};
Authority parse_authority(std::string_view text);

// True for application/json, with whatever parameters.
bool is_json_content_type(std::string_view value);

}  // namespace cresset::gateway
