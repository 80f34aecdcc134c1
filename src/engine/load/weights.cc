#include "engine/load/weights.h"

#include <algorithm>
#include <functional>
#include <unordered_set>

namespace cresset::engine {
namespace {

std::string shape_text(const std::vector<uint64_t>& dims) {
  std::string out;
  for (const uint64_t d : dims) out += (out.empty() ? "" : "x") + std::to_string(d);
  return out;
}

// Walks the tensors that an architecture has. Finds each, checks its shape, and remembers which were used.
class Shelf {
 public:
  Shelf(const Gguf& file, const ModelConfig& config) : file_(file), config_(config) {}

  Result<const GgufTensor*> take(const std::string& name, std::vector<uint64_t> dims) {
    const GgufTensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) return fail(Code::kCorrupt, "the tensor " + name + " is missing", file_.where());
    if (tensor->dims != dims) {
      return fail(Code::kCorrupt,
                  "the tensor " + name + " is " + shape_text(tensor->dims) + ", expected " + shape_text(dims),
                  file_.where());
    }
    used_.insert(tensor->name);
    return tensor;
  }
  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  const std::string& where() const { return file_.where(); }

  // Nothing may be left: a tensor that the recipe does not read would silently change the answers.
  Status finish() const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (!used_.contains(tensor.name)) {
        return fail(Code::kUnsupported,
                    "the tensor " + std::string(tensor.name) + " is not part of the architecture " +
                        config_.architecture + " as this engine runs it",
                    file_.where());
      }
    }
    return {};
  }

 private:
  const Gguf& file_;
  const ModelConfig& config_;
  std::unordered_set<std::string_view> used_;
};

struct Receiver {
  std::function<Status(PackedMatrix&, const GgufTensor&)> matrix;
  std::function<Status(std::vector<float>&, const GgufTensor&)> vector;
};

// A file holds the matrices of all experts one after the other as one tensor of three dimensions.
Status visit_experts(Shelf& shelf, const std::string& prefix, const ModelConfig& config,
                     ExpertWeights& weights, const Receiver& receive) {
  const uint64_t width = config.embedding, count = config.experts.count, inner = config.experts.feed_forward;
  const std::string router_name = prefix + "ffn_gate_inp.weight";
  CRESSET_TRY(router, shelf.take(router_name, {width, count}));
  if (traits(router->format).block_items != 1) {
    return fail(Code::kUnsupported,
                "the tensor " + router_name + " is " + std::string(traits(router->format).name) +
                    " (this engine takes a router in F32, F16 or BF16)",
                shelf.where());
  }
  CRESSET_TRY_STATUS(receive.matrix(weights.router, *router));
  struct Stack {
    const char* name;
    std::vector<PackedMatrix>* to;
    uint64_t columns, rows;
  };
  for (const Stack& s :
       {Stack{"ffn_gate_exps", &weights.gate, width, inner}, Stack{"ffn_up_exps", &weights.up, width, inner},
        Stack{"ffn_down_exps", &weights.down, inner, width}}) {
    CRESSET_TRY(tensor, shelf.take(prefix + s.name + ".weight", {s.columns, s.rows, count}));
    s.to->resize(count);
    const size_t bytes = tensor->bytes.size() / count;
    for (size_t e = 0; e < count; ++e) {
      const GgufTensor one{
          tensor->name, tensor->format, {s.columns, s.rows}, tensor->bytes.subspan(e * bytes, bytes)};
      CRESSET_TRY_STATUS(receive.matrix((*s.to)[e], one));
    }
  }
  return {};
}

