// ChatGenerator: requests and event streams of the vocabulary from a seed, in the canonical form of one
// dialect: what that dialect can say, and in the order in which its decoder gives it. `kCommon` is what all
// of them can say.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "chat/event.h"
#include "chat/request.h"

namespace cresset::testing {

class ChatGenerator {
 public:
  ChatGenerator(uint64_t seed, chat::Dialect dialect, bool is_common)
      : random_(seed), dialect_(dialect), common_(is_common) {}

  chat::Request request();
  // A whole answer: Started, parts, Finished.
  std::vector<chat::Event> answer();

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool coin() { return below(2) == 0; }
  bool is(chat::Dialect d) const { return dialect_ == d; }
  double fraction() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  std::string word() { return "w" + std::to_string(below(1'000'000)); }
  std::string text();
  std::string arguments();
  Json schema();
  Json extras() { return !common_ && below(3) == 0 ? Json::object({{"x_" + word(), text()}}) : Json(); }
  Json cache();
  chat::Media media(const std::string& type);
  chat::Part user_part();
  chat::Message user();
  chat::Message assistant(std::vector<std::string>& calls);
  void add_results(std::vector<chat::Message>& out, const std::vector<std::string>& calls);
  void add_tools(chat::Request& request);
  void add_thinking(chat::Request& request);
  void add_sampling(chat::Request& request);

  std::mt19937_64 random_;
  const chat::Dialect dialect_;
  const bool common_;
  int calls_ = 0;
};

}  // namespace cresset::testing
