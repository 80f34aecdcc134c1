// The engine: the only header of this room that others include. Loads an open-weight model from a GGUF file
// and answers many requests at once on a pool of its own threads: submit(Job) -> stream of events.
//
// Threads: open, submit, card and stats are safe from any thread. A job's sink is called on the engine's
// threads and must return at once.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/request.h"
#include "chat/stream.h"
#include "sys/env.h"

namespace cresset::engine {

// Which kernels compute. kAuto takes the best that this CPU has; a kind it lacks is refused at open.
enum class KernelKind { kAuto, kScalar, kAvx2, kAvx512 };
// kInt8: activations in 8 bits per block of 32 (fast). kFloat32: everything in float32, the reference path.
enum class Arithmetic { kInt8, kFloat32 };
// How keys and values are kept: 16 bits each; 8 each; 8 and 4; 4 each, with a scale per block of 32
// (docs/QUALITY.md: what that costs). The reference arithmetic keeps float32 and refuses all but kBf16.
enum class KvFormat { kBf16, kQ8_0, kQ8Q4, kQ4 };

struct EngineOptions {
  int threads = 0;  // 0: one per core this process may use, 2 at least where there are 2
  KernelKind kernels = KernelKind::kAuto;
  Arithmetic arithmetic = Arithmetic::kInt8;
  int context_max = 0;        // tokens a sequence may have; 0: the model's own
  uint64_t kv_bytes_max = 0;  // all sequences together; 0: a quarter of the machine's memory
  // So many of them at most are mapped by the system before the first request, which waits for it otherwise.
  uint64_t kv_bytes_ready = 0;
  KvFormat kv_format = KvFormat::kBf16;
  int sequences_max = 64;     // computed at once; more wait in the queue
  int queue_max = 512;        // waiting sequences; more are refused (run/queue.h)
  int step_tokens_max = 512;  // tokens of one forward pass
  bool speculation = true;    // answers that repeat their conversation are computed several tokens a step
  // The SHA-256 of the file in hex, where the caller knows it, and the directory in which the repacked
  // weights of such a file are kept for the next start (load/packed_file.h); either empty: they are not kept.
  std::string model_sha256 = {}, packed_directory = {};
};

// What the file says of itself, for `show`, /v1/models and doctor.
struct ModelCard {
  std::string architecture;  // "llama"
  std::string name;          // general.name
  std::string quantisation;  // the format of most of the weight bytes: "Q4_1"
  std::string licence;       // general.license, or what we know of the family's terms; empty: not stated
  std::string licence_note;  // e.g. "Gemma Terms of Use: ai.google.dev/gemma/terms"
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;
  int context_length = 0;
  int layers = 0, embedding_length = 0, heads = 0, kv_heads = 0, vocabulary_size = 0;
  std::string tokenizer;  // "gpt2/smollm"
  bool has_chat_template = false;
  std::string chat_template;
};

struct EngineStats {
  int running = 0, waiting = 0, held = 0;        // held: their readers are behind
  uint64_t kv_bytes_used = 0, kv_bytes_max = 0;  // used: by sequences that are being computed
  uint64_t kv_bytes_cached = 0;                  // of those that ended; given back when others need them
  uint64_t weights_bytes = 0;
  uint64_t prompt_tokens_total = 0, generated_tokens_total = 0, steps_total = 0;  // computed
  // Prompt tokens that were looked for in the prefix tree, and found.
  uint64_t prefix_queries_total = 0, prefix_hits_total = 0;
  // Tokens drafted and verified, and those of them that came true.
  uint64_t drafted_tokens_total = 0, accepted_tokens_total = 0;
  uint64_t preemptions_total = 0;  // sequences put back to the queue for memory
};

// One request to answer. Each prompt and choice is a sequence of its own, computed together.
struct Job {
  chat::Request request;  // already checked against the dialect's rules; model is not looked at
  std::shared_ptr<chat::EventSink> sink;
  chat::CancelToken cancel;
  chat::HoldToken hold{};  // held, it leaves the batch, and goes on later with the same tokens
};

struct Logits {
  std::vector<float> values;  // one per vocabulary entry
};

// A measured stretch of forward passes, and the least it had to do: for shares of the roofline.
struct Timing {
  double seconds = 0;
  double weight_operations = 0;  // a multiplication with a weight and its addition are two
  double bytes_read = 0;         // weights once a pass, and the keys and values that its queries see
};

// What the machine can do with these kernels and threads; 0: not measured (no room, or the CPU lacks it).
struct Roofline {
  int threads = 0;
  std::string_view int8_instruction;                        // "vpdpbusd"
  double dram_bytes_s = 0, l3_bytes_s = 0, l2_bytes_s = 0;  // reading 1 GiB, 12 MiB, 1 MiB
  double int8_operations_s = 0, float32_operations_s = 0, bfloat16_operations_s = 0;
};

// The parts of a forward pass. kNorms includes making activations into 8 bits, and post-norms with their
// residual.
enum class Part : int {
  kEmbedding,
  kNorms,
  kQueryKeyValue,
  kRopeAndStore,
  kAttention,
  kAttentionOutput,
  kGateUp,  // and the activation
  kDown,
  kExperts,  // all of a mixture: router, gate, up, activation, down
  kLogits,
  kWaiting,  // at barriers, for other threads
};
constexpr size_t kPartCount = 11;
std::string_view to_string(Part part);               // "gate_up"
using PartSeconds = std::array<double, kPartCount>;  // of all threads together

class Engine {
 public:
  // Maps and checks the file, prepares the weights, starts the threads. Blocks (read docs/ARCHITECTURE.md on
  // the repacked weights: the file's pages are dropped as they are repacked, so resident memory stays at one
  // copy). Repacked weights that were kept are mapped instead; where there are none, a thread of low priority
  // keeps them a moment after the start.
  static Result<std::unique_ptr<Engine>> open(sys::Env& env, const std::string& path,
                                              const EngineOptions& options);
  virtual ~Engine() = default;

