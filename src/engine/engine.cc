#include "engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "engine/kernel/dispatch.h"
#include "engine/load/card.h"
#include "engine/load/gguf.h"
#include "engine/load/packed_shelf.h"
#include "engine/load/weights.h"
#include "engine/model/forward.h"
#include "engine/run/measure.h"
#include "engine/run/prompt.h"
#include "engine/run/roofline.h"
#include "engine/run/scheduler.h"
#include "engine/token/chat_template.h"
#include "engine/token/tokenizer.h"
#include "sys/cpu.h"
#include "sys/crypto.h"

namespace cresset::engine {
namespace {

// What open() and read_card() share: the file's directory, its configuration and vocabulary, all checked.
struct ModelFile {
  std::unique_ptr<sys::MappedFile> mapped;
  std::unique_ptr<Gguf> gguf;
  ModelConfig config;
  std::unique_ptr<Vocabulary> vocabulary;
};

Result<ModelFile> open_file(sys::Env& env, const std::string& path) {
  ModelFile file;
  CRESSET_TRY(mapped, env.map(path));
  file.mapped = std::move(mapped);
  CRESSET_TRY(gguf, Gguf::open(file.mapped->bytes(), path));
  file.gguf = std::make_unique<Gguf>(std::move(gguf));
  CRESSET_TRY(config, ModelConfig::read(*file.gguf));
  file.config = std::move(config);
  CRESSET_TRY(vocabulary, Vocabulary::read(*file.gguf));
  file.vocabulary = std::make_unique<Vocabulary>(std::move(vocabulary));
  CRESSET_TRY_STATUS(check_tensors(*file.gguf, *file.mapped, file.config));
  if (file.vocabulary->texts.size() != file.config.vocabulary) {
    return fail(Code::kCorrupt,
                "tokenizer.ggml.tokens has " + std::to_string(file.vocabulary->texts.size()) +
                    " entries, token_embd.weight " + std::to_string(file.config.vocabulary) + " rows",
                path);
  }
  return file;
}

int threads_of(const EngineOptions& options) {
  return options.threads > 0 ? options.threads : std::max(1, sys::read_cpu_features().cores_online);
}

// Float32 is the reference: not in a hurry, and several times as large.
std::string kept_directory(const EngineOptions& options) {
  return options.arithmetic == Arithmetic::kInt8 ? options.packed_directory : "";
}

class LocalEngine final : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(sys::Env& env, const std::string& path,
                                              const EngineOptions& options) {
    if (options.arithmetic == Arithmetic::kFloat32 && options.kv_format != KvFormat::kBf16) {
      return fail(
          Code::kInvalid,
          "own_engine.kv_format: keys and values in 8 or 4 bits need own_engine.arithmetic int8; float32 "
          "is the reference and keeps them whole");
    }
    const sys::CpuFeatures cpu = sys::read_cpu_features();
    CRESSET_TRY(kernels, choose_kernels(options.kernels, cpu));
    CRESSET_TRY(file, open_file(env, path));
    std::unique_ptr<LocalEngine> engine(new LocalEngine(env, std::move(file), options, *kernels));
    CRESSET_TRY_STATUS(engine->start());
    return std::unique_ptr<Engine>(std::move(engine));
  }

  ~LocalEngine() override {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    wake_.notify_all();
    if (preparer_.joinable()) preparer_.join();
  }

  const ModelCard& card() const override { return card_; }
  std::string_view kernel_name() const override { return kernels_.name; }
  const std::string& fingerprint() const override { return fingerprint_; }
  EngineStats stats() const override {
    EngineStats stats = scheduler_->stats();
    stats.weights_bytes = weights_.bytes;
    const std::lock_guard lock(mutex_);
    stats.waiting += static_cast<int>(jobs_.size());
    return stats;
  }