// Names every tensor of the architecture once; `receive` decides what to do with each.
Status visit_tensors(const Gguf& file, ModelConfig& config, Weights& weights, const Receiver& receive) {
  Shelf shelf(file, config);
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->dims.size() != 2) {
    return fail(Code::kCorrupt, "the tensor token_embd.weight is missing or not a matrix", file.where());
  }
  config.vocabulary = static_cast<size_t>(embedding->dims[1]);
  const uint64_t width = config.embedding, q = config.heads * config.head_size,
                 kv = config.kv_heads * config.head_size;
  CRESSET_TRY(table, shelf.take("token_embd.weight", {width, config.vocabulary}));
  weights.embedding = table->bytes;
  weights.embedding_format = table->format;

  if (shelf.has("rope_freqs.weight")) {
    CRESSET_TRY(factors, shelf.take("rope_freqs.weight", {config.rope_size / 2}));
    CRESSET_TRY_STATUS(receive.vector(config.rope_factors, *factors));
    for (const float f : config.rope_factors) {
      if (!(f > 0))
        return fail(Code::kCorrupt, "the tensor rope_freqs.weight holds a factor that is not positive",
                    file.where());
    }
  }
  CRESSET_TRY(norm, shelf.take("output_norm.weight", {width}));
  CRESSET_TRY_STATUS(receive.vector(weights.output_norm, *norm));

  weights.layers.resize(config.layers);
  for (size_t i = 0; i < config.layers; ++i) {
    LayerWeights& layer = weights.layers[i];
    const std::string p = "blk." + std::to_string(i) + ".";
    const bool has_experts = config.layer[i].has_experts;
    struct Matrix {
      const char* name;
      PackedMatrix* to;
      uint64_t columns, rows;
      bool is_present = true;
    };
    for (const Matrix& m :
         {Matrix{"attn_q", &layer.query, width, q}, Matrix{"attn_k", &layer.key, width, kv},
          Matrix{"attn_v", &layer.value, width, kv}, Matrix{"attn_output", &layer.attention_output, q, width},
          Matrix{"ffn_gate", &layer.gate, width, config.feed_forward, !has_experts},
          Matrix{"ffn_up", &layer.up, width, config.feed_forward, !has_experts},
          Matrix{"ffn_down", &layer.down, config.feed_forward, width, !has_experts}}) {
      if (!m.is_present) continue;
      CRESSET_TRY(tensor, shelf.take(p + m.name + ".weight", {m.columns, m.rows}));
      CRESSET_TRY_STATUS(receive.matrix(*m.to, *tensor));
    }
    if (has_experts) CRESSET_TRY_STATUS(visit_experts(shelf, p, config, layer.experts, receive));
    struct Vector {
      const char* name;
      std::vector<float>* to;
      uint64_t size;
      bool is_present;
      const char* kind = ".weight";
    };
    for (const Vector& v :
         {Vector{"attn_norm", &layer.attention_norm, width, true},
          Vector{"ffn_norm", &layer.feed_forward_norm, width, true},
          Vector{"attn_q", &layer.query_bias, q, config.has_attention_biases, ".bias"},
          Vector{"attn_k", &layer.key_bias, kv, config.has_attention_biases, ".bias"},
          Vector{"attn_v", &layer.value_bias, kv, config.has_attention_biases, ".bias"},
          Vector{"attn_q_norm", &layer.query_norm, config.head_size, config.has_query_key_norm},
          Vector{"attn_k_norm", &layer.key_norm, config.head_size, config.has_query_key_norm},
          Vector{"post_attention_norm", &layer.post_attention_norm, width, config.has_post_norms},
          Vector{"post_ffw_norm", &layer.post_feed_forward_norm, width, config.has_post_norms}}) {
      if (!v.is_present) continue;
      CRESSET_TRY(tensor, shelf.take(p + v.name + v.kind, {v.size}));
      CRESSET_TRY_STATUS(receive.vector(*v.to, *tensor));
    }
  }
  if (shelf.has("output.weight")) {
    CRESSET_TRY(output, shelf.take("output.weight", {width, config.vocabulary}));
    CRESSET_TRY_STATUS(receive.matrix(weights.output, *output));
  } else {
    CRESSET_TRY_STATUS(receive.matrix(weights.output, *table));  // tied to the embeddings
  }
  return shelf.finish();
}

// Packs matrices on the pool and lets go of the file's pages on the way.
class Packer {
 public:
  Packer(const sys::MappedFile& mapped, Pool& pool) : mapped_(mapped), pool_(pool) {}

