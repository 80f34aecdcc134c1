#include "cli/command_doctor.h"

#include "cli/model_card.h"

namespace cresset::cli {
namespace {

using engine::KernelKind;

struct Report {
  Json json = Json::object();
  std::string text;
  std::vector<Error> refusals;
  std::vector<std::string> warnings;

  void line(const std::string& name, const std::string& value) {
    std::string left = name;
    left.resize(std::max<size_t>(left.size() + 2, 12), ' ');
    text += left + value + "\n";
  }
};

void examine_machine(Context& context, Report& report) {
  const sys::CpuFeatures& cpu = context.parts.cpu;
  Json features = Json::array();
  std::string words;
  for (const auto& [has, name] :
       {std::pair{cpu.avx2, "avx2"}, std::pair{cpu.avx512, "avx512"},
        std::pair{cpu.avx512_vnni, "avx512-vnni"}, std::pair{cpu.avx512_bf16, "avx512-bf16"}}) {
    if (!has) continue;
    features.push(name);
    words += (words.empty() ? "" : ", ") + std::string(name);
  }
  report.line("cpu", cpu.name + ", " + std::to_string(cpu.cores_online) + " cores");
  report.line("features", words.empty() ? "none that a kernel needs (the scalar ones work)" : words);
  Json kernels = Json::object();
  const auto used = context.parts.kernel_name_for(context.config.own_engine.kernels);
  if (used) {
    report.line("kernels", *used);
  } else {
    report.refusals.push_back(used.error());
  }
  kernels.set("used", used ? Json(*used) : Json());
  for (const auto& [kind, name] :
       {std::pair{KernelKind::kScalar, "scalar"}, std::pair{KernelKind::kAvx2, "avx2"},
        std::pair{KernelKind::kAvx512, "avx512"}}) {
    const auto result = context.parts.kernel_name_for(kind);
    kernels.set(name, result.has_value());
    if (!result)
      report.line("", std::string("--kernels ") + name + " would be refused: " + result.error().what);
  }
  const sys::Memory memory = context.parts.read_memory();
  report.line("memory", human_bytes(memory.available) + " free of " + human_bytes(memory.total));
  report.json.set(
      "cpu",
      Json::object({{"name", cpu.name}, {"cores", cpu.cores_online}, {"features", std::move(features)}}));
  report.json.set("kernels", std::move(kernels));
  report.json.set("memory", Json::object({{"total", memory.total}, {"available", memory.available}}));
}

void examine_models(Context& context, Report& report) {
  report.json.set("data", context.data_directory);
  const auto free = context.env.free_bytes(context.data_directory);
  report.line("data", context.data_directory + (free ? ", " + human_bytes(*free) + " free" : ""));
  Json models = Json::array();
  auto store = context.open_store();
  if (!store) {
    report.refusals.push_back(store.error());
    report.json.set("models", std::move(models));
    return;
  }
  std::vector<Error> damaged;
  const auto records = (*store)->list(&damaged);
  const auto first = find_model(context, "default");
  const uint64_t total = context.parts.read_memory().total;
  for (const auto& record : records.value_or(std::vector<store::ModelRecord>())) {
    const bool is_default = first && first->id == record.name;
    const uint64_t packed = (*store)->packed_bytes(record);
    models.push(Json::object({{"name", record.name},
                              {"size", record.size},
                              {"packed", packed},
                              {"default", is_default},
                              {"whole", record.is_whole}}));
    report.line(models.as_array().size() == 1 ? "models" : "",
                record.name + ", " + human_bytes(record.size) +
                    (packed > 0 ? " and " + human_bytes(packed) + " for quick starts" : "") +
                    (is_default ? " (default)" : ""));
    if (!record.is_whole) {
      report.refusals.push_back(
          {Code::kCorrupt,
           "its bytes are missing or cut; `cresset rm " + record.name + "` and import it again",
           record.name});
    } else if (total > 0 && record.size > total) {
      report.refusals.push_back(
          {Code::kLimit,
           "needs " + human_bytes(record.size) + " of memory and there are " + human_bytes(total),
           record.name});
    }
  }
  if (models.as_array().empty())
    report.line("models", "none; `cresset import FILE.gguf` or `cresset pull REF` brings one");
  for (const Error& error : damaged) report.refusals.push_back(error);
  for (const auto& [url, bytes] : (*store)->list_partial()) {
    report.warnings.push_back("an unfinished download of " + human_bytes(bytes) + "; `cresset pull " + url +
                              "` continues it");
  }
  if (!first && !context.config.model_default.empty()) report.refusals.push_back(first.error());
  report.json.set("models", std::move(models));
}

void examine_configuration(Context& context, Report& report) {
  report.line("config", context.config.file.empty() ? "none: the defaults" : context.config.file);
  report.line("listens",
              context.config.listen.text() + (context.config.keys.empty() ? ", no keys" : ", keys needed"));
  report.line("outside", "nothing is configured that could leave this machine");
  report.json.set("config", context.config.file.empty() ? Json() : Json(context.config.file));
  report.json.set("listen", context.config.listen.text());
  for (const Error& error : context.config_errors) report.refusals.push_back(error);
  for (Error& error : check_serving(context.config, context.env, context.environment))
    report.refusals.push_back(std::move(error));
  for (std::string& warning : serving_warnings(context.config)) report.warnings.push_back(std::move(warning));
}

Result<int> run_doctor(Context& context) {
  Report report;
  report.json.set("version", CRESSET_VERSION);
  report.line("version", CRESSET_VERSION);
  examine_machine(context, report);
  examine_models(context, report);
  examine_configuration(context, report);
  Json refused = Json::array(), warnings = Json::array();
  for (const Error& error : report.refusals) {
    refused.push(
        Json::object({{"code", to_string(error.code)}, {"what", error.what}, {"where", error.where}}));
    report.line("refused", error.message());
  }
  for (const std::string& warning : report.warnings) {
    warnings.push(warning);
    report.line("warning", warning);
  }
  report.json.set("refused", std::move(refused));
  report.json.set("warnings", std::move(warnings));
  if (report.refusals.empty()) report.text += "nothing would be refused\n";
  context.json() ? context.print_json(report.json) : context.terminal.out(printable(report.text));
  return report.refusals.empty() ? 0 : 1;
}

}  // namespace

Command doctor_command() {
  return {{"doctor", "", "Say what this machine can do, what is installed, and what would be refused and why",
           "Exits 1 when something would be refused.", "cresset doctor --config cresset.toml",
           with_engine_flags({{"--listen", "HOST:PORT", "as serve takes it"}}), 0, 0},
          run_doctor,
          NeedsConfig::kEvenBroken};
}

}  // namespace cresset::cli
