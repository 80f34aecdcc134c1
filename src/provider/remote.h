// RemoteProviders: the lighthouses and attached engines of the configuration behind Remote. Encodes a request
// in the provider's dialect, sends it, decodes what comes back as it comes, holds it to the grammar of
// events, and passes it on.
//
// Lives on the loop. Does not decide who may use what, nor what to try next.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "net/client.h"
#include "provider/provider.h"
#include "wire/codec.h"

namespace cresset::provider {

struct RemoteOptions {
  std::string name;
  chat::Dialect dialect = chat::Dialect::kOpenAiChat;
  std::string base_url;  // see CONTRACT: "https://api.openai.com/v1", "https://api.anthropic.com"
  std::shared_ptr<const Secret> secret;  // null: none is sent
  bool is_engine = false;
  bool allow_plain = false;
  std::string ca_file{}, proxy{};
  std::chrono::milliseconds connect_time_max{10'000};
  std::chrono::milliseconds first_token_time_max{600'000};
  std::chrono::milliseconds stall_time_max{120'000};
  std::vector<RemoteModel> models{};  // from the catalogue
};

// An outbound call, whole, before any of it is sent. The secret is not part of it.
struct Outbound {
  std::string url;
  net::Headers headers;
  std::string body;
  std::string dropped;
};

class RemoteProviders final : public Remote {
 public:
  static constexpr size_t kAnswerBytesMax = 64u << 20;  // of an answer that is not streamed

  // Names must be unique; a base URL that may not be asked is refused. `client` outlives this.
  static Result<std::unique_ptr<RemoteProviders>> open(net::Client& client,
                                                       std::vector<RemoteOptions> providers);

  RemoteStart answer(const RemoteInquiry& inquiry) override;
  const std::vector<RemoteCard>& cards() const override { return cards_; }

  // What would be sent.
  static Outbound make_outbound(const RemoteOptions& provider, const RemoteInquiry& inquiry);

 private:
  RemoteProviders(net::Client& client, std::vector<RemoteOptions> providers);

  net::Client& client_;
  const std::vector<RemoteOptions> providers_;
  std::vector<RemoteCard> cards_;
};

}  // namespace cresset::provider
