#include "engine/load/card.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace cresset::engine {
namespace {

// Families that are published under terms of their own. A file that states a licence is believed first; many
// GGUF files state none.
struct Terms {
  std::string_view architecture, licence, note;
};
constexpr Terms kTerms[] = {
    {"gemma3", "Gemma Terms of Use",
     "use restrictions must be passed on; text: https://ai.google.dev/gemma/terms"},
};

std::string text_or_empty(const Gguf& file, std::string_view key) {
  constexpr size_t kMost = 64u << 10;
  const auto value = file.read_string(key);
  return value ? to_valid_utf8(value->substr(0, kMost)) : std::string();
}

}  // namespace

Result<ModelCard> make_card(const Gguf& file, uint64_t file_bytes, const ModelConfig& config,
                            const Vocabulary& vocabulary) {
  ModelCard card;
  card.architecture = config.architecture;
  card.name = text_or_empty(file, "general.name");
  card.licence = text_or_empty(file, "general.license");
  card.licence_note = text_or_empty(file, "general.license.link");
  for (const Terms& terms : kTerms) {
    if (terms.architecture != config.architecture) continue;
    if (card.licence.empty()) card.licence = terms.licence;
    if (card.licence_note.empty()) card.licence_note = terms.note;
  }
  std::map<Format, uint64_t> bytes_of;
  for (const GgufTensor& tensor : file.tensors()) {
    uint64_t items = 1;
    for (const uint64_t d : tensor.dims) items *= d;
    card.parameters += items;
    if (tensor.dims.size() >= 2 && tensor.name != "token_embd.weight")
      bytes_of[tensor.format] += tensor.bytes.size();
  }
  const auto most = std::max_element(bytes_of.begin(), bytes_of.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != bytes_of.end()) card.quantisation = traits(most->first).name;
  card.file_bytes = file_bytes;
  card.context_length = static_cast<int>(config.context);
  card.layers = static_cast<int>(config.layers);
  card.embedding_length = static_cast<int>(config.embedding);
  card.heads = static_cast<int>(config.heads);
  card.kv_heads = static_cast<int>(config.kv_heads);
  card.vocabulary_size = static_cast<int>(vocabulary.texts.size());
  card.tokenizer =
      vocabulary.kind == TokenizerKind::kSentencePiece ? "sentencepiece" : "bpe/" + vocabulary.pre;
  card.has_chat_template = !vocabulary.chat_template.empty();
  card.chat_template = vocabulary.chat_template;
  return card;
}

}  // namespace cresset::engine
