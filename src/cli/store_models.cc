#include "cli/store_models.h"

#include "cli/model_card.h"

namespace cresset::cli {
namespace {

constexpr std::chrono::milliseconds kInterval{1000};

std::string without_local(std::string name) {
  constexpr std::string_view kLocal = "local/";
  return name.starts_with(kLocal) ? name.substr(kLocal.size()) : name;
}

}  // namespace

StoreModels::StoreModels(store::ModelStore& store, std::string configured_default)
    : store_(store),
      configured_default_(without_local(std::move(configured_default))),
      snapshot_(read()),
      self_(std::make_shared<StoreModels*>(this)) {}

Result<std::string> StoreModels::path_of(const std::string& name) {
  CRESSET_TRY(record, store_.find(name));
  if (!record.is_whole)
    return fail(Code::kCorrupt, "its bytes are missing or cut; import it again", record.name);
  return store_.path_of(record);
}

StoreModels::Snapshot StoreModels::read() const {
  auto models = std::make_shared<std::vector<provider::InstalledModel>>();
  for (const store::ModelRecord& record : store_.list().value_or(std::vector<store::ModelRecord>())) {
    if (record.is_whole)
      models->push_back({record.name, record.imported_unix_ms / 1000, card_from_json(record.card)});
  }
  const bool configured = !configured_default_.empty() && configured_default_ != "default";
  const auto first = configured ? store_.find(configured_default_) : store_.find_default();
  return {std::move(models), first ? first->name : ""};
}

void StoreModels::watch(provider::Schedule& schedule, provider::Porter& porter) {
  const std::weak_ptr<StoreModels*> weak = self_;
  schedule.after(kInterval, [this, weak, &schedule, &porter] {
    if (weak.expired()) return;
    const Status posted = porter.post([this, weak, &schedule, &porter] {
      // The porter ends before this object does: its work may look at the store.
      auto snapshot = std::make_shared<Snapshot>(read());
      schedule.post([this, weak, &schedule, &porter, snapshot] {
        if (weak.expired()) return;
        take(std::move(*snapshot));
        watch(schedule, porter);
      });
    });
    if (!posted) watch(schedule, porter);  // the porter is busy: next second
  });
}

}  // namespace cresset::cli
