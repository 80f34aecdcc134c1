// Any bytes as text: nothing crashes, control tokens never come from plain text, and valid UTF-8 comes back
// as it was. The first byte picks the vocabulary; the next two, how the text is cut into pieces.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "engine/token/tokenizer.h"
#include "testing/tiny_vocabulary.h"

using namespace cresset;
using namespace cresset::engine;

namespace {

struct Loaded {
  Vocabulary vocabulary;
  std::unique_ptr<Tokenizer> tokenizer;
};

// Built once: what they hold never changes.
const std::vector<std::unique_ptr<Loaded>>& all() {
  static const auto* const kAll = [] {
    auto* out = new std::vector<std::unique_ptr<Loaded>>;
    const auto add = [&](Vocabulary v) {
      out->push_back(std::make_unique<Loaded>());
      out->back()->vocabulary = std::move(v);
      out->back()->tokenizer = std::move(*Tokenizer::open(out->back()->vocabulary));
    };
    for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) add(testing::tiny_byte_pairs(pre));
    add(testing::tiny_sentence_piece(false));
    add(testing::tiny_sentence_piece(true));
    return out;
  }();
  return *kAll;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const Loaded& chosen = *all()[data[0] % all().size()];
  const Tokenizer& tokenizer = *chosen.tokenizer;
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);
  std::vector<Token> tokens;
  tokenizer.encode(text, Special::kAsText, true, tokens);
  std::string back;
  for (const Token t : tokens) {
    const TokenKind kind = chosen.vocabulary.kinds.at(static_cast<size_t>(t));
    if (kind == TokenKind::kControl || kind == TokenKind::kUnknown) std::abort();
    back += tokenizer.decode(t);
  }
  if (chosen.vocabulary.kind == TokenizerKind::kBytePairs && is_utf8(text) && back != text) std::abort();
  const size_t first = std::min<size_t>(data[1], text.size()),
               second = std::min<size_t>(data[2], text.size() - first);
  const TextPiece pieces[] = {{text.substr(0, first), Special::kParsed},
                              {text.substr(first, second), Special::kAsText},
                              {text.substr(first + second), Special::kParsed}};
  std::vector<Token> parsed;
  tokenizer.encode(pieces, true, parsed);
  for (const Token t : parsed) (void)tokenizer.decode(t, true);
  return 0;
}