  virtual const ModelCard& card() const = 0;
  virtual EngineStats stats() const = 0;
  virtual std::string_view kernel_name() const = 0;  // "avx512-vnni"
  // A value that changes when answers may: model digest prefix, arithmetic, kv_format ("fp_…").
  virtual const std::string& fingerprint() const = 0;

  // Queues a job. kUnavailable at once: more arrive than can be looked at. All else arrives at the sink as
  // Failed: a prompt longer than the context with kLimit and both numbers, a job for which the queue has no
  // room with kUnavailable, its place and when to try again, and status 429 where its tenant has more than
  // its share. Event order: Started, then deltas of all choices interleaved, a Finished for each. Choice
  // index = prompt_index * request.choices + choice.
  virtual Status submit(Job job) = 0;

  // Tools: the exact ids of a text (no BOS), the bytes of a token.
  virtual std::vector<int32_t> tokenize(std::string_view text, bool parse_special) const = 0;
  virtual std::string detokenize(int32_t token) const = 0;
  // The ids that a chat or completion request would be prefilled with.
  virtual Result<std::vector<int32_t>> prompt_tokens(const chat::Request& request) const = 0;

  // Evaluates token lists in one batch; for each, the logits of the last position, or of all with
  // `all_positions`. Blocks; runs between the steps of the jobs.
  virtual Result<std::vector<std::vector<Logits>>> evaluate(
      const std::vector<std::vector<int32_t>>& sequences, bool all_positions) = 0;

  // Blocking measurement of raw speed for `bench`: prefilling `tokens`, or decoding `tokens` one by one,
  // after `depth` tokens of context that are not counted. kLimit where both exceed the context, kUnavailable
  // where the key-value memory is short.
  virtual Result<Timing> time_prefill(int tokens, int depth) = 0;
  virtual Result<Timing> time_decode(int tokens, int depth) = 0;
  // `sequences` sequences at once, each with its own `depth` tokens before and `tokens` steps; at most as
  // many as a step has tokens (kLimit).
  virtual Result<Timing> time_batch(int sequences, int tokens, int depth) = 0;
  // The same as time_decode (is_decode) or time_prefill, by part.
  virtual Result<PartSeconds> time_parts(bool is_decode, int tokens, int depth) = 0;
  virtual Result<Roofline> measure_roofline() = 0;
};

// Reads a file's card without preparing weights or starting threads: the same checks as open().
Result<ModelCard> read_card(sys::Env& env, const std::string& path);

// The bytes that keys and values may have on a machine with so much memory.
uint64_t kv_budget(const EngineOptions& options, uint64_t memory_bytes);

// Keeps a model's repacked weights as these options say, so that its first start is as quick as any.
Status keep_packed(sys::Env& env, const std::string& path, const EngineOptions& options);

// What these options would use on this machine: "avx512-vnni", or an error that says what is missing.
Result<std::string> kernel_name_for(KernelKind kind);

}  // namespace cresset::engine
