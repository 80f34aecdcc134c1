// serve and ps. What serve builds is in assemble.cc.
#include "cli/commands.h"

namespace cresset::cli {
namespace {

constexpr size_t kBodyBytesMax = 4u << 20;

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

Result<std::string> get(Context& context, const std::string& url) {
  net::FetchOptions options;
  options.url = url;
  options.bytes_max = kBodyBytesMax;
  options.connect_time_max_s = 2;
  options.stall_time_max_s = 10;
  std::string body;
  const auto result = context.parts.fetch(
      options, [](const net::FetchResult&) { return Status{}; },
      [&](std::string_view bytes) {
        body += bytes;
        return Status{};
      },
      [] { return false; });
  if (!result) return tl::unexpected(result.error());
  return body;
}

// A server that listens everywhere is asked on loopback.
std::string base_url(const Config& config) {
  Listen listen = config.listen;
  if (listen.host == "0.0.0.0") listen.host = "127.0.0.1";
  if (listen.host == "::") listen.host = "::1";
  return (config.tls_cert.empty() ? "http://" : "https://") + listen.text();
}

Result<int> run_ps(Context& context) {
  const std::string url = base_url(context.config);
  const auto body = get(context, url + "/v1/models");
  if (!body) {
    if (body.error().code == Code::kUnavailable || body.error().code == Code::kTimeout ||
        body.error().code == Code::kIo) {
      return fail(Code::kUnavailable, "no server runs there; `cresset serve` starts one",
                  context.config.listen.text());
    }
    if (body.error().code == Code::kRefused) {
      return fail(Code::kRefused, "a server runs there and asks for a key, which ps does not send",
                  context.config.listen.text());
    }
    return tl::unexpected(body.error());
  }
  const auto json = parse_json(*body);
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
  };
}

}  // namespace cresset::cli
