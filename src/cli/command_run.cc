// run: one prompt, one answer, in this process. `chat` is in command_chat.cc.
#include "base/text.h"
#include "cli/answer.h"
#include "cli/command_chat.h"
#include "cli/commands.h"
#include "cli/sampling_flags.h"

namespace cresset::cli {
namespace {

constexpr size_t kPromptBytesMax = 8u << 20;

// The words after `run`: a model when the first names one and more follows (words or stdin), then the prompt.
struct Asked {
  std::string model, prompt;
};

Result<Asked> read_prompt(Context& context) {
  std::vector<std::string> words = context.args.arguments;
  std::string piped;
  if (!context.terminal.in_is_terminal()) {
    CRESSET_TRY(all, context.terminal.read_all(kPromptBytesMax));
    piped = to_valid_utf8(all);
  }
  Asked asked;
  if (!words.empty() && (words.size() > 1 || !piped.empty()) && names_model(context, words[0])) {
    asked.model = words[0];
    words.erase(words.begin());
  }
  for (const std::string& word : words) asked.prompt += (asked.prompt.empty() ? "" : " ") + word;
  asked.prompt = to_valid_utf8(asked.prompt);
  if (!piped.empty()) asked.prompt += (asked.prompt.empty() ? "" : "\n\n") + piped;
  if (asked.prompt.empty()) {
    return fail(Code::kInvalid, "needs a prompt, as an argument or on stdin; see `cresset run --help`",
                "run");
  }
  return asked;
}

Json answer_json(const std::string& model, const Answer& answer) {
  return Json::object({{"model", model},
                       {"text", answer.text},
                       {"finish_reason", answer.reason == chat::FinishReason::kStop ? "stop" : "length"},
                       {"usage", Json::object({{"prompt_tokens", answer.usage.prompt_tokens},
                                               {"completion_tokens", answer.usage.completion_tokens}})},
                       {"prefill_tok_s", answer.prefill_tok_s()},
                       {"decode_tok_s", answer.decode_tok_s()}});
}

Result<int> run_run(Context& context) {
  CRESSET_TRY(asked, read_prompt(context));
  chat::Request request;
  CRESSET_TRY_STATUS(apply_sampling_flags(context.args, request));
  CRESSET_TRY(file, find_model(context, asked.model));
  CRESSET_TRY(engine, open_engine(context, file.path));
  request.model = file.id;
  if (engine->card().has_chat_template) {
    if (context.args.has("--system")) {
      request.messages.push_back(text_message(chat::Role::kSystem, context.args.get("--system")));
    }
    request.messages.push_back(text_message(chat::Role::kUser, asked.prompt));
  } else {
    if (context.args.has("--system")) {
      return fail(Code::kInvalid, "a base model without a chat template takes no --system", file.id);
    }
    request.prompts.emplace_back(asked.prompt);  // a base model goes on with the text
  }
  const bool json = context.json(), screen = context.terminal.out_is_terminal();
  CRESSET_TRY(answered, answer(context.env, *engine, std::move(request), {}, [&](std::string_view text) {
                if (!json) context.terminal.out(screen ? printable(text) : std::string(text));
              }));
  if (json) {
    context.print_json(answer_json(file.id, answered));
  } else {
    if (!answered.text.ends_with('\n')) context.terminal.out("\n");
    if (answered.reason == chat::FinishReason::kLength && context.terminal.err_is_terminal()) {
      context.terminal.err("(cut at the token limit)\n");
    }
  }
  return 0;
}

}  // namespace

std::vector<Command> talk_commands() {
  std::vector<FlagSpec> flags = sampling_flags();
  return {
      {{"run", "[MODEL] PROMPT", "Answer one prompt in this process and print the answer",
        "The first word is MODEL when it names an installed model (or a .gguf file) and something follows. "
        "What comes on\n"
        "stdin follows the prompt, so pipes compose. Without MODEL the default model answers.",
        "cresset run \"why is the sky blue?\"\ngit diff | cresset run \"write a commit message for this "
        "change\"",
        with_engine_flags(flags), 0, 4096},
       run_run},
      chat_command(),
  };
}

}  // namespace cresset::cli