  Status submit(Job job) override {
    CHECK(job.sink != nullptr);
    {
      const std::lock_guard lock(mutex_);
      if (jobs_.size() >= jobs_max_)
        return fail(Code::kUnavailable, "more requests arrive than can be read; try again shortly");
      jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
    return {};
  }

  std::vector<int32_t> tokenize(std::string_view text, bool parse_special) const override {
    std::vector<Token> out;
    tokenizer_->encode(text, parse_special ? Special::kParsed : Special::kAsText, true, out);
    return out;
  }
  std::string detokenize(int32_t token) const override { return tokenizer_->decode(token); }
  Result<std::vector<int32_t>> prompt_tokens(const chat::Request& request) const override {
    CRESSET_TRY(prompts, prompts_->make(request, env_.unix_time_ms() / 1000));
    return std::move(prompts.front());
  }

  Result<std::vector<std::vector<Logits>>> evaluate(const std::vector<std::vector<int32_t>>& sequences,
                                                    bool all_positions) override {
    for (const auto& s : sequences) {
      CRESSET_TRY_STATUS(check_tokens(s));
    }
    std::vector<std::vector<Logits>> out(sequences.size());
    Status status;
    scheduler_->call([&] { status = evaluate_now(sequences, all_positions, out); });
    if (!status) return tl::unexpected(status.error());
    return out;
  }

  Result<Timing> time_prefill(int tokens, int depth) override { return time(false, 1, tokens, depth); }
  Result<Timing> time_decode(int tokens, int depth) override { return time(true, 1, tokens, depth); }
  Result<Timing> time_batch(int sequences, int tokens, int depth) override {
    return time(true, sequences, tokens, depth);
  }
  Result<PartSeconds> time_parts(bool is_decode, int tokens, int depth) override {
    Profile profile(env_, threads_);
    CRESSET_TRY_STATUS(time(is_decode, 1, tokens, depth, &profile));
    return profile.seconds();
  }
  Result<Roofline> measure_roofline() override {
    Roofline roofline;
    scheduler_->call([&] {
      roofline = engine::measure_roofline(env_, *pool_, peaks_of(kernels_), sys::read_cpu_features());
    });
    return roofline;
  }

 private:
  LocalEngine(sys::Env& env, ModelFile file, const EngineOptions& options, const Kernels& kernels)
      : env_(env),
        file_(std::move(file)),
        options_(options),
        kernels_(kernels),
        threads_(threads_of(options)),
        jobs_max_(static_cast<size_t>(options.queue_max) +
                  static_cast<size_t>(std::max(1, options.sequences_max))),
        shelf_(env, kept_directory(options), options.model_sha256) {}

  Status start() {
    // One core makes the tables of the text while the others fetch weights.
    Status text;
    std::thread reader([&] { text = open_text(); });
    const Status computing = open_computing();
    reader.join();
    CRESSET_TRY_STATUS(text);
    CRESSET_TRY_STATUS(computing);
    const SchedulerOptions scheduling{
        .context = file_.config.context,
        .sequences_max =
            std::min(forward_->rows_max(), static_cast<size_t>(std::max(1, options_.sequences_max))),
        .queue_max = static_cast<size_t>(options_.queue_max),
        .step_tokens_max = forward_->rows_max(),
        .speculation = options_.speculation};
    scheduler_ = std::make_unique<Scheduler>(
        scheduling,
        SchedulerParts{env_, *pool_, *forward_, *cache_, *tokenizer_, kernels_, file_.config.vocabulary});
    fingerprint_ = make_fingerprint();
    preparer_ = std::thread([this] { prepare(); });
    return {};
  }

  Status open_text() {
    const Vocabulary& vocabulary = *file_.vocabulary;
    CRESSET_TRY(tokenizer, Tokenizer::open(vocabulary));
    tokenizer_ = std::move(tokenizer);
    if (!vocabulary.chat_template.empty()) {
      CRESSET_TRY(chat_template, ChatTemplate::open(vocabulary.chat_template));
      template_ = std::make_unique<ChatTemplate>(std::move(chat_template));
    }
    prompts_ = std::make_unique<PromptMaker>(*tokenizer_, template_.get());
    return {};
  }

  Status open_computing() {
    pool_ = std::make_unique<Pool>(threads_, &env_);
    ModelConfig& config = file_.config;
    config.rope_factors.clear();
    CRESSET_TRY_STATUS(load_weights());
    if (options_.context_max > 0)
      config.context = std::min(config.context, static_cast<size_t>(options_.context_max));
    CRESSET_TRY(card, make_card(*file_.gguf, file_.mapped->bytes().size(), config, *file_.vocabulary));
    card_ = std::move(card);

    const bool is_float = options_.arithmetic == Arithmetic::kFloat32;
    const KvShape shape{config.layers, config.kv_heads, config.head_size, is_float, options_.kv_format};
    cache_ = std::make_unique<KvCache>(shape, kv_budget(options_, sys::read_memory().total));
    if (cache_->pages_max() == 0) {
      return fail(Code::kInvalid, "a key-value page of this model takes " +
                                      std::to_string(shape.page_bytes()) +
                                      " bytes; raise own_engine.kv_bytes_max");
    }
    const size_t rows_max =
        std::min<size_t>(static_cast<size_t>(std::max(1, options_.step_tokens_max)), 4096);
    forward_ =
        std::make_unique<Forward>(config, weights_, kernels_, options_.arithmetic, shape, threads_, rows_max);
    if (const uint64_t ready = options_.kv_bytes_ready / shape.page_bytes(); ready > 0) {
      cache_->prepare(*pool_, env_, 1);  // tells whether the system's large pages are quick here
      cache_->prepare(*pool_, env_, ready);
    }
    return {};
  }

  Status load_weights() {
    CRESSET_TRY(weights, Weights::load(*file_.gguf, *file_.mapped, file_.config, options_.arithmetic, *pool_,
                                       shelf_.find(*pool_)));
    weights_ = std::move(weights);
    if (weights_.packed == nullptr) shelf_.keep_later(weights_.parts);
    return {};
  }

  // Of what an answer depends on beside the request: the model, the arithmetic, the form of keys and values.
  // (The instruction set is not in it: the bits are the same.)
  std::string make_fingerprint() const {
    const bool is_int8 = options_.arithmetic == Arithmetic::kInt8;
    const std::string model =
        options_.model_sha256.empty() ? sample_model() : "sha256:" + options_.model_sha256;
    constexpr const char* kForms[] = {"", "/q8_0/1", "/q8_q4/1", "/q4/1"};
    const std::string kv = kForms[static_cast<size_t>(options_.kv_format)];
    return "fp_" + sys::to_hex(sys::sha256(model + (is_int8 ? "/int8/1" : "/float32/1") + kv)).substr(0, 12);
  }

  // The file's directory and a sample of each tensor: fine-tunes of a model differ in nothing else.
  std::string sample_model() const {
    constexpr size_t kSample = 4096;
    sys::Sha256 hash;
    const auto bytes = file_.mapped->bytes();
    size_t head = bytes.size();
    for (const GgufTensor& tensor : file_.gguf->tensors()) {
      head = std::min(head, static_cast<size_t>(tensor.bytes.data() - bytes.data()));
      const size_t middle = tensor.bytes.size() / 2;
      hash.update(tensor.bytes.subspan(middle, std::min(kSample, tensor.bytes.size() - middle)));
      // A touched page brings its neighbours: they would add up to half the file.
      file_.mapped->release_pages();
    }
    hash.update(bytes.subspan(0, head));
    hash.update(std::to_string(bytes.size()));
    file_.mapped->release_pages();
    return sys::to_hex(hash.finish());
  }

  // The preparer's thread: templates and tokenising, so that a long prompt holds up nobody's step.
  void prepare() {
    for (;;) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return is_stopping_ || !jobs_.empty(); });
        if (is_stopping_) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      if (job.cancel.is_cancelled()) continue;
      auto sink = job.sink;
      if (Status status = prepare_one(std::move(job)); !status) sink->on_event(chat::Failed{status.error()});
    }
  }

  Status prepare_one(Job job) {
    PreparedJob prepared;
    CRESSET_TRY(prompts, prompts_->make(job.request, env_.unix_time_ms() / 1000));
    for (const auto& prompt : prompts) {
      CRESSET_TRY_STATUS(check_length(prompt.size()));
    }
    prepared.seed =
        job.request.sampling.seed ? static_cast<uint64_t>(*job.request.sampling.seed) : env_.random_u64();
    prepared.prompts = std::move(prompts);
    prepared.job = std::move(job);
    return scheduler_->submit(std::move(prepared));
  }

  Status check_length(size_t tokens) const {
    const size_t context = file_.config.context;
    if (tokens < context) return {};
    return fail(Code::kLimit, "the prompt has " + std::to_string(tokens) +
                                  " tokens and this model's context is " + std::to_string(context) +
                                  " tokens; shorten it");
  }

  Status check_tokens(const std::vector<int32_t>& tokens) const {
    if (tokens.empty()) return fail(Code::kInvalid, "a list of tokens is empty");
    if (tokens.size() > file_.config.context) return check_length(tokens.size());
    for (const int32_t t : tokens) {
      if (t < 0 || static_cast<size_t>(t) >= file_.config.vocabulary) {
        return fail(Code::kInvalid, "token id " + std::to_string(t) + " is outside the vocabulary of " +
                                        std::to_string(file_.config.vocabulary));
      }
    }
    return {};
  }

  Status check_pages(size_t pages) const {
    if (pages <= cache_->pages_free()) return {};
    return fail(Code::kUnavailable, "not enough free key-value memory for this evaluation");
  }

  // On the leader. All sequences advance together, in chunks that fit a step.
  Status evaluate_now(const std::vector<std::vector<int32_t>>& sequences, bool all_positions,
                      std::vector<std::vector<Logits>>& out) {
    size_t pages = 0;
    for (const auto& s : sequences) pages += pages_for(s.size());
    scheduler_->make_room(pages);
    CRESSET_TRY_STATUS(check_pages(pages));
    constexpr size_t kRows = 64;  // of a pass whose logits are all held at once
    std::vector<KvSequence> kv(sequences.size());
    const size_t stride = forward_->logits_stride(), steps_max = forward_->rows_max();
    const size_t rows_max = all_positions ? std::min(kRows, steps_max) : steps_max;
    std::vector<float> logits;
    for (;;) {
      std::vector<Run> runs;
      std::vector<Token> batch;
      std::vector<size_t> rows, owners;
      for (size_t i = 0; i < sequences.size() && batch.size() < rows_max; ++i) {
        const size_t done = kv[i].length,
                     count = std::min(sequences[i].size() - done, rows_max - batch.size());
        if (count == 0) continue;
        kv[i].reserve(*cache_, done + count);
        runs.push_back({&kv[i], batch.size(), count});
        for (size_t k = 0; k < count; ++k) {
          if (!all_positions && done + k + 1 != sequences[i].size()) continue;
          rows.push_back(batch.size() + k);
          owners.push_back(i);
        }
        const auto from = sequences[i].begin() + static_cast<std::ptrdiff_t>(done);
        batch.insert(batch.end(), from, from + static_cast<std::ptrdiff_t>(count));
      }
      if (batch.empty()) break;
      logits.resize(std::max<size_t>(1, rows.size()) * stride);
      forward_->run(*pool_, runs, batch, rows, logits.data());
      for (size_t i = 0; i < rows.size(); ++i) {
        const float* at = logits.data() + i * stride;
        out[owners[i]].push_back({std::vector<float>(at, at + file_.config.vocabulary)});
      }
    }
    for (KvSequence& s : kv) s.release(*cache_);
    return {};
  }

  Status check_course(int sequences, int tokens, int depth) const {
    if (sequences < 1 || tokens < 1 || depth < 0)
      return fail(Code::kInvalid, "sequences and tokens must be at least 1 and depth at least 0");
    if (static_cast<size_t>(sequences) > forward_->rows_max()) {
      return fail(Code::kLimit, std::to_string(sequences) + " sequences at once; a step has at most " +
                                    std::to_string(forward_->rows_max()) + " tokens");
    }
    const size_t total = static_cast<size_t>(tokens) + static_cast<size_t>(depth);
    return total > file_.config.context ? check_length(total) : Status();
  }

  Result<Timing> time(bool is_decode, int sequences, int tokens, int depth, Profile* profile = nullptr) {
    CRESSET_TRY_STATUS(check_course(sequences, tokens, depth));
    const Course course{static_cast<size_t>(sequences), static_cast<size_t>(tokens),
                        static_cast<size_t>(depth), is_decode};
    Result<double> seconds;
    scheduler_->call([&] {
      scheduler_->make_room(cache_->pages_max());  // the same memory for every measurement
      seconds = time_course({env_, *pool_, *forward_, *cache_, file_.config.vocabulary}, course, profile);
    });
    if (!seconds) return tl::unexpected(seconds.error());
    const Work work = work_of(file_.config, weights_, cache_->shape(), course, forward_->rows_max());
    return Timing{*seconds, work.weight_operations, work.bytes_read};
  }

  sys::Env& env_;
  ModelFile file_;
  const EngineOptions options_;
  const Kernels& kernels_;
  const int threads_;
  const size_t jobs_max_;  // that wait for the preparer
  ModelCard card_;
  std::string fingerprint_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> template_;
  std::unique_ptr<PromptMaker> prompts_;
  std::unique_ptr<Pool> pool_;
  Weights weights_;
  PackedShelf shelf_;  // reads weights_
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Forward> forward_;
  std::unique_ptr<Scheduler> scheduler_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool is_stopping_ = false;
  std::thread preparer_;
};

}  // namespace

