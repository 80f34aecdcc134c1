#include "engine/run/prompt.h"

namespace cresset::engine {
namespace {

std::string_view role_name(chat::Role role) {
  switch (role) {
    case chat::Role::kSystem:
      return "system";
    // Open-weight templates know no developer: it speaks with the system's voice, as OpenAI's models treat
    // it.
    case chat::Role::kDeveloper:
      return "system";
    case chat::Role::kUser:
      return "user";
    case chat::Role::kAssistant:
      return "assistant";
    case chat::Role::kTool:
      return "tool";
  }
  return "user";
}

}  // namespace

PromptMaker::PromptMaker(const Tokenizer& tokenizer, const ChatTemplate* chat_template)
    : tokenizer_(tokenizer), template_(chat_template) {}

Result<std::vector<Token>> PromptMaker::make_chat(const chat::Request& request, int64_t unix_time_s) const {
  if (template_ == nullptr) {
    return fail(Code::kInvalid, "this model has no chat template (a base model); use /v1/completions",
                "messages");
  }
  TemplateInput input;
  input.messages = Json::array();
  for (const chat::Message& m : request.messages) {
    Json message = Json::object({{"role", role_name(m.role)}, {"content", m.text()}});
    if (!m.name.empty()) message.set("name", m.name);
    input.messages.push(std::move(message));
  }
  const Vocabulary& v = tokenizer_.vocabulary();
  const auto text_of = [&](Token t) {
    return t >= 0 && static_cast<size_t>(t) < v.texts.size() ? v.texts[static_cast<size_t>(t)]
                                                             : std::string();
  };
  input.bos_token = text_of(v.bos);
  input.eos_token = text_of(v.eos);
  input.extra = request.template_kwargs;
  input.unix_time_s = unix_time_s;
  CRESSET_TRY(pieces, template_->render(input));
  std::vector<TextPiece> parts;
  for (const TemplatePiece& piece : pieces) {
    parts.push_back({piece.text, piece.is_foreign ? Special::kAsText : Special::kParsed});
  }
  std::vector<Token> tokens;
  tokenizer_.encode(parts, true, tokens);
  if (v.add_bos && v.bos != kNoToken && (tokens.empty() || tokens.front() != v.bos))
    tokens.insert(tokens.begin(), v.bos);
  return tokens;
}

Result<std::vector<Token>> PromptMaker::make_completion(const chat::Prompt& prompt) const {
  const Vocabulary& v = tokenizer_.vocabulary();
  std::vector<Token> tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    if (v.add_bos && v.bos != kNoToken) tokens.push_back(v.bos);
    tokenizer_.encode(*text, Special::kAsText, true, tokens);
    if (v.add_eos && v.eos != kNoToken) tokens.push_back(v.eos);
  } else {
    for (const int32_t t : std::get<chat::Tokens>(prompt)) {
      if (t < 0 || static_cast<size_t>(t) >= v.texts.size()) {
        return fail(Code::kInvalid,
                    "token id " + std::to_string(t) + " is outside this model's vocabulary of " +
                        std::to_string(v.texts.size()),
                    "prompt");
      }
      tokens.push_back(t);
    }
  }
  if (tokens.empty()) {
    const Token first = v.bos != kNoToken ? v.bos : v.eos;
    if (first == kNoToken)
      return fail(Code::kInvalid, "the prompt is empty and this model has no first token", "prompt");
    tokens.push_back(first);
  }
  return tokens;
}

Result<std::vector<std::vector<Token>>> PromptMaker::make(const chat::Request& request,
                                                          int64_t unix_time_s) const {
  std::vector<std::vector<Token>> out;
  if (request.is_chat()) {
    CRESSET_TRY(tokens, make_chat(request, unix_time_s));
    if (tokens.empty())
      return fail(Code::kInvalid, "the chat template gives no text for these messages", "messages");
    out.push_back(std::move(tokens));
    return out;
  }
  for (const chat::Prompt& prompt : request.prompts) {
    CRESSET_TRY(tokens, make_completion(prompt));
    out.push_back(std::move(tokens));
  }
  return out;
}

}  // namespace cresset::engine
