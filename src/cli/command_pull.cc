#include "cli/command_pull.h"

#include <algorithm>
#include <atomic>

#include "cli/model_card.h"
#include "cli/progress.h"

namespace cresset::cli {
namespace {

constexpr int kAttemptsMax = 8;                 // each must bring at least one byte
constexpr uint64_t kFreeBytesMin = 256u << 20;  // stays free on the disk
constexpr std::string_view kHubEndpoint =
    "https://huggingface.co";  // as HF_ENDPOINT, the hub's own variable, defaults

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

// Bytes of two transfers belong together only when a strong ETag (RFC 9110, 8.8.1) or the digest will say so.
bool may_resume(const store::Download& download, const std::string& sha256) {
  return download.size() > 0 &&
         (!sha256.empty() || (!download.etag().empty() && !download.etag().starts_with("W/")));
}

bool is_passing(Code code) {
  return code == Code::kCorrupt || code == Code::kTimeout || code == Code::kIo || code == Code::kUnavailable;
}

// One transfer, from where the download stands.
Status transfer(Context& context, store::Download& download, const std::string& sha256, uint64_t bytes_max,
                const std::function<bool()>& is_cancelled) {
  Progress progress(context.env, context.terminal, "pulling");
  net::FetchOptions options;
  options.url = download.url();
  options.bytes_max = bytes_max;
  if (may_resume(download, sha256)) {
    options.from = download.size();
    options.if_range = download.etag().starts_with("W/") ? "" : download.etag();
  }
  options.ca_file = context.environment("SSL_CERT_FILE").value_or("");
  uint64_t start = 0;
  const auto on_start = [&](const net::FetchResult& head) -> Status {
    if (options.from > 0 && !head.resumed)
      context.terminal.err("the source has changed; starting from the beginning\n");
    CRESSET_TRY_STATUS(download.begin(head.resumed, head.etag, head.total_bytes));
    start = download.size();
    return {};
  };
  const auto on_bytes = [&](std::string_view bytes) -> Status {
    CRESSET_TRY_STATUS(download.append(bytes));
    progress.show(download.size(), download.total(), start);
    return {};
  };
  const auto result = context.parts.fetch(options, on_start, on_bytes, is_cancelled);
  const Status kept = download.keep();
  if (!result) return tl::unexpected(result.error());
  CRESSET_TRY_STATUS(kept);
  if (download.total() > 0 && download.size() != download.total()) {
    return fail(
        Code::kCorrupt,
        "got " + std::to_string(download.size()) + " of " + std::to_string(download.total()) + " bytes",
        download.url());
  }
  return {};
}

// Transfers until the file is there; goes on after a cut as long as each attempt brings something.
Status download_all(Context& context, store::Download& download, const std::string& sha256,
                    const std::function<bool()>& is_cancelled) {
  if (download.is_complete() && may_resume(download, sha256)) return {};
  const auto free = context.env.free_bytes(context.data_directory);
  const uint64_t bytes_max = free && *free > kFreeBytesMin ? *free - kFreeBytesMin + download.size() : 0;
  if (free && bytes_max == 0)
    return fail(Code::kLimit, "less than 256 MB are free on the disk", context.data_directory);
  for (int attempt = 1;; ++attempt) {
    const uint64_t before = download.size();
    const Status done = transfer(context, download, sha256, bytes_max, is_cancelled);
    if (done) return {};
    if (done.error().code == Code::kCorrupt && before > 0 && download.size() == before &&
        attempt < kAttemptsMax) {
      // What is here and what the source has do not fit together any more.
      context.terminal.err("the source has changed; starting from the beginning\n");
      download.discard();
      continue;
    }
    const bool goes_on = is_passing(done.error().code) && download.size() > before &&
                         attempt < kAttemptsMax && may_resume(download, sha256) && !is_cancelled();
    if (goes_on) continue;
    Error error = done.error();
    if (download.size() > 0) {
      error.what += "; " + human_bytes(download.size()) + " are kept, the same command " +
                    (may_resume(download, sha256)
                         ? "continues"
                         : "starts again (the source gives no strong ETag; --sha256 would let it continue)");
    }
    return tl::unexpected(std::move(error));
  }
}

Result<int> report(Context& context, const store::ModelRecord& record, const char* verb) {
  if (context.json()) {
    const auto first = find_model(context, "default");
    context.print_json(record_json(record, first && first->id == record.name));
  } else {
    context.terminal.out(std::string(verb) + " " + record.name + " (" + human_bytes(record.size) +
                         ", sha256 " + record.digest + ")\n");
  }
  return 0;
}

Result<int> run_pull(Context& context) {
  const std::string endpoint = context.environment("HF_ENDPOINT").value_or(std::string(kHubEndpoint));
  CRESSET_TRY(url, pull_url(context.args.arguments[0], endpoint));
  store::Addition addition;
  addition.name =
      context.args.get("--name", name_from_path(std::string_view(url).substr(0, url.find_first_of("?#"))));
  addition.source = url;
  addition.expected_sha256 = context.args.get("--sha256");
  addition.check = [&](const std::string& path) { return describe_file(context, path); };
  CRESSET_TRY_STATUS(store::check_model_name(addition.name));
  if (context.args.has("--sha256") && !is_sha256(addition.expected_sha256)) {
    return fail(Code::kInvalid, "a SHA-256 is 64 hexadecimal digits", "--sha256");
  }
  std::transform(addition.expected_sha256.begin(), addition.expected_sha256.end(),
                 addition.expected_sha256.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  CRESSET_TRY(store, context.open_store());
  if (const auto there = store->find(addition.name);
      there && there->name == addition.name && there->is_whole) {
    const bool same =
        addition.expected_sha256.empty() ? there->source == url : there->digest == addition.expected_sha256;
    if (same) return report(context, *there, "already installed:");
    return fail(Code::kExists, "the name is taken by another model; choose one with --name", addition.name);
  }
  CRESSET_TRY(download, store->open_download(url));
  std::atomic<bool> stopped{false};
  const auto watch = context.parts.on_interrupt([&] { stopped.store(true); });
  CRESSET_TRY_STATUS(
      download_all(context, *download, addition.expected_sha256, [&] { return stopped.load(); }));
  auto record = [&] {
    Progress progress(context.env, context.terminal, "checking");
    addition.progress = [&](uint64_t done, uint64_t total) -> Status {
      progress.show(done, total);
      return {};
    };
    return store->publish(std::move(download), addition);
  }();
  if (!record) {
    Error error = record.error();
    if (error.code == Code::kCorrupt || error.code == Code::kUnsupported)
      error.where = url;  // not our partial file
    return tl::unexpected(std::move(error));
  }
  prepare_model(context, *store, *record);
  return report(context, *record, "pulled");
}

}  // namespace

Result<std::string> pull_url(std::string_view reference, std::string_view endpoint) {
  const std::string where(reference.substr(0, 200));
  const auto bad_character = [](unsigned char c) { return c <= 0x20 || c >= 0x7F; };
  if (std::any_of(reference.begin(), reference.end(), bad_character)) {
    return fail(Code::kInvalid, "holds a space or a character that must be percent-encoded", where);
  }
  for (const std::string_view scheme : {"https://", "http://", "file://"}) {
    if (reference.starts_with(scheme)) return std::string(reference);
  }
  constexpr std::string_view kHub = "hf://";
  if (!reference.starts_with(kHub)) {
    return fail(Code::kInvalid, "needs hf://owner/repo/file.gguf, https://…, or file:///path", where);
  }
  const std::string_view path = reference.substr(kHub.size());
  const size_t owner = path.find('/');
  const size_t repo = owner == std::string_view::npos ? owner : path.find('/', owner + 1);
  if (owner == 0 || repo == std::string_view::npos || repo == owner + 1 || repo + 1 >= path.size() ||
      path.find("..") != std::string_view::npos || path.find_first_of("?#") != std::string_view::npos) {
    return fail(Code::kInvalid, "needs hf://owner/repo/file.gguf", where);
  }
  while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  return std::string(endpoint) + "/" + std::string(path.substr(0, repo)) + "/resolve/main" +
         std::string(path.substr(repo));
}

Command pull_command() {
  return {{"pull",
           "REF",
           "Fetch a GGUF file into the model store",
           "REF: hf://owner/repo/file.gguf, https://…, or file:///path. An interrupted pull continues where "
           "it stopped.\n"
           "Nothing is installed before it is complete, has the digest (--sha256), and is a model that this "
           "program reads.",
           "cresset pull hf://owner/repo/model-q4_k_m.gguf --name mine --sha256 0123…",
           {{"--name", "N", "the name (default: from the file's)"},
            {"--sha256", "HEX", "refuse other bytes than these"}},
           1,
           1},
          run_pull};
}

}  // namespace cresset::cli