uint64_t kv_budget(const EngineOptions& options, uint64_t memory_bytes) {
  return options.kv_bytes_max > 0 ? options.kv_bytes_max : std::max<uint64_t>(memory_bytes / 4, 256u << 20);
}

Status keep_packed(sys::Env& env, const std::string& path, const EngineOptions& options) {
  const PackedShelf shelf(env, kept_directory(options), options.model_sha256);
  if (!shelf.keeps())
    return fail(Code::kUnsupported, "the repacked weights of such a model are not kept", path);
  CRESSET_TRY(file, open_file(env, path));
  Pool pool(threads_of(options));
  if (shelf.find(pool) != nullptr) return {};
  CRESSET_TRY(weights, Weights::load(*file.gguf, *file.mapped, file.config, Arithmetic::kInt8, pool));
  return shelf.keep(weights.parts);
}

Result<std::unique_ptr<Engine>> Engine::open(sys::Env& env, const std::string& path,
                                             const EngineOptions& options) {
  return LocalEngine::open(env, path, options);
}

Result<ModelCard> read_card(sys::Env& env, const std::string& path) {
  CRESSET_TRY(file, open_file(env, path));
  if (!file.vocabulary->chat_template.empty()) {
    CRESSET_TRY(ignored, ChatTemplate::open(file.vocabulary->chat_template));
    static_cast<void>(ignored);
  }
  CRESSET_TRY(tokenizer, Tokenizer::open(*file.vocabulary));
  static_cast<void>(tokenizer);
  return make_card(*file.gguf, file.mapped->bytes().size(), file.config, *file.vocabulary);
}

}  // namespace cresset::engine