  void pack(PackedMatrix& out, const GgufTensor& tensor) {
    constexpr uint64_t kReleaseEvery = 4u << 20;
    // A table of embeddings may be most of the file: it, too, is never resident twice.
    const uint64_t panel_bytes = std::max<uint64_t>(1, tensor.bytes.size() / out.panels());
    const size_t slice = std::max<size_t>(8, static_cast<size_t>(kReleaseEvery / panel_bytes));
    for (size_t first = 0; first < out.panels(); first += slice) {
      const size_t count = std::min(slice, out.panels() - first);
      pool_.run([&](Worker& worker) {
        worker.parallel_for(count, 8, [&](size_t begin, size_t end) {
          out.pack(tensor.bytes, tensor.format, first + begin, first + end);
        });
      });
      since_release_ += count * panel_bytes;
      if (since_release_ < kReleaseEvery) continue;
      mapped_.release_pages();
      since_release_ = 0;
    }
  }

 private:
  const sys::MappedFile& mapped_;
  Pool& pool_;
  uint64_t since_release_ = 0;
};

bool is_same_matrix(const PackedPart& a, const PackedPart& b) {
  return a.tensor == b.tensor && a.format == b.format && a.rows == b.rows && a.columns == b.columns;
}

// Reads a vector and lets go of the file's pages: one touch may map 2 MiB of a file whose cached pages are
// large, and the vectors lie all over it.
class VectorReader {
 public:
  explicit VectorReader(const sys::MappedFile& mapped) : mapped_(mapped) {}

  Status operator()(std::vector<float>& out, const GgufTensor& tensor) const {
    out.resize(tensor.columns());
    dequantise_row(tensor.format, tensor.bytes, out);
    mapped_.release_pages();
    return {};
  }

 private:
  const sys::MappedFile& mapped_;
};

}  // namespace

Result<Weights> Weights::load(const Gguf& file, const sys::MappedFile& mapped, ModelConfig& config,
                              Arithmetic arithmetic, Pool& pool, std::unique_ptr<PackedFile> packed) {
  Weights weights;
  Packer packer(mapped, pool);
  bool is_other = false;  // `packed` is not of these matrices
  const Receiver receiver{
      .matrix = [&](PackedMatrix& out, const GgufTensor& tensor) -> Status {
        const Format format = arithmetic == Arithmetic::kFloat32 ? Format::kF32 : tensor.format;
        // By name: an expert's tensor is a part of the one in the file.
        const auto index = file.find_tensor(std::string(tensor.name)) - file.tensors().data();
        PackedPart part{static_cast<uint32_t>(index), format, tensor.rows(), tensor.columns(), {}};
        if (packed != nullptr) {
          const std::vector<PackedPart>& parts = packed->parts();
          is_other = is_other || weights.parts.size() >= parts.size() ||
                     !is_same_matrix(part, parts[weights.parts.size()]);
          if (is_other) return {};
          part.bytes = parts[weights.parts.size()].bytes;
          out = PackedMatrix(format, part.rows, part.columns, part.bytes);
        } else {
          out = PackedMatrix(format, part.rows, part.columns);
          packer.pack(out, tensor);
          part.bytes = out.data();
        }
        weights.bytes += out.bytes();
        weights.parts.push_back(part);
        return {};
      },
      .vector = VectorReader(mapped)};
  CRESSET_TRY_STATUS(visit_tensors(file, config, weights, receiver));
  mapped.release_pages();
  if (packed != nullptr && (is_other || weights.parts.size() != packed->parts().size())) {
    return load(file, mapped, config, arithmetic, pool, nullptr);
  }
  weights.file = &mapped;
  weights.packed = std::move(packed);
  return weights;
}

Status check_tensors(const Gguf& file, const sys::MappedFile& mapped, ModelConfig& config) {
  Weights ignored;
  const Receiver receiver{.matrix = [](PackedMatrix&, const GgufTensor&) -> Status { return {}; },
                          .vector = VectorReader(mapped)};
  return visit_tensors(file, config, ignored, receiver);
}

}  // namespace cresset::engine
