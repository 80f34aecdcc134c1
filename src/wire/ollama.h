// Ollama's native API: /api/chat and /api/generate, and what its clients ask beside them. Inbound; answers
// are lines of JSON, not server-sent events, and stream unless told not to. Source of the shapes: Ollama's
// docs/api.md and the types of its Python client 0.6.3.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/codec.h"

namespace cresset::wire {

const Codec& ollama_chat_codec();
const Codec& ollama_generate_codec();

// Of /api/chat, else of /api/generate (ollama_request.cc).
Decoded<chat::Request> decode_ollama_request(std::string_view body, bool is_chat);

// {"error":"…"}
std::string encode_ollama_error(const Fault& fault);

struct OllamaModel {
  std::string name;
  int64_t modified_unix_s = 0;
  uint64_t bytes = 0, parameters = 0;
  std::string digest, family, quantisation, license, chat_template;
  int context_length = 0;
  bool can_chat = true;
};
std::string encode_ollama_tags(std::span<const OllamaModel> models);  // /api/tags
std::string encode_ollama_ps(std::span<const OllamaModel> models);    // /api/ps
std::string encode_ollama_show(const OllamaModel& model);             // /api/show
std::string encode_ollama_version(std::string_view version);          // /api/version
Decoded<std::string> decode_ollama_show(std::string_view body);       // the model's name

// 2026-11-25T01:02:03Z (RFC 3339).
std::string rfc3339(int64_t unix_s);

}  // namespace cresset::wire
