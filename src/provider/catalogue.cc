#include "provider/catalogue.h"

#include <limits>
#include <utility>

namespace cresset::provider {

namespace {

Result<int> read_count(const Json& model, std::string_view name, const std::string& where) {
  const Json* value = model.find(name);
  if (value == nullptr || value->is_null()) return 0;
  if (!value->is_integer() || value->as_integer() < 0 ||
      value->as_integer() > std::numeric_limits<int>::max())
    return fail(Code::kInvalid, std::string(name) + " needs a whole number", where);
  return static_cast<int>(value->as_integer());
}

Result<RemoteModel> read_model(const Json& value, const std::string& as_of, const std::string& where) {
  const Json* id = value.find("id");
  if (id == nullptr || !id->is_string() || id->as_string().empty())
    return fail(Code::kInvalid, "a model needs an id", where);
  RemoteModel out;
  out.id = id->as_string();
  CRESSET_TRY(window, read_count(value, "window", where + "." + out.id));
  CRESSET_TRY(answer, read_count(value, "answer_tokens_max", where + "." + out.id));
  out.context_length = window;
  out.answer_tokens_max = answer;
  if (const Json* adaptive = value.find("adaptive_thinking"))
    out.has_adaptive_thinking = adaptive->is_bool() && adaptive->as_bool();
  out.facts = Json::object({{"as_of", as_of}});
  for (const JsonMember& m : value.as_object()) {
    if (m.first != "id") out.facts.set(m.first, m.second);
  }
  return out;
}

}  // namespace

Result<Catalogue> parse_catalogue(std::string_view text) {
  CRESSET_TRY(root, parse_json(text, {.bytes_max = kCatalogueBytesMax}));
  const Json* providers = root.find("providers");
  if (providers == nullptr || !providers->is_object())
    return fail(Code::kInvalid, "needs a member \"providers\", an object", "catalogue");
  Catalogue out;
  if (const Json* as_of = root.find("as_of"); as_of != nullptr && as_of->is_string())
    out.as_of = as_of->as_string();
  size_t count = 0;
  for (const JsonMember& provider : providers->as_object()) {
    const Json* models = provider.second.find("models");
    if (models == nullptr || !models->is_array())
      return fail(Code::kInvalid, "needs a member \"models\", a list", "catalogue." + provider.first);
    for (const Json& value : models->as_array()) {
      if (++count > kCatalogueModelsMax) return fail(Code::kLimit, "more than 65536 models", "catalogue");
      CRESSET_TRY(model, read_model(value, out.as_of, "catalogue." + provider.first));
      out.providers[provider.first].push_back(std::move(model));
    }
  }
  return out;
}

}  // namespace cresset::provider
