// Lexer: a template's source to tokens, with white space around tags handled as transformers sets Jinja2 up:
// trim_blocks and lstrip_blocks on, one newline at the end of the source dropped, every newline as \n.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cresset::engine::jinja {

enum class TokenType : uint8_t {
  kData,
  kBlockBegin,
  kBlockEnd,
  kOutputBegin,
  kOutputEnd,
  kName,
  kText,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct LexToken {
  TokenType type;
  std::string text;  // data, a name, a string's value, a number or an operator
  int line;
};

// Throws Fault.
std::vector<LexToken> lex(std::string_view source);

}  // namespace cresset::engine::jinja
