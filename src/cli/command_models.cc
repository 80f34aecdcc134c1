// ls, import, show, rm: the models on this machine. (pull has its own file.)
#include "cli/command_pull.h"
#include "cli/commands.h"
#include "cli/model_card.h"
#include "cli/progress.h"

namespace cresset::cli {
namespace {

std::string default_name(Context& context) {
  const auto found = find_model(context, "default");
  return found ? found->id : "";
}

std::string pad(std::string text, size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text + "  ";
}

Result<int> run_ls(Context& context) {
  CRESSET_TRY(store, context.open_store());
  std::vector<Error> damaged;
  CRESSET_TRY(records, store->list(&damaged));
  const std::string first = default_name(context);
  if (context.json()) {
    Json out = Json::array();
    for (const auto& record : records) out.push(record_json(record, record.name == first));
    context.print_json(out);
  } else if (context.args.has("--quiet")) {
    for (const auto& record : records) context.terminal.out(record.name + "\n");
  } else if (records.empty()) {
    context.terminal.err(
        "no model is installed; `cresset import FILE.gguf` or `cresset pull REF` brings one\n");
  } else {
    size_t width = 4;
    for (const auto& record : records) width = std::max(width, record.name.size());
    context.terminal.out("  " + pad("NAME", width) + pad("SIZE", 8) + pad("PARAMETERS", 10) +
                         pad("FORMAT", 7) + pad("CONTEXT", 7) + "IMPORTED\n");
    for (const auto& record : records) {
      context.terminal.out(printable(
          (record.name == first ? "* " : "  ") + pad(record.name, width) + pad(human_bytes(record.size), 8) +
          pad(human_count(card_count(record.card, "parameters")), 10) +
          pad(card_text(record.card, "quantisation"), 7) +
          pad(std::to_string(card_count(record.card, "context_length")), 7) +
          human_date(record.imported_unix_ms) + (record.is_whole ? "" : "  (its bytes are missing)") + "\n"));
    }
  }
  for (const Error& error : damaged) context.terminal.err("cresset: " + error.message() + "\n");
  return damaged.empty() ? 0 : exit_code(Code::kCorrupt);
}

Result<int> run_import(Context& context) {
  const std::string& file = context.args.arguments[0];
  if (file == "-")
    return fail(Code::kUnsupported, "a model is imported from a file, not from stdin", "import");
  store::Addition addition;
  addition.name = context.args.get("--name", name_from_path(file));
  addition.source = file;
  addition.expected_sha256 = context.args.get("--sha256");
  addition.check = [&](const std::string& path) { return describe_file(context, path); };
  CRESSET_TRY_STATUS(store::check_model_name(addition.name));
  // Before the copy, so that a file which is no model is refused at once; the copy is checked again.
  CRESSET_TRY(card, context.parts.read_card(context.env, file));
  CRESSET_TRY(store, context.open_store());
  auto record = [&] {
    Progress progress(context.env, context.terminal, "copying " + addition.name);
    addition.progress = [&](uint64_t done, uint64_t total) -> Status {
      progress.show(done, total);
      return {};
    };
    return store->import_file(file, addition);
  }();
  if (!record) return tl::unexpected(record.error());
  prepare_model(context, *store, *record);
  if (context.json()) {
    context.print_json(record_json(*record, record->name == default_name(context)));
  } else {
    context.terminal.out("imported " + record->name + " (" + human_bytes(record->size) + ", " +
                         card.architecture + " " + card.quantisation + ")\n");
  }
  return 0;
}

void print_card(Context& context, const Json& card,
                const std::vector<std::pair<std::string, std::string>>& more) {
  const auto count = [&](const char* key) { return std::to_string(card_count(card, key)); };
  const std::string licence = card_text(card, "licence"), note = card_text(card, "licence_note");
  std::vector<std::pair<std::string, std::string>> rows{
      {"title", card_text(card, "name")},
      {"architecture", card_text(card, "architecture")},
      {"parameters", human_count(card_count(card, "parameters"))},
      {"quantisation", card_text(card, "quantisation")},
      {"size", human_bytes(card_count(card, "file_bytes"))},
      {"context", count("context_length") + " tokens"},
      {"shape", count("layers") + " layers, width " + count("embedding_length") + ", " + count("heads") +
                    " heads, " + count("kv_heads") + " key-value heads, " + count("vocabulary_size") +
                    " tokens"},
      {"tokenizer", card_text(card, "tokenizer")},
      {"licence",
       (licence.empty() ? "not stated in the file" : licence) + (note.empty() ? "" : " (" + note + ")")},
      {"template",
       card_text(card, "chat_template").empty()
           ? "none: a base model, it completes text and does not chat"
           : std::to_string(card_text(card, "chat_template").size()) + " bytes (--template prints it)"},
  };
  rows.insert(rows.end(), more.begin(), more.end());
  for (const auto& [name, value] : rows) {
    if (!value.empty()) context.terminal.out(printable(pad(name, 12) + value + "\n"));
  }
}

std::string packed_text(const store::ModelStore& store, const store::ModelRecord& record) {
  const uint64_t bytes = store.packed_bytes(record);
  return bytes == 0 ? "" : human_bytes(bytes) + " more for quick starts (own_engine.packed_cache)";
}

Result<int> run_show(Context& context) {
  const std::string& model = context.args.arguments[0];
  Json card;
  Json shown;
  std::vector<std::pair<std::string, std::string>> more;
  if (model.ends_with(".gguf")) {
    CRESSET_TRY(described, describe_file(context, model));
    card = described;
    shown = Json::object({{"name", model}, {"card", card}});
  } else {
    CRESSET_TRY(file, find_model(context, model));
    CRESSET_TRY(store, context.open_store());
    CRESSET_TRY(record, store->find(file.id));
    card = record.card;
    shown = record_json(record, record.name == default_name(context));
    more = {{"name", record.name},
            {"digest", "sha256:" + record.digest},
            {"source", record.source},
            {"imported", human_date(record.imported_unix_ms)},
            {"packed", packed_text(*store, record)}};
  }
  if (context.args.has("--template")) {
    const std::string text = card_text(card, "chat_template");
    if (text.empty()) return fail(Code::kNotFound, "has no chat template", model);
    context.terminal.out(context.terminal.out_is_terminal() ? printable(text) + "\n" : text);
  } else if (context.json()) {
    context.print_json(shown);
  } else {
    print_card(context, card, more);
  }
  return 0;
}

Result<int> run_rm(Context& context) {
  CRESSET_TRY(store, context.open_store());
  std::string_view name = context.args.arguments[0];
  if (name.starts_with("local/")) name.remove_prefix(6);
  CRESSET_TRY(removed, store->remove(name));
  if (context.json()) {
    context.print_json(Json::object({{"name", removed.record.name}, {"bytes_freed", removed.bytes_freed}}));
  } else {
    context.terminal.out("removed " + removed.record.name +
                         (removed.bytes_freed > 0 ? ", " + human_bytes(removed.bytes_freed) + " freed\n"
                                                  : "; another name uses its bytes\n"));
  }
  return 0;
}

}  // namespace

std::vector<Command> model_commands() {
  return {
      {{"ls",
        "",
        "List the installed models; * marks the default",
        "The default is model.default of the configuration, or the first imported model that has a chat "
        "template.",
        "cresset ls --json",
        {{"--quiet", "", "names only"}},
        0,
        0},
       run_ls},
      {{"import",
        "FILE",
        "Copy a GGUF file into the model store",
        "The file is checked first, and again as a copy; a name appears only when its bytes are complete and "
        "on the disk.\n"
        "The same bytes under several names are kept once.",
        "cresset import smollm2-135m-instruct-q4_1.gguf --name smollm2",
        {{"--name", "N", "the name (default: from the file's)"},
         {"--sha256", "HEX", "refuse other bytes than these"}},
        1,
        1},
       run_import},
      pull_command(),
      {{"show",
        "MODEL",
        "Describe a model: architecture, quantisation, context, licence, template, size",
        "MODEL is an installed name or a path that ends in .gguf.",
        "cresset show smollm2 --template",
        {{"--template", "", "print the chat template"}},
        1,
        1},
       run_show},
      {{"rm",
        "MODEL",
        "Remove a model's name, and its bytes when no other name uses them",
        "",
        "cresset rm smollm2",
        {},
        1,
        1},
       run_rm},
  };
}

}  // namespace cresset::cli
