// StoreModels: the model store as the gateway sees it. A snapshot that is read again every second, so that
// what another process imports or removes shows without a restart. list() and default_name() on the loop;
// read() and path_of() on any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "provider/provider.h"
#include "provider/threads.h"
#include "store/models.h"

namespace cresset::cli {

class StoreModels final : public provider::ModelSource {
 public:
  struct Snapshot {
    std::shared_ptr<const std::vector<provider::InstalledModel>> models;
    std::string default_name;
  };

  // `store` outlives this. `configured_default`: model.default, or empty.
  StoreModels(store::ModelStore& store, std::string configured_default);

  std::shared_ptr<const std::vector<provider::InstalledModel>> list() override { return snapshot_.models; }
  std::string default_name() override { return snapshot_.default_name; }
  Result<std::string> path_of(const std::string& name) override;

  Snapshot read() const;
  void take(Snapshot snapshot) { snapshot_ = std::move(snapshot); }
  // Reads again every second: on `porter`, taken on the loop. Both outlive this.
  void watch(provider::Schedule& schedule, provider::Porter& porter);

 private:
  store::ModelStore& store_;
  const std::string configured_default_;
  Snapshot snapshot_;
  std::shared_ptr<StoreModels*> self_;  // posted work holds it weakly
};

}  // namespace cresset::cli
