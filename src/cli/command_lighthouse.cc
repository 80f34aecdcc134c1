#include <csignal>

#include "cli/command_lighthouse.h"

#include "cli/lighthouse.h"
#include "gateway/loop_schedule.h"
#include "net/loop.h"
#include "net/server.h"

namespace cresset::cli {
namespace {

constexpr uint64_t kScriptBytesMax = 16u << 20;

std::string file_name(int64_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, digits.size() < 6 ? 6 - digits.size() : 0, '0');
  return digits + ".json";
}

Result<chat::Dialect> parse_dialect(const std::string& name) {
  for (const chat::Dialect dialect : {chat::Dialect::kOpenAiChat, chat::Dialect::kOpenAiResponses,
                                      chat::Dialect::kAnthropic, chat::Dialect::kGemini}) {
    if (to_string(dialect) == name) return dialect;
  }
  return fail(Code::kInvalid, "is one of openai_chat, openai_responses, anthropic, gemini", "--dialect");
}

Result<int> run_fake(Context& context) {
  Lighthouse::Options options;
  CRESSET_TRY(dialect, parse_dialect(context.args.get("--dialect", "openai_chat")));
  options.dialect = dialect;
  CRESSET_TRY(listen, parse_listen(context.args.get("--listen", "127.0.0.1:7272"), "--listen"));
  if (!listen.is_loopback())
    return fail(Code::kRefused, "a lighthouse that is fake is for this machine only: use 127.0.0.1",
                listen.text());
  CRESSET_TRY(seed, parse_number(context.args.get("--seed", "1"), 0, INT64_MAX, "--seed"));
  options.seed = static_cast<uint64_t>(seed);
  if (const std::string file = context.args.get("--script"); file == "-") {
    CRESSET_TRY(text, context.terminal.read_all(kScriptBytesMax));
    CRESSET_TRY(script, parse_lighthouse_script(text));
    options.script = std::move(script);
  } else if (!file.empty()) {
    CRESSET_TRY(text, context.env.read_file(file, kScriptBytesMax));
    CRESSET_TRY(script, parse_lighthouse_script(text));
    options.script = std::move(script);
  }
  if (const std::string directory = context.args.get("--record"); !directory.empty()) {
    CRESSET_TRY_STATUS(context.env.make_directories(directory));
    options.record = [&context, directory](int64_t number, const std::string& body) {
      const Status written = context.env.write_atomic(directory + "/" + file_name(number), body);
      if (!written) context.terminal.err("cresset: " + printable(written.error().message()) + "\n");
    };
  }
  std::signal(SIGPIPE, SIG_IGN);
  net::Loop loop;
  gateway::LoopSchedule schedule(loop);
  Lighthouse lighthouse(context.env, schedule, std::move(options));
  net::ServerOptions server_options;
  server_options.host = listen.host;
  server_options.port = listen.port;
  server_options.env = &context.env;
  CRESSET_TRY(server, net::Server::open(loop, server_options, [&lighthouse](std::shared_ptr<net::Call> call) {
                lighthouse.handle(std::move(call));
              }));
  listen.port = server->port();
  context.terminal.out("ready\n  lighthouse " + std::string(to_string(dialect)) + " at http://" +
                       listen.text() + "\n");
  loop.on_signal([&loop](int) { loop.stop(); });
  loop.run();
  return 0;
}

}  // namespace

std::vector<Command> lighthouse_commands() {
  return {{{"lighthouse fake",
            "",
            "Be a provider for tests and trials: no key, no network, no model",
            "Speaks one provider's dialect as the real one does and answers any model name with a fixed "
            "text, or as "
            "a script says:\nJSON lines "
            "{\"request\":1,\"do\":\"answer|tool|think|status|stall|cut|garbage\", …}, "
            "counted from 1; a line without\n\"request\" is for every other one. --record keeps each body as "
            "a file.",
            "cresset lighthouse fake --dialect anthropic --listen 127.0.0.1:7272",
            {{"--dialect", "NAME", "openai_chat, openai_responses, anthropic or gemini"},
             {"--listen", "HOST:PORT", "where to listen; port 0 takes a free one"},
             {"--script", "FILE", "what to do, request by request; \"-\" is stdin"},
             {"--seed", "N", "makes the ids different"},
             {"--record", "DIR", "keeps every body that comes in"}},
            0,
            0},
           run_fake,
           NeedsConfig::kNo}};
}

}  // namespace cresset::cli
