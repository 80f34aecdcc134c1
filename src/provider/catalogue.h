// Catalogue: what is known of providers' models (windows, limits, prices, capabilities), from a dated data
// file: data/catalogue.json is built in, and the owner may give another. What a file does not say is not
// known; nothing is guessed. Immutable after parsing; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "provider/provider.h"

namespace cresset::provider {

constexpr size_t kCatalogueBytesMax = 16u << 20;
constexpr size_t kCatalogueModelsMax = 65'536;

struct Catalogue {
  std::string as_of;  // "2026-05-29"
  std::map<std::string, std::vector<RemoteModel>, std::less<>> providers;
};

Result<Catalogue> parse_catalogue(std::string_view text);
std::string_view built_in_catalogue();

}  // namespace cresset::provider
