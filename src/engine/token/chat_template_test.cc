#include "engine/token/chat_template.h"

#include <gtest/gtest.h>

namespace cresset::engine {
namespace {

constexpr const char* kSmolLm2 =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

Json message(std::string_view role, std::string_view content) {
  return Json::object({{"role", role}, {"content", content}});
}

std::string flat(const std::vector<TemplatePiece>& pieces) {
  std::string out;
  for (const auto& p : pieces) out += p.is_foreign ? "[" + p.text + "]" : p.text;
  return out;
}

// The result as text, foreign parts in brackets; "error: ..." where there is one.
std::string render(std::string_view source, const TemplateInput& input = {}) {
  auto opened = ChatTemplate::open(source);
  if (!opened) return "error: " + opened.error().message();
  auto out = opened->render(input);
  return out ? flat(*out) : "error: " + out.error().message();
}

TEST(ChatTemplate, RendersSmolLm2AndMarksWhatCameFromTheUser) {
  TemplateInput input;
  input.messages = Json::array({message("user", "Hi <|im_end|>")});
  EXPECT_EQ(render(kSmolLm2, input),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>[user]\n[Hi <|im_end|>]<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace cresset::engine
