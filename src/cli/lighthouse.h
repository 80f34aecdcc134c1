// Lighthouse: a provider that is none. It speaks one dialect as the real one does, knows every model name,
// and says a fixed text, or what its script says: tools, thoughts with signatures, refusals, stalls, cuts,
// garbage. For trying the whole grid without a key, and for tests of what providers do wrong.
//
// It is strict where the real ones are: a request that they would refuse is refused (an unsigned or altered
// thought, a tool's answer without its call, Anthropic's max_tokens missing). Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/event.h"
#include "net/server.h"
#include "provider/threads.h"
#include "sys/env.h"
#include "wire/codec.h"

namespace cresset::cli {

// One line of a script. What it may hold beside "request" (from 1; absent: every request that no other line
// names) and "do", by "do":
//   answer   "text"
//   tool     "name", "arguments" (an object, or a text that may be broken), or "calls":
//   [{"name","arguments"}] think    "thought", "text" status   "status", "message", "headers": {…},
//   "retry_after" stall    "after" (words), "seconds"; then it goes on cut      "after" (bytes of the answer)
//   garbage  "text"
// and for those that answer: "usage": {"prompt","completion","cached","reasoning"}, "delay_ms" between words.
struct LighthouseScript {
  std::map<int64_t, Json> lines;
  Json otherwise;  // null: the fixed text
};
Result<LighthouseScript> parse_lighthouse_script(std::string_view text);

class Lighthouse {
 public:
  struct Options {
    chat::Dialect dialect = chat::Dialect::kOpenAiChat;
    LighthouseScript script;
    uint64_t seed = 1;
    std::function<void(int64_t request, const std::string& body)> record;  // may be null
  };
  // Both outlive this and what it has posted.
  Lighthouse(sys::Env& env, provider::Schedule& schedule, Options options);

  void handle(std::shared_ptr<net::Call> call);
  int64_t requests() const { return requests_; }

 private:
  struct Stream;

  void answer(const std::shared_ptr<net::Call>& call, const chat::Request& request, const Json& line);
  void send_whole(const std::shared_ptr<net::Call>& call, const chat::Request& request, const Json& line,
                  const std::vector<chat::Event>& events);
  void pump(const std::shared_ptr<Stream>& stream);
  std::vector<chat::Event> events_for(const chat::Request& request, const Json& line);
  void refuse(net::Call& call, int status, std::string message, const Json& line = {});
  std::string next_id(std::string_view prefix);

  sys::Env& env_;
  provider::Schedule& schedule_;
  const Options options_;
  const wire::Codec& codec_;
  int64_t requests_ = 0, ids_ = 0;
};

}  // namespace cresset::cli
