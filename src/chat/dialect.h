// Dialect: the languages that clients and providers speak. Pure data.
#pragma once

#include <string_view>

namespace cresset::chat {

enum class Dialect { kNone, kOpenAiChat, kOpenAiCompletions, kOpenAiResponses, kAnthropic, kGemini, kOllama };

// The name in the configuration and in tagged signatures.
constexpr std::string_view to_string(Dialect dialect) {
  switch (dialect) {
    case Dialect::kOpenAiChat:
      return "openai_chat";
    case Dialect::kOpenAiCompletions:
      return "openai_completions";
    case Dialect::kOpenAiResponses:
      return "openai_responses";
    case Dialect::kAnthropic:
      return "anthropic";
    case Dialect::kGemini:
      return "gemini";
    case Dialect::kOllama:
      return "ollama";
    case Dialect::kNone:
      break;
  }
  return "none";
}

}  // namespace cresset::chat
