// Signatures between dialects. A client that speaks another dialect than the model keeps the model's
// signature for it, with a tag that says whose it is, and sends it back with the history; only its maker gets
// to see it again, as it was.
#pragma once

#include <string>
#include <string_view>

#include "chat/message.h"

namespace cresset::wire {

constexpr std::string_view kSignatureTag = "cresset.";

// As a client of `own` is given it.
inline std::string signature_for_client(const chat::Signature& signature, chat::Dialect own) {
  if (signature.empty() || signature.origin == own) return signature.text;
  return std::string(kSignatureTag) + std::string(to_string(signature.origin)) + "." + signature.text;
}

// As a provider of `own` is given it back; empty: it is not this one's.
inline std::string signature_for_provider(const chat::Signature& signature, chat::Dialect own) {
  return signature.origin == own ? signature.text : std::string();
}

// As read from the wire of `own`.
inline chat::Signature read_signature(std::string_view text, chat::Dialect own) {
  if (text.starts_with(kSignatureTag)) {
    const std::string_view rest = text.substr(kSignatureTag.size());
    for (const chat::Dialect d :
         {chat::Dialect::kOpenAiChat, chat::Dialect::kOpenAiResponses, chat::Dialect::kAnthropic,
          chat::Dialect::kGemini, chat::Dialect::kOllama}) {
      const std::string_view name = to_string(d);
      if (rest.starts_with(name) && rest.size() > name.size() && rest[name.size()] == '.')
        return {std::string(rest.substr(name.size() + 1)), d};
    }
  }
  return {std::string(text), text.empty() ? chat::Dialect::kNone : own};
}

}  // namespace cresset::wire
