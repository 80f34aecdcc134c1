// Messages: the vocabulary that every dialect decodes to. Pure data.
//
// What a dialect says and this vocabulary has no word for is kept as `extras` (an object of that dialect's
// own members, or null) or as a part Opaque. Both pass only to the same dialect; a translation leaves them
// out and says so.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "chat/dialect.h"
#include "chat/label.h"

namespace cresset::chat {

enum class Role { kSystem, kDeveloper, kUser, kAssistant, kTool };

// Proof of a model's own that a part is its work. Only the dialect that made it takes it back, unchanged.
struct Signature {
  std::string text{};
  Dialect origin = Dialect::kNone;
  bool empty() const { return text.empty(); }
  bool operator==(const Signature&) const = default;
};

struct Text {
  std::string text;
  Json citations{};  // an array in the shape of the request's dialect, or null
  bool operator==(const Text&) const = default;
};

// Bytes that are not text, as they were given.
struct Media {
  enum class Source { kBase64, kUrl, kFileId, kPlain };
  Source source = Source::kBase64;
  std::string type{};  // "image/png"; empty: not stated
  std::string data{};  // base64 text, a URL, a provider's file id, or plain text
  bool operator==(const Media&) const = default;
};

struct Image {
  Media media;
  std::string detail{};  // how closely to look: "low", "high"; empty: not stated
  bool operator==(const Image&) const = default;
};

// A document, and any other medium (sound, video) by its type.
struct Document {
  Media media;
  std::string name{};  // file name or title
  bool operator==(const Document&) const = default;
};

struct ToolCall {
  std::string id{};
  std::string name{};
  std::string arguments{};  // JSON as the model wrote it: it may be empty or broken; free text when custom
  bool is_custom = false;
  bool operator==(const ToolCall&) const = default;
};

struct Part;

struct ToolResult {
  std::string id{};
  std::string name{};  // where the dialect states it
  std::vector<Part> parts;
  bool is_error = false;
  bool is_custom = false;
  bool operator==(const ToolResult& other) const;
};

struct Reasoning {
  std::string text{};
  bool is_redacted = false;  // sealed by the provider, for its own eyes: the part's signature is all of it
  bool is_summary = false;   // a summary of what was thought, not the thought
  bool operator==(const Reasoning&) const = default;
};

struct Refusal {
  std::string text{};
  bool operator==(const Refusal&) const = default;
};

// A part that only its own dialect understands, as it was written.
struct Opaque {
  Json value;
  bool operator==(const Opaque&) const = default;
};

// One labelled part of a message.
struct Part {
  std::variant<Text, Image, Document, ToolCall, ToolResult, Reasoning, Refusal, Opaque> body{};
  Label label{};
  Signature signature{};
  Json cache{};   // a cache hint ({"type":"ephemeral"}), or null
  Json extras{};  // of the request's dialect: an object, or null
  bool operator==(const Part&) const = default;
};

inline bool ToolResult::operator==(const ToolResult& other) const {
  return id == other.id && name == other.name && parts == other.parts && is_error == other.is_error &&
         is_custom == other.is_custom;
}

// The text parts joined.
inline std::string text_of(const std::vector<Part>& parts) {
  std::string out;
  for (const Part& part : parts) {
    if (const auto* t = std::get_if<Text>(&part.body)) out += t->text;
  }
  return out;
}

struct Message {
  Role role = Role::kUser;
  std::string name{};  // the speaker's name where the dialect has one; empty: none
  std::vector<Part> parts{};
  Json extras{};
  bool is_apart = false;  // given outside of the conversation ("system", "instructions")

  std::string text() const { return text_of(parts); }
  bool operator==(const Message&) const = default;
};

}  // namespace cresset::chat
