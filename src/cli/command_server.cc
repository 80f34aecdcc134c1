// serve and ps; top has its own file. What serve builds is in assemble.cc.
#include "cli/command_top.h"
#include "cli/commands.h"
#include "cli/running_server.h"

namespace cresset::cli {
namespace {

Result<int> run_serve(Context& context) {
  std::vector<Error> refusals = check_serving(context.config, context.env, context.environment);
  if (!refusals.empty()) {
    for (size_t i = 0; i + 1 < refusals.size(); ++i)
      context.terminal.err("cresset: " + printable(refusals[i].message()) + "\n");
    return tl::unexpected(std::move(refusals.back()));
  }
  for (const std::string& warning : serving_warnings(context.config)) {
    context.terminal.err("cresset: warning: " + printable(warning) + "\n");
  }
  return context.parts.serve(context);
}

Result<int> run_ps(Context& context) {
  const std::string url = server_url(context.config);
  CRESSET_TRY(body, ask_server(context, "/v1/models"));
  const auto json = parse_json(body);
  const Json* data = json ? json->find("data") : nullptr;
  if (data == nullptr || !data->is_array()) {
    return fail(Code::kCorrupt, "what answers there is not a cresset server", context.config.listen.text());
  }
  Json models = Json::array();
  for (const Json& model : data->as_array()) {
    const Json* id = model.find("id");
    if (id != nullptr && id->is_string()) models.push(*id);
  }
  if (context.json()) {
    context.print_json(Json::object({{"url", url}, {"models", models}}));
    return 0;
  }
  context.terminal.out("a server runs at " + url + "\n");
  for (const Json& model : models.as_array())
    context.terminal.out("  " + printable(model.as_string()) + "\n");
  return 0;
}

}  // namespace

std::vector<Command> server_commands() {
  return {
      {{"serve", "", "Serve the installed models through the API that your tools already speak",
        "Listens on loopback unless told otherwise; another address needs a [[key]] and TLS in the "
        "configuration.\n"
        "Ready when GET /readyz answers 200. SIGTERM lets answers in flight end, then exits 0.",
        "cresset serve --listen 127.0.0.1:7171",
        with_engine_flags({{"--listen", "HOST:PORT", "where to listen"}}), 0, 0},
       run_serve},
      {{"ps",
        "",
        "Ask the running server which models it serves",
        "",
        "cresset ps --json",
        {{"--listen", "HOST:PORT", "the server's address"}},
        0,
        0},
       run_ps},
      top_command(),
  };
}

}  // namespace cresset::cli
