#include "engine/token/chat_template.h"

#include <utility>

#include "base/text.h"
#include "engine/token/jinja/fault.h"
#include "engine/token/jinja/interpreter.h"
#include "engine/token/jinja/parser.h"

namespace cresset::engine {
namespace {

constexpr int kHeightMax = 128;  // of one expression's tree
// Text that a rendering may make beyond its output, for each byte of its input (a chain of filters over a
// message).
constexpr size_t kWorkPerInputByte = 16;

Error to_error(const jinja::Fault& f) {
  return {f.code, f.what, f.line > 0 ? "chat template, line " + std::to_string(f.line) : "chat template"};
}

size_t weight_of(const Json& json) {
  constexpr size_t kNode = 64;
  if (json.is_string()) return kNode + json.as_string().size();
  size_t sum = kNode;
  if (json.is_array()) {
    for (const Json& item : json.as_array()) sum += weight_of(item);
  } else if (json.is_object()) {
    for (const auto& [key, value] : json.as_object()) sum += key.size() + weight_of(value);
  }
  return sum;
}

// Everything that a request brings is foreign: texts, keys and numbers.
jinja::Value to_value(const Json& json, jinja::Heap& heap) {
  using jinja::Value;
  if (json.is_null()) return Value::none();
  if (json.is_bool()) return Value::of(json.as_bool()).marked(true);
  if (json.is_integer()) return Value::of(json.as_integer()).marked(true);
  if (json.is_number()) return Value::of(json.as_number()).marked(true);
  if (json.is_string()) return heap.text(json.as_string(), true);
  if (json.is_array()) {
    std::vector<Value> items;
    for (const Json& item : json.as_array()) items.push_back(to_value(item, heap));
    return heap.list(std::move(items));
  }
  jinja::Dict& dict = heap.dict();
  for (const auto& [key, value] : json.as_object())
    dict.set(heap.text(key, true), to_value(value, heap), heap);
  return Value::of(&dict);
}

}  // namespace

struct ChatTemplate::Program {
  jinja::Syntax syntax;
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::open(std::string_view source, TemplateLimits limits) {
  if (source.size() > limits.source_bytes_max) {
    return fail(Code::kLimit,
                std::to_string(source.size()) + " bytes long, over the limit of " +
                    std::to_string(limits.source_bytes_max),
                "chat template");
  }
  if (!is_utf8(source)) return fail(Code::kCorrupt, "not UTF-8", "chat template");
  try {
    auto program = std::make_unique<Program>();
    program->syntax = jinja::parse(source, {static_cast<int>(limits.depth_max), kHeightMax});
    program->limits = limits;
    return ChatTemplate(std::move(program));
  } catch (const jinja::Fault& f) {
    return tl::unexpected<Error>(to_error(f));
  }
}

Result<std::vector<TemplatePiece>> ChatTemplate::render(const TemplateInput& input) const {
  const TemplateLimits& limits = program_->limits;
  const size_t weight = weight_of(input.messages) + weight_of(input.tools) + weight_of(input.extra);
  jinja::Heap heap(limits.output_bytes_max + weight * kWorkPerInputByte, limits.steps_max + weight);
  try {
    jinja::Interpreter in(program_->syntax, heap,
                          {static_cast<int>(limits.depth_max), limits.output_bytes_max}, input.unix_time_s);
    in.set_global("documents", jinja::Value::none());
    if (input.extra.is_object()) {
      for (const auto& [key, value] : input.extra.as_object()) in.set_global(key, to_value(value, heap));
    }
    in.set_global("messages", to_value(input.messages, heap));
    in.set_global("tools", to_value(input.tools, heap));
    in.set_global("add_generation_prompt", jinja::Value::of(input.add_generation_prompt));
    in.set_global("bos_token", heap.text(input.bos_token, false));
    in.set_global("eos_token", heap.text(input.eos_token, false));
    std::vector<TemplatePiece> out;
    in.run().visit_runs(
        [&](std::string_view bytes, bool is_foreign) { out.push_back({std::string(bytes), is_foreign}); });
    return out;
  } catch (const jinja::Fault& f) {
    return tl::unexpected<Error>(to_error(f));
  }
}

}  // namespace cresset::engine
