#include "engine/token/vocabulary.h"

#include <algorithm>
#include <array>

#include "engine/load/gguf.h"

namespace cresset::engine {
namespace {

// Longest text of one token. Real ones stay under 1 KiB; the bound keeps encoding O(n log n).
constexpr size_t kTokenBytesMax = 2'048;
constexpr uint64_t kMergesMax = 4'000'000;
constexpr size_t kTemplateBytesMax = 1u << 20;

// Tokens that end an answer, by their text, whatever kind the file gives them (llama.cpp's list,
// llama-vocab.cpp).
constexpr std::array<std::string_view, 22> kEndTexts{"<|eot_id|>",
                                                     "<|im_end|>",
                                                     "<|end|>",
                                                     "<|return|>",
                                                     "<|call|>",
                                                     "<|flush|>",
                                                     "<|calls|>",
                                                     "<end_of_turn>",
                                                     "<|endoftext|>",
                                                     "</s>",
                                                     "<|eom_id|>",
                                                     "<EOT>",
                                                     "_<EOT>",
                                                     "[EOT]",
                                                     "[EOS]",
                                                     "<|end_of_text|>",
                                                     "<end_of_utterance>",
                                                     "<eos>",
                                                     "<turn|>",
                                                     "<|tool_response>",
                                                     "<\xef\xbd\x9c"
                                                     "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
                                                     "[e~["};

// Fill-in-the-middle tokens: control tokens too, but they end nothing.
constexpr std::array<std::string_view, 21> kMiddleTexts{
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>",   "<PRE>",        "<|fim_suffix|>", "<fim-suffix>",
    "<fim_suffix>",   "<SUF>",        "<|fim_middle|>", "<fim-middle>", "<fim_middle>",   "<MID>",
    "<|fim_pad|>",    "<fim-pad>",    "<fim_pad>",      "<PAD>",        "[PAD]",          "<|fim_repo|>",
    "<|repo_name|>",  "<reponame>",   "<|file_sep|>"};

tl::unexpected<Error> corrupt(std::string what, std::string_view key) {
  return fail(Code::kCorrupt, std::move(what), std::string(key));
}

class Reader {
 public:
  explicit Reader(const Gguf& file) : file_(file) {}

  Result<Vocabulary> read() {
    CRESSET_TRY(model, file_.read_string("tokenizer.ggml.model"));
    if (model == "gpt2") {
      out_.kind = TokenizerKind::kBytePairs;
    } else if (model == "llama") {
      out_.kind = TokenizerKind::kSentencePiece;
    } else {
      return fail(Code::kUnsupported,
                  "tokenizer model \"" + std::string(model.substr(0, 64)) +
                      "\" is not known; known: gpt2 (byte-level BPE), llama (SentencePiece)",
                  "tokenizer.ggml.model");
    }
    CRESSET_TRY(pre, file_.read_string_or("tokenizer.ggml.pre", ""));
    out_.pre = pre.substr(0, 64);
    CRESSET_TRY_STATUS(read_texts());
    CRESSET_TRY_STATUS(read_kinds());
    CRESSET_TRY_STATUS(read_scores());
    CRESSET_TRY_STATUS(read_merges());
    CRESSET_TRY_STATUS(read_ids());
    CRESSET_TRY_STATUS(read_flags());
    CRESSET_TRY(text, file_.read_string_or("tokenizer.chat_template", ""));
    if (text.size() > kTemplateBytesMax) return corrupt("over 1 MiB long", "tokenizer.chat_template");
    out_.chat_template = text;
    return std::move(out_);
  }

 private:
  bool is_bpe() const { return out_.kind == TokenizerKind::kBytePairs; }

