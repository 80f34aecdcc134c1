#include "cli/running_server.h"

namespace cresset::cli {
namespace {

constexpr size_t kBodyBytesMax = 4u << 20;

Result<std::string> get(Context& context, const std::string& url) {
  net::FetchOptions options;
  options.url = url;
  options.bytes_max = kBodyBytesMax;
  options.connect_time_max_s = 2;
  options.stall_time_max_s = 10;
  std::string body;
  const auto result = context.parts.fetch(
      options, [](const net::FetchResult&) { return Status{}; },
      [&](std::string_view bytes) {
        body += bytes;
        return Status{};
      },
      [] { return false; });
  if (!result) return tl::unexpected(result.error());
  return body;
}

}  // namespace

std::string server_url(const Config& config) {
  Listen listen = config.listen;
  if (listen.host == "0.0.0.0") listen.host = "127.0.0.1";
  if (listen.host == "::") listen.host = "::1";
  return (config.tls_cert.empty() ? "http://" : "https://") + listen.text();
}

Result<std::string> ask_server(Context& context, const std::string& path) {
  auto body = get(context, server_url(context.config) + path);
  if (body) return body;
  const std::string address = context.config.listen.text();
  switch (body.error().code) {
    case Code::kUnavailable:
    case Code::kTimeout:
    case Code::kIo:
      return fail(Code::kUnavailable, "no server runs there; `cresset serve` starts one", address);
    case Code::kRefused:
      return fail(Code::kRefused, "a server runs there and asks for a key, which this command does not send",
                  address);
    default:
      return body;
  }
}

}  // namespace cresset::cli
