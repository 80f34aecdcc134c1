// decode(encode(x)) = x on generated requests, for both endpoints.
#include <gtest/gtest.h>

#include <random>

#include "wire/openai_chat.h"

namespace cresset::wire {
namespace {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  chat::Request request(bool is_chat) {
    chat::Request r;
    r.model = "m/" + word();
    if (is_chat) {
      for (int i = below(5) + 1; i > 0; --i) r.messages.push_back(message());
    } else {
      prompts(r.prompts);
      r.tokens_max = 1 + below(4096);  // "not set" means OpenAI's 16 here
    }
    sampling(r.sampling);
    if (coin()) r.tokens_max = 1 + below(100'000);
    if (coin()) r.tokens_min = below(r.tokens_max.value_or(50) + 1);
    r.ignore_eos = coin();
    for (int i = below(5); i > 0; --i) r.stop.push_back(text() + ".");
    if (coin()) r.choices = 1 + below(8);
    r.logprobs = coin();
    if (r.logprobs) r.top_logprobs = below(is_chat ? 21 : 6);
    r.echo = !is_chat && coin();
    r.stream = coin();
    r.include_usage = r.stream && coin();
    if (coin()) r.user = word();
    if (is_chat && coin()) r.template_kwargs = Json::object({{word(), true}, {"x" + word(), text()}});
    return r;
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool coin() { return below(2) == 0; }
  double fraction() { return static_cast<double>(random_() >> 11) * 0x1p-53; }
  std::string word() { return "w" + std::to_string(below(1'000'000)); }
  std::string text() {
    constexpr std::string_view kPieces[] = {"a",    " ",  "\n",   "\"",   "\\", "é",
                                            "日本", "🙂", "\x01", "</s>", "{}", "\u2028"};
    std::string out;
    for (int i = below(12); i > 0; --i) out += kPieces[below(static_cast<int>(std::size(kPieces)))];
    return out;
  }
  chat::Message message() {
    constexpr chat::Role kRoles[] = {chat::Role::kSystem, chat::Role::kDeveloper, chat::Role::kUser,
                                     chat::Role::kAssistant};
    chat::Message m;
    m.role = kRoles[below(4)];
    if (coin()) m.name = word();
    for (int i = 1 + below(3); i > 0; --i) m.parts.push_back({chat::Text{text()}, {}});
    return m;
  }
  void prompts(std::vector<chat::Prompt>& out) {
    const bool is_text = coin();
    for (int i = 1 + below(4); i > 0; --i) {
      chat::Tokens tokens(static_cast<size_t>(1 + below(6)));
      for (int32_t& token : tokens) token = below(200'000);
      if (is_text) {
        out.emplace_back(text());
      } else {
        out.emplace_back(std::move(tokens));
      }
    }
  }
  void sampling(chat::Sampling& s) {
    if (coin()) s.temperature = 2 * fraction();
    if (coin()) s.top_p = 1 - fraction();
    if (coin()) s.top_k = below(1000);
    if (coin()) s.min_p = fraction();
    if (coin()) s.repetition_penalty = 0.5 + fraction();
    if (coin()) s.presence_penalty = 4 * fraction() - 2;
    if (coin()) s.frequency_penalty = 4 * fraction() - 2;
    if (coin()) s.seed = static_cast<int64_t>(random_());
    for (int i = below(4); i > 0; --i)
      s.logit_bias.emplace_back(i * 1000 + below(1000), 200 * fraction() - 100);
  }

  std::mt19937_64 random_;
};

bool same(const std::vector<chat::Message>& a, const std::vector<chat::Message>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].role != b[i].role || a[i].name != b[i].name || a[i].parts.size() != b[i].parts.size())
      return false;
    for (size_t p = 0; p < a[i].parts.size(); ++p) {
      if (std::get<chat::Text>(a[i].parts[p].body).text != std::get<chat::Text>(b[i].parts[p].body).text)
        return false;
    }
  }
  return true;
}

bool same(const chat::Sampling& a, const chat::Sampling& b) {
  return a.temperature == b.temperature && a.top_p == b.top_p && a.top_k == b.top_k && a.min_p == b.min_p &&
         a.repetition_penalty == b.repetition_penalty && a.presence_penalty == b.presence_penalty &&
         a.frequency_penalty == b.frequency_penalty && a.logit_bias == b.logit_bias && a.seed == b.seed;
}

bool same(const chat::Request& a, const chat::Request& b) {
  return a.model == b.model && same(a.messages, b.messages) && a.prompts == b.prompts &&
         same(a.sampling, b.sampling) && a.tokens_max == b.tokens_max && a.tokens_min == b.tokens_min &&
         a.ignore_eos == b.ignore_eos && a.stop == b.stop && a.choices == b.choices &&
         a.logprobs == b.logprobs && a.top_logprobs == b.top_logprobs && a.echo == b.echo &&
         a.stream == b.stream && a.include_usage == b.include_usage && a.user == b.user &&
         a.template_kwargs == b.template_kwargs;
}

TEST(OpenAiRoundTrip, DecodingWhatWasEncodedGivesTheSameRequest) {
  Generator generator(7);
  for (int i = 0; i < 2000; ++i) {
    const bool is_chat = i % 2 == 0;
    const Codec& codec = is_chat ? openai_chat_codec() : openai_completions_codec();
    const chat::Request request = generator.request(is_chat);
    const std::string body = codec.encode_request(request);
    const auto decoded = codec.decode_request(body);
    ASSERT_TRUE(decoded) << decoded.error().message << "\n" << body;
    ASSERT_TRUE(same(request, *decoded)) << body << "\n" << codec.encode_request(*decoded);
  }
}

}  // namespace
}  // namespace cresset::wire