  // Counts before anything is copied: an absurd array costs nothing.
  Status check_count(std::string_view key, uint64_t max) {
    const GgufValue* value = file_.find(key);
    if (value != nullptr && value->is_array() && value->item_count() > max) {
      return corrupt(std::to_string(value->item_count()) + " items, over the limit of " + std::to_string(max),
                     key);
    }
    return {};
  }
  Status check_same_count(std::string_view key, size_t count) {
    if (count == out_.texts.size()) return {};
    return corrupt(std::to_string(count) + " items for " + std::to_string(out_.texts.size()) + " tokens",
                   key);
  }

  Status read_texts() {
    constexpr std::string_view kKey = "tokenizer.ggml.tokens";
    CRESSET_TRY_STATUS(check_count(kKey, Vocabulary::kSizeMax));
    CRESSET_TRY(texts, file_.read_strings(kKey));
    if (texts.empty()) return corrupt("a vocabulary without tokens", kKey);
    out_.texts.reserve(texts.size());
    out_.index.reserve(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto where = [&] { return std::string(kKey) + "[" + std::to_string(i) + "]"; };
      if (texts[i].size() > kTokenBytesMax) {
        return corrupt("token of " + std::to_string(texts[i].size()) + " bytes, over the limit of " +
                           std::to_string(kTokenBytesMax),
                       where());
      }
      const auto added = out_.add_text(texts[i]);
      if (added == TextIndex::Added::kKnown) return corrupt("the same text as an earlier token", where());
      if (added == TextIndex::Added::kCollides) return corrupt("one of many texts made to collide", where());
    }
    return {};
  }

  Status read_kinds() {
    constexpr std::string_view kKey = "tokenizer.ggml.token_type";
    out_.kinds.assign(out_.texts.size(), TokenKind::kNormal);
    if (!file_.has(kKey)) return {};
    CRESSET_TRY_STATUS(check_count(kKey, Vocabulary::kSizeMax));
    CRESSET_TRY(numbers, file_.read_integers(kKey));
    CRESSET_TRY_STATUS(check_same_count(kKey, numbers.size()));
    // 0 is "undefined": such a token is never made and shows nothing.
    constexpr std::array<TokenKind, 7> kKinds{
        TokenKind::kUnused,      TokenKind::kNormal, TokenKind::kUnknown, TokenKind::kControl,
        TokenKind::kUserDefined, TokenKind::kUnused, TokenKind::kByte};
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (numbers[i] < 0 || numbers[i] > 6) {
        return corrupt("type " + std::to_string(numbers[i]) + " is not one of 0 to 6",
                       std::string(kKey) + "[" + std::to_string(i) + "]");
      }
      out_.kinds[i] = kKinds[static_cast<size_t>(numbers[i])];
    }
    return {};
  }

  Status read_scores() {
    constexpr std::string_view kKey = "tokenizer.ggml.scores";
    if (is_bpe()) return {};
    CRESSET_TRY_STATUS(check_count(kKey, Vocabulary::kSizeMax));
    CRESSET_TRY(scores, file_.read_floats(kKey));  // finite, or an error
    CRESSET_TRY_STATUS(check_same_count(kKey, scores.size()));
    out_.scores = std::move(scores);
    return {};
  }

  Status read_merges() {
    constexpr std::string_view kKey = "tokenizer.ggml.merges";
    if (!is_bpe()) return {};
    CRESSET_TRY_STATUS(check_count(kKey, kMergesMax));
    CRESSET_TRY(merges, file_.read_strings(kKey));
    out_.merges.reserve(merges.size());
    for (size_t i = 0; i < merges.size(); ++i) {
      const std::string_view m = merges[i];
      const size_t space = m.find(' ', 1);
      if (m.size() > 2 * kTokenBytesMax + 1 || space == std::string_view::npos || space + 1 == m.size()) {
        return corrupt("not two texts with a space between",
                       std::string(kKey) + "[" + std::to_string(i) + "]");
      }
      MergeRule& rule = out_.merges.emplace_back();
      rule.joined.reserve(m.size() - 1);
      rule.joined.append(m.substr(0, space)).append(m.substr(space + 1));
      rule.left_bytes = space;
    }
    return {};
  }

