#include "engine/token/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "testing/paths.h"

namespace cresset::engine {
namespace {

constexpr const char* kSmolLm2 =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

Json message(std::string_view role, std::string_view content) {
  return Json::object({{"role", role}, {"content", content}});
}

std::string flat(const std::vector<TemplatePiece>& pieces, bool with_brackets = true) {
  std::string out;
  for (const auto& p : pieces) out += p.is_foreign && with_brackets ? "[" + p.text + "]" : p.text;
  return out;
}

Json read_json(const std::string& path) {
  std::ifstream file(testing::source_path(path));
  std::stringstream text;
  text << file.rdbuf();
  auto json = parse_json(text.str());
  EXPECT_TRUE(json) << path << ": " << json.error().message();
  return json ? *json : Json();
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
  EXPECT_EQ(
      render(kSmolLm2, input),
      "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
      "<|im_start|>[user]\n[Hi <|im_end|>]<|im_end|>\n<|im_start|>assistant\n");
}

// Against the real Jinja2, set up as transformers does it (tools/golden/make_template_golden.py).
TEST(ChatTemplate, RendersWhatJinja2Renders) {
  const Json golden = read_json("testing/golden/templates.json");
  ASSERT_TRUE(golden.is_object());
  for (const Json& c : golden.find("cases")->as_array()) {
    const std::string name = c.find("name")->as_string();
    SCOPED_TRACE(name);
    const Json* family = c.find("family");
    const Json& source =
        family != nullptr ? *golden.find("families")->find(family->as_string()) : *c.find("template");
    TemplateInput input;
    input.messages = *c.find("messages");
    input.tools = *c.find("tools");
    input.extra = *c.find("extra");
    input.add_generation_prompt = c.find("add_generation_prompt")->as_bool();
    input.bos_token = "<BOS>";
    input.eos_token = "<EOS>";
    input.unix_time_s = golden.find("unix_time_s")->as_integer();
    auto opened = ChatTemplate::open(source.as_string());
    ASSERT_TRUE(opened) << opened.error().message();
    auto out = opened->render(input);
    if (const Json* error = c.find("error")) {
      ASSERT_FALSE(out) << flat(*out);
      EXPECT_EQ(out.error().code, Code::kInvalid);
      const std::string wanted = error->as_string();
      EXPECT_TRUE(wanted.empty() || out.error().what == wanted) << out.error().message();
    } else {
      ASSERT_TRUE(out) << out.error().message();
      EXPECT_EQ(flat(*out, false), c.find("output")->as_string());
    }
  }
}

}  // namespace
}  // namespace cresset::engine
