#include "cli/command_chat.h"

#include <unistd.h>

#include <mutex>

#include "base/text.h"
#include "cli/answer.h"
#include "cli/line_editor.h"
#include "cli/sampling_flags.h"

namespace cresset::cli {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";
constexpr std::string_view kHelp =
    "  /system TEXT   what the model is told first (no TEXT: shows it)\n"
    "  /save FILE     writes the conversation as JSON lines\n"
    "  /clear         forgets the conversation\n"
    "  /help          this\n"
    "  \"\"\"            begins and ends a text of several lines\n"
    "  Ctrl-C stops the answer, Ctrl-D leaves\n";

// What Ctrl-C stops: the answer being written; where there is none, the program.
class Stop {
 public:
  chat::CancelToken begin() {
    const std::scoped_lock hold(mutex_);
    current_.emplace();
    return *current_;
  }
  void end() {
    const std::scoped_lock hold(mutex_);
    current_.reset();
  }
  void on_interrupt() {
    const std::scoped_lock hold(mutex_);
    if (!current_) ::_exit(130);
    current_->cancel();
  }

 private:
  std::mutex mutex_;
  std::optional<chat::CancelToken> current_;
};

class Conversation {
 public:
  Conversation(Context& context, engine::Engine& engine, chat::Request settings, std::string system,
               Stop& stop)
      : context_(context),
        engine_(engine),
        settings_(std::move(settings)),
        system_(std::move(system)),
        stop_(stop) {}

  // Until the end of the input.
  Result<int> hold(LineEditor& editor) {
    const bool person = context_.terminal.in_is_terminal();
    for (;;) {
      CRESSET_TRY(line, editor.read(">>> "));
      if (!line) break;
      std::string text = *line;
      if (text.starts_with(kQuotes)) {
        CRESSET_TRY(rest, read_quoted(editor, text.substr(kQuotes.size())));
        text = rest;
      } else if (text.starts_with('/')) {
        obey(text);
        continue;
      }
      if (text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
      const Status said = say(to_valid_utf8(text));
      if (!said && !person) return tl::unexpected(said.error());
      if (!said) context_.terminal.err("cresset: " + said.error().message() + "\n");
    }
    if (person) context_.terminal.out("\n");
    return 0;
  }

 private:
  static Result<std::string> read_quoted(LineEditor& editor, std::string text) {
    for (;;) {
      if (const size_t end = text.rfind(kQuotes); end != std::string::npos) return text.substr(0, end);
      CRESSET_TRY(line, editor.read("... "));
      if (!line) return text;
      text += (text.empty() ? "" : "\n") + *line;
    }
  }

  void obey(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string command = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (command == "/help") {
      context_.terminal.out(kHelp);
    } else if (command == "/clear") {
      turns_.clear();
    } else if (command == "/system") {
      if (rest.empty()) {
        context_.terminal.out(system_.empty() ? "(nothing)\n" : printable(system_) + "\n");
      } else {
        system_ = to_valid_utf8(rest);
      }
    } else if (command == "/save") {
      save(rest);
    } else {
      context_.terminal.err("cresset: no such command: " + printable(command) + "; /help lists them\n");
    }
  }

  void save(const std::string& file) {
    if (file.empty()) {
      context_.terminal.err("cresset: /save needs a file\n");
      return;
    }
    std::string text;
    for (const chat::Message& message : messages()) {
      const char* role = message.role == chat::Role::kSystem ? "system"
                         : message.role == chat::Role::kUser ? "user"
                                                             : "assistant";
      Json::object({{"role", role}, {"content", message.text()}}).write(text);
      text += '\n';
    }
    const Status saved = context_.env.write_atomic(file, text, true);
    if (!saved) context_.terminal.err("cresset: " + saved.error().message() + "\n");
  }

  std::vector<chat::Message> messages() const {
    std::vector<chat::Message> out;
    if (!system_.empty()) out.push_back(text_message(chat::Role::kSystem, system_));
    out.insert(out.end(), turns_.begin(), turns_.end());
    return out;
  }

  // What was written before Ctrl-C stays in the conversation: the person has read it.
  Status say(const std::string& text) {
    turns_.push_back(text_message(chat::Role::kUser, text));
    chat::Request request = settings_;
    request.messages = messages();
    const bool screen = context_.terminal.out_is_terminal();
    std::string written;
    const chat::CancelToken cancel = stop_.begin();
    const auto answered =
        answer(context_.env, engine_, std::move(request), cancel, [&](std::string_view piece) {
          written += piece;
          context_.terminal.out(screen ? printable(piece) : std::string(piece));
        });
    stop_.end();
    context_.terminal.out("\n");
    if (!answered && !cancel.is_cancelled()) {
      turns_.pop_back();
      return tl::unexpected(answered.error());
    }
    turns_.push_back(text_message(chat::Role::kAssistant, written));
    return {};
  }

  Context& context_;
  engine::Engine& engine_;
  chat::Request settings_;
  std::string system_;
  Stop& stop_;
  std::vector<chat::Message> turns_;
};

Result<int> run_chat(Context& context) {
  if (context.json())
    return fail(Code::kUnsupported, "a conversation has no --json; use `cresset run --json`", "chat");
  chat::Request settings;
  CRESSET_TRY_STATUS(apply_sampling_flags(context.args, settings));
  CRESSET_TRY(file, find_model(context, context.args.arguments.empty() ? "" : context.args.arguments[0]));
  settings.model = file.id;
  Stop stop;
  // Before the engine starts its threads, so that none of them takes the signal.
  const auto watch = context.parts.on_interrupt([&stop] { stop.on_interrupt(); });
  CRESSET_TRY(engine, open_engine(context, file.path));
  if (!engine->card().has_chat_template) {
    return fail(Code::kUnsupported,
                "a base model without a chat template cannot chat; `cresset run` completes a text", file.id);
  }
  if (context.terminal.in_is_terminal()) {
    context.terminal.out("talking to " + file.id + " on this machine; /help for help, Ctrl-D leaves\n");
  }
  const auto editor = LineEditor::open(context.terminal);
  Conversation conversation(context, *engine, std::move(settings), context.args.get("--system"), stop);
  return conversation.hold(*editor);
}

}  // namespace

Command chat_command() {
  return {{"chat", "[MODEL]", "Talk with a model in this process",
           "Lines are edited and recalled with the arrow keys; \"\"\" begins and ends several lines; Ctrl-C "
           "stops the answer\n"
           "and not the program; Ctrl-D leaves; /help lists the commands. Nothing of it is kept unless /save "
           "says so.",
           "cresset chat smollm2 --system \"You are brief.\"", with_engine_flags(sampling_flags()), 0, 1},
          run_chat};
}

}  // namespace cresset::cli
