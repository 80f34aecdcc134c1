#include "engine/token/jinja/case.h"

#include "base/text.h"
#include "engine/token/unicode.h"

namespace cresset::engine::jinja {
namespace {

bool begins_word_after(Case to, char32_t previous) {
  if (to == Case::kTitle) return class_of(previous) != CharClass::kLetter;
  return is_python_space(previous) ||
         std::u32string_view(U"-({[<").find(previous) != std::u32string_view::npos;
}

}  // namespace

Value with_case(const Value& text, Case to, Heap& heap) {
  heap.charge_bytes(text.text().size());
  Text out;
  char32_t previous = U' ';
  bool is_first = true;
  text.text().visit_runs([&](std::string_view bytes, bool is_foreign) {
    std::string mapped;
    for (size_t at = 0; at < bytes.size();) {
      const CodePoint c = next_code_point(bytes.substr(at));
      const bool is_upper =
          to == Case::kUpper || (to == Case::kCapitalize && is_first) ||
          ((to == Case::kTitle || to == Case::kTitleWords) && begins_word_after(to, previous));
      if (c.valid) {
        append_utf8(mapped, is_upper ? to_upper(c.value) : to_lower(c.value));
      } else {
        mapped += bytes[at];
      }
      previous = c.value;
      is_first = false;
      at += static_cast<size_t>(c.length);
    }
    out.append(mapped, is_foreign);
  });
  return heap.text(std::move(out));
}

Value without_case(const Value& v, Heap& heap) {
  return v.is(Kind::kText) ? with_case(v, Case::kLower, heap) : v;
}

}  // namespace cresset::engine::jinja
