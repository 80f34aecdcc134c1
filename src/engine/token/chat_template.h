// ChatTemplate: the restricted interpreter of the template that a model file carries.
//
// The template is a hostile program. It sees only the values it is given (messages, flags, dates); there are
// no host objects, no attribute access to anything but maps, lists and strings, no imports, no recursion of
// its own making beyond `depth_max`, and it stops with kLimit at `steps_max` evaluated nodes or
// `output_bytes_max`.
//
// Text from a user never becomes a special token: the output is a list of pieces, each either the template's
// own (control tokens in it are parsed) or foreign (everything that derives from a message, however it was
// sliced, stripped or joined: tokenised as plain text). Syntax: the subset of Jinja2 that chat templates use
// (for, if, set, namespace, macro, filters, tests, slices, string/list/dict methods, generation blocks
// ignored). What is outside it is refused at open, by name and line.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cresset::engine {

struct TemplateLimits {
  size_t source_bytes_max = 256u << 10;
  size_t steps_max = 2'000'000;
  size_t depth_max = 64;
  size_t output_bytes_max = 64u << 20;
};

struct TemplatePiece {
  std::string text;
  bool is_foreign = false;  // came from a message
};

struct TemplateInput {
  Json messages;  // array of {"role", "content", ...}
  Json tools;     // array or null
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;
  Json extra;               // chat_template_kwargs: an object or null; its values count as foreign
  int64_t unix_time_s = 0;  // what strftime_now() reads (UTC)
};

class ChatTemplate {
 public:
  static Result<ChatTemplate> open(std::string_view source, TemplateLimits limits = {});
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Adjacent pieces of the same kind are merged. raise_exception() in the template gives kInvalid with its
  // text. Thread-safe: rendering changes nothing.
  Result<std::vector<TemplatePiece>> render(const TemplateInput& input) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace cresset::engine
