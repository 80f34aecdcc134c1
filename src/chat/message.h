// Messages: the vocabulary that every dialect decodes to. Pure data.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "chat/label.h"

namespace cresset::chat {

enum class Role { kSystem, kDeveloper, kUser, kAssistant, kTool };

struct Text {
  std::string text;
};

// One labelled part of a message. Later kinds (image, document, tool call, tool result, reasoning) join the
// variant.
struct Part {
  std::variant<Text> body;
  Label label;
};

struct Message {
  Role role = Role::kUser;
  std::string name;  // the speaker's name where the dialect has one; empty: none
  std::vector<Part> parts;

  // The text parts joined.
  std::string text() const {
    std::string out;
    for (const Part& part : parts) {
      if (const auto* t = std::get_if<Text>(&part.body)) out += t->text;
    }
    return out;
  }
};

}  // namespace cresset::chat
