// What the own engine makes of the parameters that only OpenAI's dialect knows: values of these pass when
// they ask for nothing; anything else is refused by name.
#include <utility>

#include "wire/openai_request.h"
#include "wire/own_engine.h"

namespace cresset::wire {

namespace {

constexpr std::string_view kNotBuilt = "is not supported by this model.";

Checked refuse(Fault fault) {
  return tl::unexpected<Fault>(std::move(fault));
}

Checked refuse_parameter(const Field& f) {
  return refuse(unsupported_parameter(f.path, kNotBuilt));
}

Checked pass_empty_array(const Field& f) {
  return f.value.is_array() && f.value.as_array().empty() ? Checked{} : refuse_parameter(f);
}

Checked pass_empty_object(const Field& f) {
  return f.value.is_object() && f.value.as_object().empty() ? Checked{} : refuse_parameter(f);
}

Checked pass_empty_string(const Field& f) {
  return f.value.is_string() && f.value.as_string().empty() ? Checked{} : refuse_parameter(f);
}

Checked pass_no_tool_choice(const Field& f) {
  if (f.value.is_string()) return check_one_of(f, {"none", "auto"});
  if (f.value.is_object())
    return refuse(unsupported_value(f.path, "names a tool, and this model has no tools."));
  return refuse(wrong_type(f, "a string or an object"));
}

Checked pass_text_modality(const Field& f) {
  if (Checked ok = check_array(f, 1, 16); !ok) return ok;
  for (size_t i = 0; i < f.value.as_array().size(); ++i) {
    if (Checked ok = check_one_of(f.item(i), {"text"}); !ok) return ok;
  }
  return {};
}

Checked pass_false(const Field& f) {
  bool value = false;
  if (Checked ok = take_boolean(f, value); !ok) return ok;
  if (!value) return {};
  return refuse(unsupported_value(f.path, "does not support true here."));
}

Checked pass_short_string(const Field& f) {
  std::string ignored;
  return take_string(f, kShortBytesMax, ignored);
}

Checked pass_stream_options(const Field& f) {
  for (const JsonMember& m : f.value.as_object()) {
    // Who asks for the padding must not be left without it unseen.
    Checked ok = m.first == "include_obfuscation" ? pass_false(f.member(m))
                                                  : refuse(unknown_parameter(f.member(m).path));
    if (!ok) return ok;
  }
  return {};
}

struct OwnCheck {
  std::string_view name;
  Checked (*check)(const Field&);
};

constexpr OwnCheck kChecks[] = {
    {"max_tokens", [](const Field&) { return Checked{}; }},  // decoded too
    {"safety_identifier", pass_short_string},
    {"prompt_cache_key", pass_short_string},
    {"store", pass_false},
    {"modalities", pass_text_modality},
    {"service_tier", [](const Field& f) { return check_one_of(f, {"auto", "default"}); }},
    {"verbosity", [](const Field& f) { return check_one_of(f, {"medium"}); }},
    {"prompt_cache_retention", [](const Field& f) { return check_one_of(f, {"in_memory", "in-memory"}); }},
    {"prompt_cache_options", pass_empty_object},
    {"functions", pass_empty_array},
    {"function_call", pass_no_tool_choice},
    {"stream_options", pass_stream_options},
    {"audio", refuse_parameter},
    {"moderation", refuse_parameter},
    {"prediction", refuse_parameter},
    {"web_search_options", refuse_parameter},
};

}  // namespace

Checked check_openai_own(OpenAiEndpoint endpoint, const chat::Request& request) {
  if (Checked ok = check_own_vocabulary(request, {}); !ok) return ok;
  if (!request.extras.is_object()) return {};
  for (const JsonMember& m : request.extras.as_object()) {
    const Field field{m.second, m.first};
    const OwnCheck* found = nullptr;
    for (const OwnCheck& check : kChecks) {
      if (check.name == m.first && endpoint == OpenAiEndpoint::kChat) found = &check;
    }
    Checked ok;
    if (endpoint == OpenAiEndpoint::kCompletions && m.first == "suffix") {
      ok = pass_empty_string(field);
    } else if (endpoint == OpenAiEndpoint::kCompletions && m.first == "stream_options") {
      ok = pass_stream_options(field);
    } else {
      ok = found != nullptr ? found->check(field)
                            : refuse(unknown_parameter(m.first.substr(0, kShortBytesMax)));
    }
    if (!ok) return ok;
  }
  return {};
}

}  // namespace cresset::wire
