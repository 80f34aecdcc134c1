#include "testing/tiny_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string_view>

#include "base/check.h"
#include "base/text.h"
#include "testing/gguf_writer.h"

namespace cresset::testing {
namespace {

using engine::Format;

// A chat template in the manner of SmolLM2's.
constexpr std::string_view kTemplate =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

constexpr std::array<std::string_view, 6> kMerges{"h e", "t h", "i n", "th e", "e r", "o u"};

// GPT-2's visible alphabet: printable bytes stand for themselves, the others for code points from 256 on, in
// order (Radford et al. 2019, encoder.py).
std::vector<std::string> byte_texts() {
  std::vector<std::string> out;
  char32_t next = 256;
  for (char32_t b = 0; b < 256; ++b) {
    const bool is_visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    std::string text;
    append_utf8(text, is_visible ? b : next++);
    out.push_back(std::move(text));
  }
  return out;
}

std::vector<std::string> vocabulary() {
  std::vector<std::string> out{"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (std::string& text : byte_texts()) out.push_back(std::move(text));
  for (const std::string_view merge : kMerges) {
    std::string text(merge);
    text.erase(text.find(' '), 1);
    out.push_back(std::move(text));
  }
  return out;
}

void put_half(std::byte* at, float value) {
  const uint16_t bits = engine::float_to_half(value);
  std::memcpy(at, &bits, 2);
}

// The floats of one block of random bytes; so that its values lie about +-size around zero.
void set_scales(Format format, std::byte* block, float size) {
  switch (format) {
    case Format::kQ4_0:
      return put_half(block, size / 8);
    case Format::kQ4_1:
      put_half(block, size / 8);
      return put_half(block + 2, -size / 8 * 7.5f);
    case Format::kQ5_0:
      return put_half(block, size / 16);
    case Format::kQ5_1:
      put_half(block, size / 16);
      return put_half(block + 2, -size / 16 * 15.5f);
    case Format::kQ8_0:
      return put_half(block, size / 128);
    case Format::kQ4_K:
      put_half(block, size / 260);
      return put_half(block + 2, size / 260 * 7.5f);
    case Format::kQ5_K:
      put_half(block, size / 520);
      return put_half(block + 2, size / 520 * 15.5f);
    case Format::kQ6_K:
      return put_half(block + 208, size / 2300);
    case Format::kQ2_K:
      put_half(block + 80, size / 25);
      return put_half(block + 82, size / 25 * 1.5f);
    case Format::kQ3_K:
      return put_half(block + 108, size / 100);
    case Format::kIQ4_NL:
      return put_half(block, size / 120);
    case Format::kIQ4_XS:
      return put_half(block, size / 3000);
    case Format::kMXFP4:  // the next power of two: its values are halves of -12 to 12
      *block = static_cast<std::byte>(127 + std::ilogb(size / 6));
      return;
    default:
      CHECK(false);
  }
}

class Maker {
 public:
  explicit Maker(const TinyModelOptions& options) : o_(options) {}

  std::vector<std::byte> make() {
    put_keys();
    const uint64_t width = o_.width, d = width / o_.heads, q = d * o_.heads, kv = d * o_.kv_heads,
                   words = tiny_vocabulary_size();
    matrix("token_embd.weight", width, words, 1.0f);
    matrix("output.weight", width, words, 6 * size(width));
    norm("output_norm.weight", width);
    const bool is_gemma = o_.architecture == "gemma3", has_experts = o_.architecture == "qwen3moe";
    const bool has_head_norms = is_gemma || has_experts || o_.architecture == "qwen3";
    for (size_t i = 0; i < o_.layers; ++i) {
      const std::string p = "blk." + std::to_string(i) + ".";
      norm(p + "attn_norm.weight", width);
      norm(p + "ffn_norm.weight", width);
      matrix(p + "attn_q.weight", width, q, 2 * size(width));
      matrix(p + "attn_k.weight", width, kv, 2 * size(width));
      matrix(p + "attn_v.weight", width, kv, size(width));
      matrix(p + "attn_output.weight", q, width, size(q));
      if (has_experts) {
        put_experts(p);
      } else {
        matrix(p + "ffn_gate.weight", width, o_.feed_forward, size(width));
        matrix(p + "ffn_up.weight", width, o_.feed_forward, size(width));
        matrix(p + "ffn_down.weight", o_.feed_forward, width, size(o_.feed_forward));
      }
      if (o_.architecture == "qwen2") {
        norm(p + "attn_q.bias", q, -1);
        norm(p + "attn_k.bias", kv, -1);
        norm(p + "attn_v.bias", kv, -1);
      }
      if (has_head_norms) {
        norm(p + "attn_q_norm.weight", d);
        norm(p + "attn_k_norm.weight", d);
      }
      if (!is_gemma) continue;
      norm(p + "post_attention_norm.weight", width);
      norm(p + "post_ffw_norm.weight", width);
    }
    for (const auto& [name, dims] : o_.also) {
      uint64_t items = 1;
      for (const uint64_t n : dims) items *= n;
      writer_.add_tensor(name, dims, std::vector<float>(items, 0.0f));
    }
    return writer_.finish();
  }

 private:
  void put(const std::string& key, TinyValue value) {
    if (const auto it = o_.keys.find(key); it != o_.keys.end()) value = it->second;
    done_.insert(key);
    write(key, value);
  }
  void write(const std::string& key, const TinyValue& value) {
    if (const auto* u = std::get_if<uint32_t>(&value)) writer_.put_u32(key, *u);
    if (const auto* f = std::get_if<float>(&value)) writer_.put_f32(key, *f);
    if (const auto* b = std::get_if<bool>(&value)) writer_.put_bool(key, *b);
    if (const auto* s = std::get_if<std::string>(&value)) writer_.put_string(key, *s);
  }

  void put_keys() {
    const auto number = [](size_t n) { return static_cast<uint32_t>(n); };
    const std::string p = o_.architecture + ".";
    put("general.architecture", o_.architecture);
    put("general.name", std::string("Tiny"));
    put(p + "block_count", number(o_.layers));
    put(p + "embedding_length", number(o_.width));
    put(p + "feed_forward_length", number(o_.feed_forward));
    put(p + "attention.head_count", number(o_.heads));
    put(p + "attention.head_count_kv", number(o_.kv_heads));
    put(p + "context_length", number(o_.context));
    put(p + "attention.layer_norm_rms_epsilon", 1e-5f);
    put(p + "rope.freq_base", 10000.0f);
    if (o_.architecture == "qwen3moe") {
      put(p + "expert_count", number(o_.experts));
      put(p + "expert_used_count", number(o_.experts_used));
      put(p + "expert_feed_forward_length", number(o_.feed_forward));
    }
    if (o_.sliding_window > 0) {
      put(p + "attention.sliding_window", number(o_.sliding_window));
      put(p + "attention.sliding_window_pattern", number(2));
    }
    put("tokenizer.ggml.model", std::string("gpt2"));
    put("tokenizer.ggml.pre", std::string("smollm"));
    const std::vector<std::string> texts = vocabulary();
    std::vector<int32_t> kinds(texts.size(), 1);
    std::fill_n(kinds.begin(), 3, 3);  // control
    if (!o_.without.contains("tokenizer.ggml.tokens")) writer_.put_strings("tokenizer.ggml.tokens", texts);
    writer_.put_i32s("tokenizer.ggml.token_type", kinds);
    writer_.put_strings("tokenizer.ggml.merges", std::vector<std::string>(kMerges.begin(), kMerges.end()));
    put("tokenizer.ggml.bos_token_id", number(kTinyStart));
    put("tokenizer.ggml.eos_token_id", number(kTinyEnd));
    put("tokenizer.ggml.add_bos_token", false);
    if (o_.has_chat_template) put("tokenizer.chat_template", std::string(kTemplate));
    for (const auto& [key, value] : o_.keys) {
      if (!done_.contains(key)) write(key, value);
    }
  }

  std::vector<uint64_t> dims_of(const std::string& name, std::vector<uint64_t> dims) const {
    const auto it = o_.dims.find(name);
    return it == o_.dims.end() ? dims : it->second;
  }

  // The spread of weights that keeps a result as large as what is multiplied.
  static float size(uint64_t columns) { return 2.0f / std::sqrt(static_cast<float>(columns)); }

  void put_experts(const std::string& p) {
    const uint64_t width = o_.width, inner = o_.feed_forward, count = o_.experts;
    if (!o_.without.contains(p + "ffn_gate_inp.weight")) {
      const std::vector<uint64_t> dims = dims_of(p + "ffn_gate_inp.weight", {width, count});
      std::mt19937_64 random(o_.seed * 1000 + ++count_);
      std::vector<float> router(dims[0] * dims[1]);
      for (float& v : router) v = 2 * size(width) * (static_cast<float>(random() % 2001) / 1000.0f - 1);
      writer_.add_tensor(p + "ffn_gate_inp.weight", dims, router);
    }
    tensor(p + "ffn_gate_exps.weight", {width, inner, count}, size(width));
    tensor(p + "ffn_up_exps.weight", {width, inner, count}, size(width));
    tensor(p + "ffn_down_exps.weight", {inner, width, count}, size(inner));
  }

  void matrix(const std::string& name, uint64_t columns, uint64_t rows, float size) {
    tensor(name, {columns, rows}, size);
  }

  void tensor(const std::string& name, std::vector<uint64_t> shape, float size) {
    const uint64_t seed = o_.seed * 1000 + ++count_;
    if (o_.without.contains(name)) return;
    const std::vector<uint64_t> dims = dims_of(name, std::move(shape));
    uint64_t items = 1;
    for (const uint64_t n : dims) items *= n;
    const size_t blocks = items / engine::traits(o_.format).block_items;
    writer_.add_tensor(name, o_.format, dims, random_blocks(o_.format, blocks, size, seed));
  }

  // Values around 1, or around 1 + `shift`.
  void norm(const std::string& name, uint64_t columns, float shift = 0) {
    const uint64_t seed = o_.seed * 1000 + ++count_;
    if (o_.without.contains(name)) return;
    const std::vector<uint64_t> dims = dims_of(name, {columns});
    std::mt19937_64 random(seed);
    std::vector<float> values(dims[0]);
    for (float& v : values) v = shift + 0.75f + static_cast<float>(random() % 1000) / 2000.0f;
    writer_.add_tensor(name, dims, values);
  }

  const TinyModelOptions& o_;
  GgufWriter writer_;
  std::set<std::string> done_;
  uint64_t count_ = 0;
};

}  // namespace

std::vector<std::byte> random_blocks(Format format, size_t count, float size, uint64_t seed) {
  std::mt19937_64 random(seed);
  const size_t block_bytes = engine::traits(format).block_bytes;
  std::vector<std::byte> out(count * block_bytes);
  if (engine::traits(format).block_items == 1) {
    for (size_t i = 0; i < count; ++i) {
      const float value = size * (static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
      if (format == Format::kF32) {
        std::memcpy(out.data() + i * 4, &value, 4);
      } else if (format == Format::kF16) {
        put_half(out.data() + i * 2, value);
      } else {
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        const auto upper = static_cast<uint16_t>(bits >> 16);
        std::memcpy(out.data() + i * 2, &upper, 2);
      }
    }
    return out;
  }
  for (std::byte& b : out) b = static_cast<std::byte>(random());
  for (size_t i = 0; i < count; ++i) {
    const float factor = 0.5f + static_cast<float>(random() % 1000) / 1000.0f;
    set_scales(format, out.data() + i * block_bytes, size * factor);
  }
  return out;
}

size_t tiny_vocabulary_size() {
  return 3 + 256 + kMerges.size();
}

std::vector<std::byte> make_tiny_model(const TinyModelOptions& options) {
  return Maker(options).make();
}

std::string tiny_model_text(const TinyModelOptions& options) {
  const std::vector<std::byte> bytes = make_tiny_model(options);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace cresset::testing