  Result<Token> read_id(std::string_view name, Token otherwise) {
    const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
    const size_t size = out_.texts.size();
    if (!file_.has(key))
      return otherwise >= 0 && static_cast<size_t>(otherwise) < size ? otherwise : kNoToken;
    CRESSET_TRY(id, file_.read_unsigned(key));
    if (id >= size) {
      return corrupt(
          std::to_string(id) + " is outside of the vocabulary of " + std::to_string(size) + " tokens", key);
    }
    return static_cast<Token>(id);
  }

  Status read_ids() {
    // SentencePiece files may leave out the ids that its trainer gives by default.
    CRESSET_TRY(bos, read_id("bos", is_bpe() ? kNoToken : 1));
    CRESSET_TRY(eos, read_id("eos", is_bpe() ? kNoToken : 2));
    CRESSET_TRY(unknown, read_id("unknown", is_bpe() ? kNoToken : 0));
    CRESSET_TRY(padding, read_id("padding", kNoToken));
    CRESSET_TRY(eot, read_id("eot", kNoToken));
    CRESSET_TRY(eom, read_id("eom", kNoToken));
    out_.bos = bos;
    out_.eos = eos;
    out_.unknown = unknown;
    out_.padding = padding;
    for (const Token t : {eos, eot, eom}) add_end(t);
    find_known_texts();
    return {};
  }

  void add_end(Token token) {
    if (token == kNoToken || std::find(out_.ends.begin(), out_.ends.end(), token) != out_.ends.end()) return;
    out_.ends.push_back(token);
    out_.kinds[static_cast<size_t>(token)] = TokenKind::kControl;
  }

  void find_known_texts() {
    const auto is_in = [](const auto& list, std::string_view text) {
      return std::find(list.begin(), list.end(), text) != list.end();
    };
    bool has_return = false, has_call = false;
    Token end = kNoToken;
    for (size_t i = 0; i < out_.texts.size(); ++i) {
      const std::string_view text = out_.texts[i];
      if (text.size() < 4) continue;
      if (is_in(kMiddleTexts, text)) out_.kinds[i] = TokenKind::kControl;
      if (!is_in(kEndTexts, text)) continue;
      add_end(static_cast<Token>(i));
      has_return = has_return || text == "<|return|>" || text == "<|flush|>";
      has_call = has_call || text == "<|call|>" || text == "<|calls|>";
      if (text == "<|end|>") end = static_cast<Token>(i);
    }
    // Where <|return|> and <|call|> end an answer, <|end|> ends only a part of it.
    if (has_return && has_call && end != out_.eos) std::erase(out_.ends, end);
  }

  Status read_flags() {
    const bool is_llama3 = out_.pre == "llama-bpe" || out_.pre == "llama3" || out_.pre == "llama-v3";
    CRESSET_TRY(bos, file_.read_bool_or("tokenizer.ggml.add_bos_token", !is_bpe() || is_llama3));
    CRESSET_TRY(eos, file_.read_bool_or("tokenizer.ggml.add_eos_token", false));
    CRESSET_TRY(prefix, file_.read_bool_or("tokenizer.ggml.add_space_prefix", !is_bpe()));
    out_.add_bos = bos && out_.bos != kNoToken;
    out_.add_eos = eos && out_.eos != kNoToken;
    out_.add_space_prefix = prefix && !is_bpe();
    return {};
  }

  const Gguf& file_;
  Vocabulary out_;
};

}  // namespace

TextIndex::Added Vocabulary::add_text(std::string_view text) {
  texts.emplace_back(text);
  return text.empty() ? TextIndex::Added::kNew : index.add(texts, static_cast<uint32_t>(texts.size() - 1));
}

Token Vocabulary::find(std::string_view text) const {
  const auto place = index.find(texts, text);
  return place ? static_cast<Token>(*place) : kNoToken;
}

Result<Vocabulary> Vocabulary::read(const Gguf& file) {
  return Reader(file).read();
}

}  // namespace cresset::engine
