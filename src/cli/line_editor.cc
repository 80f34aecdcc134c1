// The only unit that knows libedit.
#include "cli/line_editor.h"

#include <histedit.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>

namespace cresset::cli {
namespace {

constexpr size_t kLineBytesMax = 1u << 20;
constexpr int kLinesRemembered = 500;

class Plain final : public LineEditor {
 public:
  explicit Plain(Terminal& terminal) : terminal_(terminal) {}
  Result<std::optional<std::string>> read(const std::string&) override {
    return terminal_.read_line(kLineBytesMax);
  }

 private:
  Terminal& terminal_;
};

class Edited final : public LineEditor {
 public:
  Edited() : history_(::history_init()), edit_(::el_init("cresset", stdin, stdout, stderr)) {
    HistEvent event{};
    ::history(history_, &event, H_SETSIZE, kLinesRemembered);
    ::history(history_, &event, H_SETUNIQUE, 1);
    ::el_set(edit_, EL_CLIENTDATA, this);
    ::el_set(edit_, EL_PROMPT, &Edited::give_prompt);
    ::el_set(edit_, EL_EDITOR, "emacs");
    ::el_set(edit_, EL_HIST, ::history, history_);
    // Ctrl-C comes as a key while a line is edited; while an answer is written it is the signal again.
    ::el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);
    ::el_set(edit_, EL_ADDFN, "cresset-drop-line", "drop the line", &Edited::drop_line);
    ::el_set(edit_, EL_BIND, "^C", "cresset-drop-line", nullptr);
    ::el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  }
  ~Edited() override {
    ::el_end(edit_);
    ::history_end(history_);
  }
  Edited(const Edited&) = delete;
  Edited& operator=(const Edited&) = delete;

  Result<std::optional<std::string>> read(const std::string& prompt) override {
    prompt_ = prompt;
    dropped_ = false;
    int length = 0;
    // Before the prompt: a Ctrl-D that answers it at once would else still be the terminal's, and be lost.
    ::el_set(edit_, EL_PREP_TERM, 1);
    const char* text = ::el_gets(edit_, &length);
    if (dropped_) return std::optional<std::string>("");
    if (text == nullptr || length <= 0) return std::optional<std::string>();
    std::string line(text, static_cast<size_t>(length));
    if (line.size() > kLineBytesMax) return fail(Code::kLimit, "a line of more than 1 MiB", "stdin");
    HistEvent event{};
    if (line.find_first_not_of(" \t\r\n") != std::string::npos)
      ::history(history_, &event, H_ENTER, line.c_str());
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    return line;
  }

 private:
  static Edited& self(EditLine* edit) {
    Edited* out = nullptr;
    ::el_get(edit, EL_CLIENTDATA, &out);
    return *out;
  }
  static char* give_prompt(EditLine* edit) { return self(edit).prompt_.data(); }
  static unsigned char drop_line(EditLine* edit, int) {
    self(edit).dropped_ = true;
    std::fputs("^C\n", stdout);
    return CC_EOF;
  }

  ::History* history_;
  EditLine* edit_;
  std::string prompt_;
  bool dropped_ = false;
};

}  // namespace

std::unique_ptr<LineEditor> LineEditor::open(Terminal& terminal) {
  if (!terminal.in_is_terminal() || !terminal.out_is_terminal()) return std::make_unique<Plain>(terminal);
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  return std::make_unique<Edited>();
}

}  // namespace cresset::cli
